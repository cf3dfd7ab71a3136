# find_package(Moesaic): the program moesaic::moesaic and the function
#
#   moesaic_add_emulated_test(NAME COMMAND PROGRAM [ARGUMENT...] [CARDS card...] [SMS n] [SEED n] [CHECK what])
#
# which adds for each card (gb10 unless given; rtx5090, rtxpro6000, h200, or a JSON file) the CTest test NAME.card: it runs
# PROGRAM, a target or a path, by `moesaic emulate`, and fails when the program does or when a kernel did what it must not.
# The program must have been built with the runtime as a shared library (CUDA_RUNTIME_LIBRARY Shared) and with PTX for the
# card in it (CUDA_ARCHITECTURES OFF and -gencode arch=compute_120f,code=[sm_120f,compute_120f]).

if(NOT TARGET moesaic::moesaic)
  get_filename_component(_moesaic_program "${CMAKE_CURRENT_LIST_DIR}/../../../bin/moesaic" ABSOLUTE)
  if(NOT EXISTS "${_moesaic_program}")
    set(Moesaic_FOUND FALSE)
    set(Moesaic_NOT_FOUND_MESSAGE "${_moesaic_program} is not there: the package stands where it was not installed")
    return()
  endif()
  add_executable(moesaic::moesaic IMPORTED)
  set_target_properties(moesaic::moesaic PROPERTIES IMPORTED_LOCATION "${_moesaic_program}")
  unset(_moesaic_program)
endif()

function(moesaic_add_emulated_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SMS;SEED;CHECK" "COMMAND;CARDS")
  if(NOT arg_COMMAND OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "moesaic_add_emulated_test(${name}): COMMAND names the program; unknown: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_CARDS)
    set(arg_CARDS gb10)
  endif()
  list(POP_FRONT arg_COMMAND program)
  if(TARGET ${program})
    set(program $<TARGET_FILE:${program}>)
  endif()
  set(options)
  foreach(option SMS SEED CHECK)
    if(DEFINED arg_${option})
      string(TOLOWER ${option} flag)
      list(APPEND options --${flag} ${arg_${option}})
    endif()
  endforeach()
  foreach(card ${arg_CARDS})
    get_filename_component(stem ${card} NAME_WE)
    add_test(NAME ${name}.${stem} COMMAND moesaic::moesaic emulate --gpu ${card} ${options} -- ${program} ${arg_COMMAND})
  endforeach()
endfunction()
