add_library(
  moesaic_tensor_core STATIC
  ${CMAKE_CURRENT_LIST_DIR}/tensor_core.cpp ${CMAKE_CURRENT_LIST_DIR}/tensor_core_exact.cpp
  ${CMAKE_CURRENT_LIST_DIR}/tensor_core_fp4.cpp)
target_link_libraries(moesaic_tensor_core PUBLIC moesaic_spec)
moesaic_in_shared_libraries(moesaic_tensor_core)
