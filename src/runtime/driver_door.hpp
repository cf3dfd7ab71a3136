#pragma once

#include <cuda.h>

/// What libcuda.so.1 exports to libcudart.so.13 beside the driver's functions.
extern "C" {

/// A program has called a function that is not emulated: notes it, and gives cudaErrorNotSupported, which is also
/// CUDA_ERROR_NOT_SUPPORTED.
__attribute__((visibility("default"))) int moesaic_runtime_missing(const char* function);

/// Notes that a function has failed with a code; the emulated driver may know why.
__attribute__((visibility("default"))) void moesaic_runtime_failed(const char* function, int code);
}
