moesaic_test(kernel_test moesaic_engine moesaic_reference fmt::fmt-header-only)
