# cmake --install: the program, the libraries that `moesaic emulate` puts in place of CUDA's, and find_package(Moesaic).
include(CMakePackageConfigHelpers)

install(TARGETS moesaic RUNTIME DESTINATION bin COMPONENT moesaic)
if(TARGET moesaic_cudart)
  install(TARGETS moesaic_cudart moesaic_cuda LIBRARY DESTINATION lib/moesaic COMPONENT moesaic NAMELINK_SKIP)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/MoesaicConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/MoesaicConfig.cmake ${PROJECT_BINARY_DIR}/MoesaicConfigVersion.cmake
        DESTINATION lib/cmake/Moesaic COMPONENT moesaic)
