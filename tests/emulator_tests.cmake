moesaic_test(emulator_ptx_test moesaic_emulator)
moesaic_test(emulator_instruction_test moesaic_emulator)
moesaic_test(emulator_machine_test moesaic_emulator)
moesaic_test(emulator_fault_test moesaic_emulator)
moesaic_test(emulator_matrix_test moesaic_emulator)
foreach(test emulator_ptx_test emulator_instruction_test emulator_machine_test emulator_fault_test
             emulator_matrix_test)
  target_link_libraries(${test} PRIVATE moesaic::fmt)
endforeach()
