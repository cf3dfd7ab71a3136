# Libraries that Debian ships without a CMake package. The static archive is taken where there is one, so that a program
# built here also runs on a machine that has none of these packages.

# moesaic_library(NAME HEADER): the imported target moesaic::NAME.
function(moesaic_library name header)
  find_library(MOESAIC_${name}_LIBRARY NAMES lib${name}.a ${name} REQUIRED)
  find_path(MOESAIC_${name}_INCLUDE_DIR ${header} REQUIRED)
  mark_as_advanced(MOESAIC_${name}_LIBRARY MOESAIC_${name}_INCLUDE_DIR)
  add_library(moesaic::${name} UNKNOWN IMPORTED)
  set_target_properties(moesaic::${name} PROPERTIES IMPORTED_LOCATION ${MOESAIC_${name}_LIBRARY}
                                                    INTERFACE_INCLUDE_DIRECTORIES ${MOESAIC_${name}_INCLUDE_DIR})
endfunction()

moesaic_library(zstd zstd.h)
moesaic_library(lz4 lz4.h)
