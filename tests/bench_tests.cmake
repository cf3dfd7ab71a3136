moesaic_test(bench_gemm_test moesaic_bench nlohmann_json::nlohmann_json)
target_compile_definitions(bench_gemm_test PRIVATE MOESAIC_PROGRAM="$<TARGET_FILE:moesaic>")
add_dependencies(bench_gemm_test moesaic)
