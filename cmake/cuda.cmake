# The CUDA compiler, for device code alone: nvcc makes a fat binary, .incbin puts it into a library, and the engine loads
# it through the driver. CMake's CUDA language is not used: no CUDA code runs on the host, and CMake 3.25 does not know
# compute_120f.

set(MOESAIC_NVCC "" CACHE FILEPATH "nvcc; found on PATH or in .venv when empty")
set(MOESAIC_NVCC_MINIMUM 12.9)  # the first with compute_120f

# Sets `out` to the version of the compiler ("13.0"), or to 0 when it does not run.
function(moesaic_nvcc_version nvcc out)
  execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE text ERROR_QUIET RESULT_VARIABLE result)
  if(result EQUAL 0 AND text MATCHES "release ([0-9.]+)")
    set(${out} ${CMAKE_MATCH_1} PARENT_SCOPE)
  else()
    set(${out} 0 PARENT_SCOPE)
  endif()
endfunction()

if(NOT MOESAIC_NVCC)
  find_program(nvcc_on_path nvcc NO_CACHE NO_CMAKE_PATH NO_CMAKE_SYSTEM_PATH)
  file(GLOB nvcc_in_venv ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
  foreach(nvcc ${nvcc_on_path} ${nvcc_in_venv})
    moesaic_nvcc_version(${nvcc} version)
    if(version VERSION_GREATER_EQUAL MOESAIC_NVCC_MINIMUM)
      set(MOESAIC_NVCC ${nvcc})  # not cached: .venv may be made anew
      break()
    endif()
  endforeach()
endif()
if(NOT MOESAIC_NVCC)
  message(FATAL_ERROR "no nvcc ${MOESAIC_NVCC_MINIMUM} or later on PATH or in .venv: run scripts/bootstrap.sh, "
                      "or name one with -DMOESAIC_NVCC=/path/to/nvcc")
endif()
moesaic_nvcc_version(${MOESAIC_NVCC} version)
if(version VERSION_LESS MOESAIC_NVCC_MINIMUM)
  message(FATAL_ERROR "${MOESAIC_NVCC} (MOESAIC_NVCC) is of version ${version} (0: it does not run); "
                      "sm_120f needs ${MOESAIC_NVCC_MINIMUM} or later")
endif()
message(STATUS "CUDA compiler: ${MOESAIC_NVCC} (${version})")

# cuda.h declares the driver's types; nothing links with CUDA.
file(REAL_PATH ${MOESAIC_NVCC} nvcc_real)
cmake_path(GET nvcc_real PARENT_PATH nvcc_bin)
find_path(MOESAIC_CUDA_INCLUDE_DIR cuda.h NO_CACHE HINTS ${nvcc_bin}/../include REQUIRED)

# The disassembler, which the tests alone need; it looks for nvdisasm beside itself.
file(GLOB venv_bin ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/nvidia/cu13/bin)
find_program(MOESAIC_CUOBJDUMP cuobjdump NO_CACHE NO_DEFAULT_PATH PATHS ${nvcc_bin} ${venv_bin})

set(MOESAIC_GPU_ARCHITECTURES 90a 120f CACHE STRING "targets that the kernels are compiled for; a tuning build may want one")

# A table of its own for a build that looks for good variants: a directory that is searched before src.
set(MOESAIC_VARIANTS "" CACHE FILEPATH "table of GEMM variants to compile in place of src/kernels/variants.def")
set(MOESAIC_CUDA_INCLUDES -I ${PROJECT_SOURCE_DIR}/src)
if(MOESAIC_VARIANTS)
  configure_file(${MOESAIC_VARIANTS} ${PROJECT_BINARY_DIR}/variants/kernels/variants.def COPYONLY)
  include_directories(BEFORE ${PROJECT_BINARY_DIR}/variants)
  list(PREPEND MOESAIC_CUDA_INCLUDES -I ${PROJECT_BINARY_DIR}/variants)
endif()

# moesaic_fat_binary(TARGET SOURCE.cu SYMBOL [FLAGS...]): a static library TARGET with
#   extern "C" const unsigned char SYMBOL_begin[], SYMBOL_end[];  (16-byte aligned; one after the fat binary's last byte)
# around the fat binary of SOURCE.cu: code and PTX of each of MOESAIC_GPU_ARCHITECTURES. FLAGS are nvcc's.
# What the compiler made on the way stays in the build tree: the target's property MOESAIC_PTX lists the PTX texts,
# in the order of the architectures, MOESAIC_PTXAS_REPORT names the report on registers, shared memory and spills, and
# MOESAIC_FAT_BINARY the fat binary.
function(moesaic_fat_binary target source symbol)
  cmake_path(ABSOLUTE_PATH source)
  cmake_path(GET source STEM stem)
  set(directory ${CMAKE_CURRENT_BINARY_DIR}/${target}.cuda)
  set(fat_binary ${directory}/${stem}.fatbin)
  set(report ${directory}/${stem}.ptxas.txt)
  set(targets)
  set(ptx)
  foreach(arch ${MOESAIC_GPU_ARCHITECTURES})
    list(APPEND targets -gencode=arch=compute_${arch},code=[sm_${arch},compute_${arch}])
    list(APPEND ptx ${directory}/${stem}.compute_${arch}.ptx)
  endforeach()
  file(MAKE_DIRECTORY ${directory})

  add_custom_command(
    OUTPUT ${fat_binary} ${ptx} ${report}
    COMMAND ${CMAKE_COMMAND} -D REPORT=${report} -P ${PROJECT_SOURCE_DIR}/cmake/compile_with_report.cmake --
            ${MOESAIC_NVCC} -fatbin -std=c++20 -O3 -fmad=false --expt-relaxed-constexpr
            ${MOESAIC_CUDA_INCLUDES} ${ARGN} ${targets} --threads 0 --keep --keep-dir ${directory} -Xptxas -v,-warn-spills
            -MD -MF ${fat_binary}.d -MT ${fat_binary} -o ${fat_binary} ${source}
    DEPENDS ${source} ${PROJECT_SOURCE_DIR}/cmake/compile_with_report.cmake ${MOESAIC_NVCC}
    DEPFILE ${fat_binary}.d
    COMMENT "Compiling ${stem}.cu for ${MOESAIC_GPU_ARCHITECTURES}"
    VERBATIM)

  file(CONFIGURE OUTPUT ${directory}/${stem}.cpp @ONLY CONTENT [[
// Directives that GNU as and clang know for every ELF machine.
asm(R"(
  .section .rodata
  .balign 16
  .global @symbol@_begin
  .type @symbol@_begin, %object
@symbol@_begin:
  .incbin "@fat_binary@"
  .global @symbol@_end
  .type @symbol@_end, %object
@symbol@_end:
  .byte 0
  .previous
)");
]])
  add_library(${target} STATIC ${directory}/${stem}.cpp)
  set_source_files_properties(${directory}/${stem}.cpp PROPERTIES OBJECT_DEPENDS ${fat_binary} COMPILE_OPTIONS -fno-lto)
  # ccache would hash the directive and not the file that it names.
  set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER "")
  set_target_properties(${target} PROPERTIES MOESAIC_PTX "${ptx}" MOESAIC_PTXAS_REPORT ${report}
                                             MOESAIC_FAT_BINARY ${fat_binary})
endfunction()

# moesaic_sass(TARGET FAT_BINARY_TARGET): the machine code of a target of moesaic_fat_binary as text, a file for each of
# MOESAIC_GPU_ARCHITECTURES, in the target's property MOESAIC_SASS. Where there is no cuobjdump nothing makes those files.
function(moesaic_sass target fat_binary_target)
  get_target_property(fat_binary ${fat_binary_target} MOESAIC_FAT_BINARY)
  set(sass)
  foreach(arch ${MOESAIC_GPU_ARCHITECTURES})
    list(APPEND sass ${CMAKE_CURRENT_BINARY_DIR}/${target}.sm_${arch}.txt)
  endforeach()
  add_custom_target(${target} ALL)
  set_target_properties(${target} PROPERTIES MOESAIC_SASS "${sass}")
  if(NOT MOESAIC_CUOBJDUMP)
    message(STATUS "No cuobjdump beside nvcc or in .venv (scripts/bootstrap.sh check installs it): ${target} is not made")
    return()
  endif()
  foreach(arch output IN ZIP_LISTS MOESAIC_GPU_ARCHITECTURES sass)
    add_custom_command(
      OUTPUT ${output}
      COMMAND ${MOESAIC_CUOBJDUMP} --dump-sass --gpu-architecture sm_${arch} ${fat_binary} > ${output}
      DEPENDS ${fat_binary} ${fat_binary_target} ${MOESAIC_CUOBJDUMP}
      COMMENT "Disassembling for sm_${arch}"
      VERBATIM)
    add_custom_target(${target}_${arch} DEPENDS ${output})
    add_dependencies(${target} ${target}_${arch})
  endforeach()
endfunction()

# moesaic_ptx(TARGET SOURCE.cu): the PTX of SOURCE.cu for each of MOESAIC_GPU_ARCHITECTURES, with the source's lines. The
# target's property MOESAIC_PTX lists the files in the order of the architectures.
function(moesaic_ptx target source)
  cmake_path(ABSOLUTE_PATH source)
  cmake_path(GET source STEM stem)
  set(directory ${CMAKE_CURRENT_BINARY_DIR}/${target}.cuda)
  file(MAKE_DIRECTORY ${directory})
  set(ptx)
  foreach(arch ${MOESAIC_GPU_ARCHITECTURES})
    set(output ${directory}/${stem}.compute_${arch}.ptx)
    add_custom_command(
      OUTPUT ${output}
      COMMAND ${MOESAIC_NVCC} -ptx -lineinfo -std=c++20 -O3 -fmad=false --expt-relaxed-constexpr
              -I ${PROJECT_SOURCE_DIR}/src -I ${PROJECT_SOURCE_DIR}/tests -arch=compute_${arch}
              -MD -MF ${output}.d -MT ${output} -o ${output} ${source}
      DEPENDS ${source} ${MOESAIC_NVCC}
      DEPFILE ${output}.d
      COMMENT "Compiling ${stem}.cu to PTX for ${arch}"
      VERBATIM)
    list(APPEND ptx ${output})
  endforeach()
  add_custom_target(${target} DEPENDS ${ptx})
  set_target_properties(${target} PROPERTIES MOESAIC_PTX "${ptx}")
endfunction()
