moesaic_test(layering_test)

# What nvcc made of the kernels, as text.
get_target_property(ptx moesaic_kernels_image MOESAIC_PTX)
list(JOIN ptx ":" ptx)
moesaic_test(ptx_text_test)
target_compile_definitions(ptx_text_test PRIVATE MOESAIC_PTX_FILES="${ptx}")
add_dependencies(ptx_text_test moesaic_kernels_image)
