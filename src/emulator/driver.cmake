# The CUDA driver API over the emulated card.
add_library(
  moesaic_emulated_driver STATIC
  ${CMAKE_CURRENT_LIST_DIR}/driver.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_capture.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_context.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_copies.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_entry.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_graph.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_graph_calls.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_graph_nodes.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_host_memory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_launch.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_library.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_memory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_module.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_operations.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_pools.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_stream_calls.cpp
  ${CMAKE_CURRENT_LIST_DIR}/driver_streams.cpp
  ${CMAKE_CURRENT_LIST_DIR}/fat_binary.cpp)
target_include_directories(moesaic_emulated_driver SYSTEM PRIVATE ${MOESAIC_CUDA_INCLUDE_DIR})
target_link_libraries(moesaic_emulated_driver PUBLIC moesaic_spec PRIVATE moesaic_emulator moesaic::fmt
                                                                          moesaic::zstd moesaic::lz4)
moesaic_in_shared_libraries(moesaic_emulated_driver)
