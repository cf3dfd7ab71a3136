#include <cstring>
#include <vector>

#include "runtime/registration.hpp"
#include "runtime/runtime.hpp"

/// Launches. Compiled twice: see runtime.hpp.

// The headers rename what they declare; this one they declare for nvcc alone.
#ifdef MOESAIC_STREAM_PER_THREAD
#define __cudaLaunchKernel __cudaLaunchKernel_ptsz  // NOLINT(bugprone-reserved-identifier): its name
#endif

namespace moesaic::runtime {
namespace {

/// What cudaLaunchKernel refuses by an error of its own; the launches of <<< >>> leave it to the driver.
bool is_legal(const dim3& grid, const dim3& block) {
  const unsigned long long threads = 1ULL * block.x * block.y * block.z;
  return grid.x != 0 && grid.y != 0 && grid.z != 0 && grid.x <= 0x7fffffffU && grid.y <= 65535 && grid.z <= 65535 &&
         threads != 0 && threads <= 1024 && block.z <= 64;
}

cudaError_t launch(const char* name, const void* kernel, const cudaLaunchConfig_t& config, void** arguments) {
  return call(name, [&]() -> cudaError_t {
    CUfunction function = nullptr;
    const cudaError_t found = find_kernel(kernel, function);
    // Another address than that of a kernel may be a handle of one.
    if (found == cudaErrorInvalidDeviceFunction && kernel != nullptr) return cudaErrorInvalidResourceHandle;
    if (found != cudaSuccess) return found;
    // An attribute of the runtime has the bytes of the driver's.
    static_assert(sizeof(CUlaunchAttribute) == sizeof(cudaLaunchAttribute));
    std::vector<CUlaunchAttribute> attributes(config.numAttrs);
    if (config.numAttrs != 0) std::memcpy(attributes.data(), config.attrs, config.numAttrs * sizeof attributes[0]);
    CUlaunchConfig wanted{};
    wanted.gridDimX = config.gridDim.x;
    wanted.gridDimY = config.gridDim.y;
    wanted.gridDimZ = config.gridDim.z;
    wanted.blockDimX = config.blockDim.x;
    wanted.blockDimY = config.blockDim.y;
    wanted.blockDimZ = config.blockDim.z;
    wanted.sharedMemBytes = static_cast<unsigned int>(config.dynamicSmemBytes);
    wanted.hStream = stream_of(config.stream);
    wanted.attrs = attributes.data();
    wanted.numAttrs = config.numAttrs;
    return static_cast<cudaError_t>(cuLaunchKernelEx(&wanted, function, arguments, nullptr));
  });
}

cudaLaunchConfig_t config_of(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return config;
}

}  // namespace
}  // namespace moesaic::runtime

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

extern "C" {

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                               cudaStream_t stream) {
  return launch("cudaLaunchKernel", kernel, config_of(grid, block, shared_bytes, stream), arguments);
}

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                             cudaStream_t stream) {
  if (!is_legal(grid, block)) return finish(__func__, cudaErrorInvalidConfiguration);
  return launch(__func__, kernel, config_of(grid, block, shared_bytes, stream), arguments);
}

cudaError_t cudaLaunchCooperativeKernel(const void* kernel, dim3 grid, dim3 block, void** arguments,
                                        std::size_t shared_bytes, cudaStream_t stream) {
  if (!is_legal(grid, block)) return finish(__func__, cudaErrorInvalidConfiguration);
  cudaLaunchConfig_t config = config_of(grid, block, shared_bytes, stream);
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  config.attrs = &cooperative;
  config.numAttrs = 1;
  return launch(__func__, kernel, config, arguments);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
  if (config == nullptr) return finish(__func__, cudaErrorInvalidValue);
  if (!is_legal(config->gridDim, config->blockDim)) return finish(__func__, cudaErrorInvalidConfiguration);
  return launch(__func__, kernel, *config, arguments);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return call(__func__, [&] { return cuLaunchHostFunc(stream_of(stream), function, data); });
}
}
