# What the assembler made of the kernels, held against the table of variants.
moesaic_sass(kernel_sass moesaic_kernels_image)
get_target_property(ptxas_report moesaic_kernels_image MOESAIC_PTXAS_REPORT)
get_target_property(sass kernel_sass MOESAIC_SASS)
list(JOIN sass "\",\"" sass)

add_library(moesaic_kernel_report STATIC kernel_report/judge.cpp kernel_report/ptxas_report.cpp kernel_report/sass.cpp)
target_include_directories(moesaic_kernel_report PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
# Of the kernels it needs the table alone, which is a header.
target_include_directories(moesaic_kernel_report SYSTEM PUBLIC ${MOESAIC_CUDA_INCLUDE_DIR})
target_link_libraries(moesaic_kernel_report PUBLIC moesaic_spec PRIVATE moesaic::fmt)
moesaic_test(kernel_report_test moesaic_kernel_report)

add_executable(kernel_report kernel_report/main.cpp)
target_link_libraries(kernel_report PRIVATE moesaic_kernel_report CLI11::CLI11 moesaic::fmt
                                            nlohmann_json::nlohmann_json)
target_compile_definitions(kernel_report PRIVATE MOESAIC_PTXAS_REPORT="${ptxas_report}" MOESAIC_SASS="${sass}")
add_test(NAME kernel_report COMMAND kernel_report)
