moesaic_test(emulator_ptx_test moesaic_emulator moesaic::fmt)
moesaic_test(emulator_instruction_test moesaic_emulator moesaic::fmt)
moesaic_test(emulator_machine_test moesaic_emulator moesaic::fmt)
moesaic_test(emulator_fault_test moesaic_emulator moesaic::fmt)
moesaic_test(emulator_matrix_test moesaic_emulator moesaic::fmt)
moesaic_test(emulator_observer_race_test moesaic_emulator moesaic::fmt)
if(NOT MOESAIC_SANITIZE)  # it replaces operator new, and so do they
  moesaic_test(emulator_host_memory_test moesaic_emulator moesaic::fmt)
endif()
