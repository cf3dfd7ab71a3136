# Whole programs: recorded from a real card by programs_record, repeated on emulated ones by programs_test.
moesaic_fat_binary(moesaic_programs_image programs/programs.cu moesaic_programs)
add_library(moesaic_programs STATIC programs/card.cpp programs/matrix_programs.cpp programs/programs.cpp
                                    programs/words_programs.cpp)
target_include_directories(moesaic_programs PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(moesaic_programs PUBLIC moesaic_device PRIVATE moesaic_programs_image)

add_executable(programs_record programs/programs_record.cpp)
target_link_libraries(programs_record PRIVATE moesaic_programs)

moesaic_test(programs_test moesaic_programs)
