moesaic_test(safetensors_test moesaic_checkpoint fmt::fmt-header-only)
moesaic_test(checkpoint_test moesaic_checkpoint nlohmann_json::nlohmann_json)
moesaic_test(npy_test moesaic_checkpoint)
moesaic_test(synth_test moesaic_checkpoint)
