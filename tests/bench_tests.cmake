moesaic_test(bench_gemm_test moesaic_bench nlohmann_json::nlohmann_json)
target_compile_definitions(bench_gemm_test PRIVATE MOESAIC_PROGRAM="$<TARGET_FILE:moesaic>")
add_dependencies(bench_gemm_test moesaic)

# The comparison's own arithmetic, where there is a Python.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME bench_python COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/bench/bench_test.py)
endif()
