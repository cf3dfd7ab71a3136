#include <vector>

#include "runtime/registration.hpp"
#include "runtime/runtime.hpp"

/// The configuration between <<< and >>>, and what is known of kernels.
namespace moesaic::runtime {
namespace {

struct Configuration {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};

std::vector<Configuration>& configurations() {
  thread_local std::vector<Configuration> pushed;
  return pushed;
}

/// Calls body(function) with the driver's function for a kernel.
template <typename Body>
cudaError_t with_kernel(const char* name, const void* kernel, Body&& body) {
  return call(name, [&]() -> cudaError_t {
    CUfunction function = nullptr;
    const cudaError_t found = find_kernel(kernel, function);
    return found != cudaSuccess ? found : static_cast<cudaError_t>(body(function));
  });
}

/// An attribute of a kernel; 0 where the emulated card does not know it.
int attribute(CUfunction function, CUfunction_attribute which) {
  int value = 0;
  return cuFuncGetAttribute(&value, which, function) == CUDA_SUCCESS ? value : 0;
}

}  // namespace
}  // namespace moesaic::runtime

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

extern "C" {

unsigned int __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream) {
  configurations().push_back({grid, block, shared_bytes, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared_bytes, void* stream) {
  if (configurations().empty()) return finish("cudaLaunchKernel", cudaErrorMissingConfiguration);
  const Configuration& last = configurations().back();
  *grid = last.grid;
  *block = last.block;
  *shared_bytes = last.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  configurations().pop_back();
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute which, int value) {
  return with_kernel(__func__, kernel, [&](CUfunction function) {
    return cuFuncSetAttribute(function, static_cast<CUfunction_attribute>(which), value);
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  return with_kernel(__func__, kernel, [&](CUfunction function) {
    if (attributes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *attributes = {};
    attributes->sharedSizeBytes = static_cast<std::size_t>(attribute(function, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES));
    attributes->localSizeBytes = static_cast<std::size_t>(attribute(function, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES));
    attributes->maxThreadsPerBlock = attribute(function, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
    attributes->numRegs = attribute(function, CU_FUNC_ATTRIBUTE_NUM_REGS);
    attributes->ptxVersion = attribute(function, CU_FUNC_ATTRIBUTE_PTX_VERSION);
    attributes->binaryVersion = attribute(function, CU_FUNC_ATTRIBUTE_BINARY_VERSION);
    attributes->maxDynamicSharedSizeBytes = attribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
    attributes->preferredShmemCarveout = -1;
    return CUDA_SUCCESS;
  });
}

cudaError_t cudaFuncSetCacheConfig(const void* kernel, cudaFuncCache) {
  return with_kernel(__func__, kernel, [](CUfunction) { return CUDA_SUCCESS; });
}

cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  return with_kernel(__func__, kernel, [&](CUfunction function) { return cuFuncGetName(name, function); });
}

cudaError_t cudaFuncGetParamInfo(const void* kernel, std::size_t index, std::size_t* offset, std::size_t* bytes) {
  return with_kernel(__func__, kernel,
                     [&](CUfunction function) { return cuFuncGetParamInfo(function, index, offset, bytes); });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int threads,
                                                          std::size_t shared_bytes) {
  return with_kernel(__func__, kernel, [&](CUfunction function) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared_bytes);
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* kernel, int threads,
                                                                   std::size_t shared_bytes, unsigned int flags) {
  return with_kernel(__func__, kernel, [&](CUfunction function) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared_bytes, flags);
  });
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(std::size_t* bytes, const void* kernel, int blocks, int threads) {
  return with_kernel(__func__, kernel, [&](CUfunction function) {
    return cuOccupancyAvailableDynamicSMemPerBlock(bytes, function, blocks, threads);
  });
}
}
