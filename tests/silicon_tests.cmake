# Single instructions on a card: recorded from a real one by silicon_record, repeated on an emulated one by silicon_test.
moesaic_fat_binary(moesaic_silicon_kernels silicon/silicon_kernels.cu moesaic_silicon)
add_library(moesaic_silicon_probe STATIC silicon/operands.cpp silicon/silicon_probe.cpp)
target_include_directories(moesaic_silicon_probe PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(moesaic_silicon_probe PUBLIC moesaic_device PRIVATE moesaic_silicon_kernels)

# The same for every row of the emulator's table of instructions that a card of capability 9.0 has.
add_library(moesaic_isa_cases STATIC
  isa/atomic_cases.cpp
  isa/barrier_cases.cpp
  isa/cell_cases.cpp
  isa/control_cases.cpp
  isa/async_cases.cpp
  isa/async_script.cpp
  isa/families.cpp
  isa/isa_fixture.cpp
  isa/isa_run.cpp
  isa/lanewise_cases.cpp
  isa/matrix_cases.cpp
  isa/memory_cases.cpp
  isa/move_cases.cpp
  isa/operand_values.cpp
  isa/register_case.cpp
  isa/row_signature.cpp
  isa/tensor_cases.cpp
  isa/warp_cases.cpp)
target_include_directories(moesaic_isa_cases PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(moesaic_isa_cases PUBLIC moesaic_device moesaic_emulator)

add_executable(silicon_record silicon/isolated_run.cpp silicon/silicon_record.cpp)
target_link_libraries(silicon_record PRIVATE moesaic_silicon_probe moesaic_isa_cases)

# Proofs of what it has not, and that every row has one.
add_executable(isa_test
  isa/isa_test.cpp
  isa/judge_conversion.cpp
  isa/judge_function.cpp
  isa/judge_rounding.cpp
  isa/row_proofs.cpp
  isa/matrix_copy_proof.cpp
  isa/mma_proof.cpp
  isa/wide_vector_proof.cpp)
target_link_libraries(isa_test PRIVATE moesaic_isa_cases moesaic::fmt GTest::gtest_main)
target_compile_definitions(isa_test PRIVATE MOESAIC_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
gtest_discover_tests(isa_test DISCOVERY_TIMEOUT 60)

moesaic_test(silicon_test moesaic_silicon_probe moesaic_isa_cases moesaic_tensor_core)
