#include <cuda.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "emulator/driver_operations.hpp"
#include "emulator/driver_state.hpp"
#include "spec/error.hpp"

/// Launching kernels. A launch is only noted; its grid runs when the program waits for the card. A fault in the kernel
/// is sticky, and is reported by the calls after the launch, as on a real card.
namespace moesaic::emulator::driver {
namespace {

/// CUDA_SUCCESS, or the code with which a card refuses to start such a grid.
CUresult check_extents(const State& all, const Function& function, const Launch& launch) {
  const Kernel& kernel = *function.kernel;
  const auto refuse_value = [&](const std::string& why) {
    return refuse(CUDA_ERROR_INVALID_VALUE, fmt::format("launch of {}: {}", kernel.name, why));
  };
  if (launch.grid.count() == 0 || launch.grid.x > 0x7fffffffU || launch.grid.y > 65535 || launch.grid.z > 65535) {
    return refuse_value(fmt::format("a grid of {} x {} x {} blocks", launch.grid.x, launch.grid.y, launch.grid.z));
  }
  const std::uint64_t threads = launch.block.count();
  if (threads == 0 || threads > kMaxBlockThreads || launch.block.z > 64) {
    return refuse_value(fmt::format("a block of {} x {} x {} threads; the limit is {} in all and 64 along z",
                                    launch.block.x, launch.block.y, launch.block.z, kMaxBlockThreads));
  }
  if (kernel.max_threads != 0 && threads > kernel.max_threads) {
    return refuse_value(fmt::format("{} threads where the kernel's bound is {}", threads, kernel.max_threads));
  }
  if (launch.dynamic_shared_bytes > static_cast<std::uint32_t>(function.max_dynamic_shared_bytes)) {
    return refuse_value(
        fmt::format("{} bytes of dynamic shared memory where {} are allowed; cuFuncSetAttribute raises "
                    "that up to {} with the {} static ones",
                    launch.dynamic_shared_bytes, function.max_dynamic_shared_bytes,
                    all.options.card.smem_per_block_bytes, kernel.static_shared_bytes));
  }
  return CUDA_SUCCESS;
}

/// Blocks that may wait for one another must all be resident at once.
CUresult check_cooperative(const State& all, const Kernel& kernel, const Launch& launch) {
  const auto per_sm = static_cast<std::uint64_t>(all.machine->blocks_per_sm(kernel, launch));
  const std::uint64_t resident = per_sm * static_cast<std::uint64_t>(all.options.card.sms);
  if (per_sm == 0 || launch.grid.count() <= resident) return CUDA_SUCCESS;  // else another error is due
  return refuse(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
                fmt::format("cooperative launch of {}: {} blocks, and the card holds {} of them at once", kernel.name,
                            launch.grid.count(), resident));
}

/// Launches a kernel into a stream, or adds it to the graph that the stream is captured into.
CUresult run(State& all, KernelLaunch launch, CUstream stream, void** arguments, void** extra) {
  const Function* function = all.functions.find(launch.function);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (find_stream(all, stream) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const CUresult checked = check_launch(all, launch);
  if (checked != CUDA_SUCCESS) return checked;
  if (!gather_arguments(*function->kernel, arguments, extra, launch.parameters)) {
    return refuse(CUDA_ERROR_INVALID_VALUE, fmt::format("launch of {}: no arguments", function->kernel->name));
  }
  return submit(all, stream, launch);
}

CUresult launch_kernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                       unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes,
                       CUstream stream, void** arguments, void** extra) {
  return with_context([&](State& all) {
    const Launch launch{.grid = {grid_x, grid_y, grid_z},
                        .block = {block_x, block_y, block_z},
                        .dynamic_shared_bytes = shared_bytes,
                        .parameters = {}};
    return run(all, {.function = function, .launch = launch}, stream, arguments, extra);
  });
}

CUresult launch_cooperative_kernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                   unsigned int block_x, unsigned int block_y, unsigned int block_z,
                                   unsigned int shared_bytes, CUstream stream, void** arguments) {
  return with_context([&](State& all) {
    const Launch launch{.grid = {grid_x, grid_y, grid_z},
                        .block = {block_x, block_y, block_z},
                        .dynamic_shared_bytes = shared_bytes,
                        .parameters = {}};
    return run(all, {.function = function, .launch = launch, .wishes = {.cooperative = true}}, stream, arguments,
               nullptr);
  });
}

/// Notes what an attribute asks for; CUDA_SUCCESS if the emulated card has it, or may ignore it.
CUresult take_attribute(const CUlaunchAttribute& attribute, Wishes& wishes) {
  switch (attribute.id) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
      wishes.programmatic = attribute.value.programmaticStreamSerializationAllowed != 0;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
      wishes.event = attribute.value.programmaticEvent.event;
      wishes.release_at_start = attribute.value.programmaticEvent.triggerAtBlockStart != 0;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
      wishes.cooperative = attribute.value.cooperative != 0;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: {
      const auto& cluster = attribute.value.clusterDim;
      wishes.in_clusters = cluster.x == 1 && cluster.y == 1 && cluster.z == 1;
      if (wishes.in_clusters) return CUDA_SUCCESS;
      return refuse(CUDA_ERROR_NOT_SUPPORTED,
                    fmt::format("clusters of {} x {} x {} blocks are not emulated; 1 x 1 x 1 is", cluster.x, cluster.y,
                                cluster.z));
    }
    default:
      return refuse(CUDA_ERROR_NOT_SUPPORTED,
                    fmt::format("launch attribute {} is not emulated", static_cast<int>(attribute.id)));
  }
}

CUresult launch_kernel_ex(const CUlaunchConfig* config, CUfunction function, void** arguments, void** extra) {
  return with_context([&](State& all) {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Wishes wishes;
    for (unsigned int i = 0; i < config->numAttrs; ++i) {
      const CUresult checked = take_attribute(config->attrs[i], wishes);
      if (checked != CUDA_SUCCESS) return checked;
    }
    const Launch launch{.grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                        .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
                        .dynamic_shared_bytes = config->sharedMemBytes,
                        .parameters = {}};
    return run(all, {.function = function, .launch = launch, .wishes = wishes}, config->hStream, arguments, extra);
  });
}

CUresult occupancy(int* blocks, CUfunction handle, int threads, std::size_t dynamic_shared_bytes) {
  return with_context([&](State& all) {
    const Function* function = all.functions.find(handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (blocks == nullptr || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    const auto shared_bytes = static_cast<std::uint32_t>(std::min<std::size_t>(dynamic_shared_bytes, 0x7fffffff));
    *blocks = all.machine->blocks_per_sm(*function->kernel, Launch{.grid = {},
                                                                   .block = {static_cast<std::uint32_t>(threads), 1, 1},
                                                                   .dynamic_shared_bytes = shared_bytes,
                                                                   .parameters = {}});
    return CUDA_SUCCESS;
  });
}

CUresult occupancy_with_flags(int* blocks, CUfunction function, int threads, std::size_t dynamic_shared_bytes,
                              unsigned int) {
  return occupancy(blocks, function, threads, dynamic_shared_bytes);
}

}  // namespace

CUresult check_launch(State& all, const KernelLaunch& launch) {
  const Function* function = all.functions.find(launch.function);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const CUevent event = launch.wishes.event;
  if (event != nullptr && all.events.find(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const CUresult checked = check_extents(all, *function, launch.launch);
  if (checked != CUDA_SUCCESS || !launch.wishes.cooperative) return checked;
  return check_cooperative(all, *function->kernel, launch.launch);
}

std::uint64_t enqueue(State& all, const KernelLaunch& launch, const LaunchOrder& order) {
  const Function* function = all.functions.find(launch.function);
  if (function == nullptr) throw Error("a kernel is launched whose module is not there any more");
  Launch with_parameters = launch.launch;
  with_parameters.parameters = launch.parameters;
  with_parameters.in_clusters = launch.wishes.in_clusters;
  with_parameters.cooperative = launch.wishes.cooperative;
  return all.machine->enqueue(*function->kernel, with_parameters, order);
}

bool gather_arguments(const Kernel& kernel, void** arguments, void** extra, std::vector<std::byte>& bytes) {
  bytes.assign(kernel.parameter_bytes, std::byte{0});
  if (kernel.parameter_bytes == 0) return true;
  if (arguments != nullptr) {
    for (std::size_t i = 0; i < kernel.parameters.size(); ++i) {
      const Parameter& parameter = kernel.parameters[i];
      std::memcpy(bytes.data() + parameter.offset, arguments[i], parameter.bytes);
    }
    return true;
  }
  const void* buffer = nullptr;
  std::size_t size = 0;
  for (; extra != nullptr && *extra != CU_LAUNCH_PARAM_END; extra += 2) {
    if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[1];
    if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE) size = *static_cast<const std::size_t*>(extra[1]);
  }
  if (buffer == nullptr || size < bytes.size()) return false;
  std::memcpy(bytes.data(), buffer, bytes.size());
  return true;
}

std::span<const NamedFunction> launch_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuLaunchKernel, launch_kernel),
      MOESAIC_NAMED_FUNCTION(cuLaunchCooperativeKernel, launch_cooperative_kernel),
      MOESAIC_NAMED_FUNCTION(cuLaunchKernelEx, launch_kernel_ex),
      MOESAIC_NAMED_FUNCTION(cuOccupancyMaxActiveBlocksPerMultiprocessor, occupancy),
      MOESAIC_NAMED_FUNCTION(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, occupancy_with_flags),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
