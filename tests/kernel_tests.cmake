moesaic_test(kernel_test moesaic_engine moesaic_reference moesaic::fmt)
moesaic_test(router_test moesaic_engine moesaic_reference moesaic::fmt)
moesaic_test(selection_test moesaic_selection)
moesaic_test(layer_test moesaic_engine moesaic_reference moesaic::fmt nlohmann_json::nlohmann_json)

add_executable(layer_probe layer_probe.cpp)
target_link_libraries(layer_probe PRIVATE moesaic_engine moesaic::fmt nlohmann_json::nlohmann_json)

moesaic_fat_binary(moesaic_functions_image functions.cu moesaic_functions)
moesaic_test(functions_test moesaic_device moesaic_functions_image moesaic::fmt)
