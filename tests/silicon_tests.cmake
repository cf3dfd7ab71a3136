# Single instructions on a card: recorded from a real one by silicon_record, repeated on an emulated one by silicon_test.
moesaic_fat_binary(moesaic_silicon_kernels silicon/silicon_kernels.cu moesaic_silicon)
add_library(moesaic_silicon_probe STATIC silicon/operands.cpp silicon/silicon_probe.cpp)
target_include_directories(moesaic_silicon_probe PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(moesaic_silicon_probe PUBLIC moesaic_device PRIVATE moesaic_silicon_kernels)

add_executable(silicon_record silicon/silicon_record.cpp)
target_link_libraries(silicon_record PRIVATE moesaic_silicon_probe)

moesaic_test(silicon_test moesaic_silicon_probe moesaic_tensor_core)
