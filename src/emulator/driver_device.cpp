#include <cuda.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "emulator/driver_state.hpp"

/// Starting the driver, the one device and its attributes, contexts, and the names of errors.
namespace moesaic::emulator::driver {
namespace {

struct ErrorText {
  CUresult code;
  const char* name;
  const char* text;
};

#define MOESAIC_ERROR(code, text) \
  ErrorText {                     \
    code, #code, text             \
  }

/// Every code that this driver returns.
constexpr std::array kErrors{
    MOESAIC_ERROR(CUDA_SUCCESS, "no error"),
    MOESAIC_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    MOESAIC_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    MOESAIC_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    MOESAIC_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    MOESAIC_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    MOESAIC_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    MOESAIC_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    MOESAIC_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
    MOESAIC_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    MOESAIC_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    MOESAIC_ERROR(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"),
    MOESAIC_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    MOESAIC_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    MOESAIC_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    MOESAIC_ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    MOESAIC_ERROR(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
    MOESAIC_ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
    MOESAIC_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    MOESAIC_ERROR(CUDA_ERROR_ASSERT, "device-side assert triggered"),
    MOESAIC_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    MOESAIC_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    MOESAIC_ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
                  "part or all of the requested memory range is already mapped"),
    MOESAIC_ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region"),
    MOESAIC_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
    MOESAIC_ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"),
    MOESAIC_ERROR(CUDA_ERROR_STREAM_CAPTURE_MERGE, "operation would result in a merge of separate capture sequences"),
    MOESAIC_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not ended in the same stream as it began"),
    MOESAIC_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work"),
    MOESAIC_ERROR(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream"),
    MOESAIC_ERROR(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                  "operation would make the legacy stream depend on a capturing blocking stream"),
    MOESAIC_ERROR(CUDA_ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"),
    MOESAIC_ERROR(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
                  "attempt to terminate a thread-local capture sequence from another thread"),
    MOESAIC_ERROR(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "the graph update was not performed"),
    MOESAIC_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};

#undef MOESAIC_ERROR

const ErrorText* find_error(CUresult code) {
  const auto* found = std::ranges::find(kErrors, code, &ErrorText::code);
  return found == kErrors.end() ? nullptr : found;
}

CUresult error_name(CUresult code, const char** name) {
  const ErrorText* error = find_error(code);
  *name = error == nullptr ? nullptr : error->name;
  return error == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult error_text(CUresult code, const char** text) {
  const ErrorText* error = find_error(code);
  *text = error == nullptr ? nullptr : error->text;
  return error == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult init(unsigned int flags) {
  const std::lock_guard lock(state_mutex());
  if (!state().configured) return CUDA_ERROR_NO_DEVICE;
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  state().initialized = true;
  return CUDA_SUCCESS;
}

/// That of CUDA 13.2: programs change tensor maps by hand where a driver says 13.1 or less.
CUresult driver_version(int* version) {
  if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *version = 13020;
  return CUDA_SUCCESS;
}

CUresult device_count(int* count) {
  return with_driver([&](State&) {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = 1;
    return CUDA_SUCCESS;
  });
}

CUresult get_device(CUdevice* device, int ordinal) {
  return with_driver([&](State&) {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

CUresult device_name(char* name, int length, CUdevice device) {
  return with_driver([&](State& all) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (name == nullptr || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    const std::string full = std::string(all.options.card.full_name) + " (emulated)";
    const std::size_t count = std::min(full.size(), static_cast<std::size_t>(length) - 1);
    std::memcpy(name, full.data(), count);
    name[count] = '\0';
    return CUDA_SUCCESS;
  });
}

CUresult total_memory(std::size_t* bytes, CUdevice device) {
  return with_driver([&](State& all) {
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = static_cast<std::size_t>(all.options.card.memory_bytes);
    return CUDA_SUCCESS;
  });
}

/// What the card's data say, and the limits that all these cards share (CUDA C++ Programming Guide, "Compute
/// Capabilities"). What is not listed is absent from an emulated card: 0.
int attribute_value(const Device& card, CUdevice_attribute attribute) {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return card.major;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      return card.minor;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return card.sms;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
      return kDefaultSharedBytes;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return card.smem_per_block_bytes;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      return card.smem_per_sm_bytes;
    case CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK:
      return card.smem_reserved_bytes;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
      return card.registers_per_block;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
      return card.registers_per_sm;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
      return card.threads_per_sm;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
      return card.blocks_per_sm;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
      return kMaxBlockThreads;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
      return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
      return 0x7fffffff;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
      return 65535;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
      return 32;
    case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY:
      return 65536;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      return static_cast<int>(card.l2_bytes);
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
      return card.clock_mhz * 1000;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED:
      return card.integrated ? 1 : 0;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH:
    case CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH:
      return 1;
    default:
      return 0;
  }
}

CUresult device_attribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return with_driver([&](State& all) {
    if (value == nullptr || attribute <= 0 || attribute >= CU_DEVICE_ATTRIBUTE_MAX) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    *value = attribute_value(all.options.card, attribute);
    return CUDA_SUCCESS;
  });
}

CUresult retain_context(CUcontext* context, CUdevice device) {
  return with_driver([&](State& all) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (all.retained == 0) {
      all.machine = std::make_unique<Machine>(Options{.card = all.options.card,
                                                      .seed = all.options.seed,
                                                      .host_threads = all.options.host_threads,
                                                      .spin_limit = all.options.spin_limit,
                                                      .checks = all.options.checks});
      all.contexts.add(0);
    }
    ++all.retained;
    *context = all.contexts.find_if([](int) { return true; });
    return CUDA_SUCCESS;
  });
}

CUresult release_context(CUdevice device) {
  return with_driver([&](State& all) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (all.retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--all.retained > 0) return CUDA_SUCCESS;
    run_pending(all);
    all.contexts.clear();
    all.functions.clear();
    all.modules.clear();
    all.streams.clear();
    all.events.clear();
    all.graphs.clear();
    all.nodes.clear();
    all.ready_graphs.clear();
    all.host_memory.clear();
    all.pools.clear();
    all.limits.clear();
    all.legacy = {};
    all.per_thread = {};
    all.known.clear();
    all.machine.reset();
    return CUDA_SUCCESS;
  });
}

CUresult set_current(CUcontext context) {
  return with_driver([&](State& all) {
    if (context != nullptr && all.contexts.find(context) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    current_context() = context;
    return CUDA_SUCCESS;
  });
}

CUresult get_current(CUcontext* context) {
  return with_driver([&](State&) {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = current_context();
    return CUDA_SUCCESS;
  });
}

}  // namespace

std::span<const NamedFunction> device_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuInit, init),
      MOESAIC_NAMED_FUNCTION(cuGetErrorName, error_name),
      MOESAIC_NAMED_FUNCTION(cuGetErrorString, error_text),
      MOESAIC_NAMED_FUNCTION(cuDriverGetVersion, driver_version),
      MOESAIC_NAMED_FUNCTION(cuDeviceGetCount, device_count),
      MOESAIC_NAMED_FUNCTION(cuDeviceGet, get_device),
      MOESAIC_NAMED_FUNCTION(cuDeviceGetName, device_name),
      MOESAIC_NAMED_FUNCTION(cuDeviceGetAttribute, device_attribute),
      MOESAIC_NAMED_FUNCTION(cuDeviceTotalMem, total_memory),
      MOESAIC_NAMED_FUNCTION(cuDevicePrimaryCtxRetain, retain_context),
      MOESAIC_NAMED_FUNCTION(cuDevicePrimaryCtxRelease, release_context),
      MOESAIC_NAMED_FUNCTION(cuCtxSetCurrent, set_current),
      MOESAIC_NAMED_FUNCTION(cuCtxGetCurrent, get_current),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
