#pragma once

#include <string>

#include "runtime/runtime.hpp"

/// What a program registers before main(): its fat binaries, and which kernels and variables stand in them under which
/// names. A fat binary becomes a module when something of it is first used.
namespace moesaic::runtime {

/// The driver's function for what the program calls a kernel: the address of a __global__ function, or a cudaKernel_t.
/// Gives cudaErrorInvalidDeviceFunction for anything else, and the driver's error when its module cannot be loaded.
cudaError_t find_kernel(const void* kernel, CUfunction& function);

/// The kernel as the program calls it, for a function of the driver; the function itself where it knows no such.
void* symbol_of(CUfunction function);

/// Where the variable lies that the program calls by the address of its shadow.
cudaError_t find_variable(const void* symbol, CUdeviceptr& address, std::size_t& bytes);

}  // namespace moesaic::runtime
