# moesaic_library(NAME HEADER): the imported target moesaic::NAME, for a library that Debian ships without a CMake package.
# The static archive is taken where there is one: with MOESAIC_PORTABLE a program must run where the package is not.
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
moesaic_library(openblas cblas.h)
moesaic_library(pcre2-8 pcre2.h)

# fmt has no static archive in Debian, and its headers alone make every file that uses it three times as slow to compile.
add_library(moesaic_fmt INTERFACE)
add_library(moesaic::fmt ALIAS moesaic_fmt)
if(MOESAIC_PORTABLE)
  target_link_libraries(moesaic_fmt INTERFACE fmt::fmt-header-only)
else()
  target_link_libraries(moesaic_fmt INTERFACE fmt::fmt)
endif()

# moesaic_in_shared_libraries(TARGET): the static library may become part of a shared one, which does not export it.
function(moesaic_in_shared_libraries target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                             VISIBILITY_INLINES_HIDDEN ON)
endfunction()
