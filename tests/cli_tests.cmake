moesaic_test(cli_test moesaic_cli moesaic_checkpoint moesaic_reference nlohmann_json::nlohmann_json)
target_compile_definitions(cli_test PRIVATE MOESAIC_PROGRAM="$<TARGET_FILE:moesaic>")
add_dependencies(cli_test moesaic)
moesaic_test(report_test moesaic_cli nlohmann_json::nlohmann_json)
