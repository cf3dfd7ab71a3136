moesaic_test(cpu_engine_test moesaic_cpu_engine moesaic_reference)
moesaic_test(cost_test moesaic_selection)
moesaic_test(transformers_test moesaic_cli moesaic_engine moesaic_reference moesaic_checkpoint
             nlohmann_json::nlohmann_json)
moesaic_test(roundtrip_test moesaic_engine moesaic_reference moesaic_checkpoint)
