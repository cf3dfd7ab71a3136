moesaic_test(safetensors_test moesaic_checkpoint moesaic::fmt)
moesaic_test(checkpoint_test moesaic_checkpoint nlohmann_json::nlohmann_json)
moesaic_test(config_test moesaic_checkpoint nlohmann_json::nlohmann_json)
moesaic_test(layout_test moesaic_checkpoint nlohmann_json::nlohmann_json)
moesaic_test(npy_test moesaic_checkpoint)
moesaic_test(synth_test moesaic_checkpoint)
if(NOT MOESAIC_SANITIZE)  # it replaces operator new, and so do they
  moesaic_test(load_memory_test moesaic_checkpoint nlohmann_json::nlohmann_json)
endif()
