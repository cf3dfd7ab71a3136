# CUDA programs as their authors build them, run by `moesaic emulate -- PROGRAM`. An uninstrumented program cannot load
# libraries with sanitizers in them, and there is no CUDA compiler that runs under qemu-user.
if(MOESAIC_SANITIZE OR CMAKE_CROSSCOMPILING OR NOT TARGET moesaic_cudart)
  return()
endif()

# moesaic_cuda_program(NAME SOURCE [LIBRARIES ...] [OPTIONS ...] [JOB_POOL name]): the program NAME from a CUDA source, for sm_120f, with the
# runtime as a shared library. It is linked with the substitute, as whose soname and versions are the real one's, and finds
# neither by itself. OPTIONS are nvcc's.
function(moesaic_cuda_program name source)
  cmake_parse_arguments(PARSE_ARGV 2 program "" "JOB_POOL" "LIBRARIES;OPTIONS")
  set(pool)
  if(program_JOB_POOL)
    set(pool JOB_POOL ${program_JOB_POOL})
  endif()
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  cmake_path(ABSOLUTE_PATH source)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${MOESAIC_NVCC} -c -std=c++17 -O1 -lineinfo --extended-lambda -I ${PROJECT_SOURCE_DIR}/tests
            -I ${PROJECT_SOURCE_DIR}/src ${program_OPTIONS}
            -gencode arch=compute_120f,code=[sm_120f,compute_120f] -MD -MF ${object}.d -MT ${object} -o ${object} ${source}
    DEPENDS ${source} ${MOESAIC_NVCC}
    DEPFILE ${object}.d
    ${pool}
    COMMENT "Compiling ${name} with nvcc"
    VERBATIM)
  add_executable(${name} ${object})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX SKIP_BUILD_RPATH ON)
  target_link_libraries(${name} PRIVATE moesaic_cudart ${program_LIBRARIES})
  target_link_options(${name} PRIVATE -Wl,--allow-shlib-undefined)
endfunction()

moesaic_cuda_program(runtime_vector_add runtime/vector_add.cu)
moesaic_cuda_program(runtime_calls runtime/calls.cu)
moesaic_cuda_program(runtime_graphs runtime/graphs.cu)
moesaic_cuda_program(runtime_answers runtime/answers.cu)
moesaic_cuda_program(runtime_faults runtime/faults.cu)
moesaic_cuda_program(runtime_bugs runtime/bugs.cu)
moesaic_cuda_program(runtime_planted runtime/planted.cu)
moesaic_cuda_program(runtime_algorithms runtime/algorithms.cu)
moesaic_cuda_program(runtime_gtest runtime/gtest.cu LIBRARIES GTest::gtest_main)
find_package(benchmark QUIET)
if(benchmark_FOUND)
  moesaic_cuda_program(runtime_benchmark runtime/benchmark.cu LIBRARIES benchmark::benchmark)
endif()

# A GEMM with CUTLASS's headers of two versions, where scripts/cutlass.sh has fetched them.
set(cutlass ${PROJECT_SOURCE_DIR}/.cache/cutlass)
set(cutlass_programs)
set(has_cutlass 0)
if(EXISTS ${cutlass}/requirements-cutlass.txt)
  set(has_cutlass 1)
  foreach(version 4.2 4.5)
    moesaic_cuda_program(
      runtime_cutlass_gemm_${version} runtime/cutlass_gemm.cu
      JOB_POOL cutlass
      OPTIONS --expt-relaxed-constexpr -diag-suppress 20012 -I ${cutlass}/${version}/include
              -I ${cutlass}/${version}/tools/util/include)
    list(APPEND cutlass_programs runtime_cutlass_gemm_${version})
  endforeach()
else()
  message(STATUS "No headers of CUTLASS (scripts/cutlass.sh fetches them): its programs are not made")
endif()

# One as nvcc links it by default, where the toolkit has that library.
find_library(cudart_static cudart_static NO_CACHE HINTS ${nvcc_bin}/../lib ${nvcc_bin}/../lib64)
if(cudart_static)
  add_executable(runtime_static ${CMAKE_CURRENT_BINARY_DIR}/runtime_vector_add.o)
  set_target_properties(runtime_static PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(runtime_static PRIVATE ${cudart_static} Threads::Threads ${CMAKE_DL_LIBS} rt)
endif()

moesaic_test(runtime_test moesaic_spec moesaic::fmt nlohmann_json::nlohmann_json)
target_sources(runtime_test PRIVATE planted/catalogue.cpp)
target_include_directories(runtime_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(runtime_test PRIVATE MOESAIC_PROGRAM="$<TARGET_FILE:moesaic>"
                                                MOESAIC_PROGRAMS="${CMAKE_CURRENT_BINARY_DIR}"
                                                MOESAIC_HAS_BENCHMARK=$<BOOL:${benchmark_FOUND}>
                                                MOESAIC_HAS_CUTLASS=${has_cutlass}
                                                MOESAIC_HAS_STATIC=$<BOOL:${cudart_static}>)
add_dependencies(runtime_test moesaic runtime_vector_add runtime_calls runtime_graphs runtime_answers runtime_faults runtime_bugs
                 runtime_planted runtime_algorithms runtime_gtest ${cutlass_programs})
if(cudart_static)
  add_dependencies(runtime_static runtime_vector_add)
  add_dependencies(runtime_test runtime_static)
endif()
if(benchmark_FOUND)
  add_dependencies(runtime_test runtime_benchmark)
endif()

# A program of ours that opens libcuda.so.1 by itself, as it ran on an H200: what it computed there it computes here.
add_test(NAME Runtime.ProgramThatOpensLibcuda
         COMMAND sh -c "$<TARGET_FILE:moesaic> emulate --gpu h200 --sms 4 -- $<TARGET_FILE:programs_record> gpu:0 ./opened.txt && \
                        cmp opened.txt ${CMAKE_CURRENT_SOURCE_DIR}/fixtures/programs/h200.txt")

# Our tests of a real card's kernels, as they run on an H200.
foreach(program kernel_test router_test layer_test)
  add_test(NAME Runtime.${program}ThroughLibcuda
           COMMAND moesaic emulate --sms 2 --check all -- $<TARGET_FILE:${program}> --gtest_filter=*/gpu_0)
  set_tests_properties(Runtime.${program}ThroughLibcuda PROPERTIES FAIL_REGULAR_EXPRESSION "Running 0 tests")
endforeach()

# find_package(Moesaic) in a project of somebody else's.
add_test(NAME Runtime.FindPackage
         COMMAND ${CMAKE_COMMAND} -D BUILD=${PROJECT_BINARY_DIR} -D SOURCE=${CMAKE_CURRENT_SOURCE_DIR}/consumer
                 -D WORK=${CMAKE_CURRENT_BINARY_DIR}/consumer -D PROGRAM=$<TARGET_FILE:runtime_vector_add>
                 -D PROGRAM_WITH_BUG=$<TARGET_FILE:runtime_bugs> -D CMAKE_CTEST_COMMAND=${CMAKE_CTEST_COMMAND}
                 -P ${CMAKE_CURRENT_SOURCE_DIR}/consumer/run.cmake)
