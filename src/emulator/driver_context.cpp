#include <cuda.h>

#include <cstring>
#include <map>
#include <vector>

#include "emulator/driver_state.hpp"

/// Contexts beyond the primary one's life, their limits, and what one card alone can say of peers.
namespace moesaic::emulator::driver {
namespace {

/// The context stack of a thread, below the current one.
std::vector<CUcontext>& stack() {
  thread_local std::vector<CUcontext> contexts;
  return contexts;
}

CUresult push(CUcontext context) {
  return with_driver([&](State& all) {
    if (all.contexts.find(context) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    stack().push_back(current_context());
    current_context() = context;
    return CUDA_SUCCESS;
  });
}

CUresult pop(CUcontext* context) {
  return with_driver([&](State&) {
    if (current_context() == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (context != nullptr) *context = current_context();
    current_context() = stack().empty() ? nullptr : stack().back();
    if (!stack().empty()) stack().pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult get_device(CUdevice* device) {
  return with_driver([&](State& all) {
    if (all.contexts.find(current_context()) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

CUresult get_flags(unsigned int* flags) {
  return with_context([&](State& all) {
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = all.context_flags;
    return CUDA_SUCCESS;
  });
}

CUresult set_flags(unsigned int flags) {
  return with_context([&](State& all) {
    all.context_flags = flags;
    return CUDA_SUCCESS;
  });
}

CUresult set_primary_flags(CUdevice device, unsigned int flags) {
  return with_driver([&](State& all) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    all.context_flags = flags;
    return CUDA_SUCCESS;
  });
}

CUresult primary_state(CUdevice device, unsigned int* flags, int* active) {
  return with_driver([&](State& all) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (flags != nullptr) *flags = all.context_flags;
    if (active != nullptr) *active = all.retained > 0 ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

CUresult api_version(CUcontext, unsigned int* version) {
  if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *version = 3020;
  return CUDA_SUCCESS;
}

CUresult priority_range(int* least, int* greatest) {
  return with_context([&](State&) {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return CUDA_SUCCESS;
  });
}

/// Limits are kept and given back; of them the emulated card knows none.
CUresult set_limit(CUlimit limit, std::size_t value) {
  return with_context([&](State& all) {
    if (limit < 0 || limit >= CU_LIMIT_MAX) return CUDA_ERROR_INVALID_VALUE;
    all.limits[limit] = value;
    return CUDA_SUCCESS;
  });
}

CUresult get_limit(std::size_t* value, CUlimit limit) {
  return with_context([&](State& all) {
    if (value == nullptr || limit < 0 || limit >= CU_LIMIT_MAX) return CUDA_ERROR_INVALID_VALUE;
    const std::map<CUlimit, std::size_t> defaults{
        {CU_LIMIT_STACK_SIZE, 1024}, {CU_LIMIT_PRINTF_FIFO_SIZE, 7340032}, {CU_LIMIT_MALLOC_HEAP_SIZE, 8388608}};
    const auto given = all.limits.find(limit);
    const auto usual = defaults.find(limit);
    *value = given != all.limits.end() ? given->second : usual != defaults.end() ? usual->second : 0;
    return CUDA_SUCCESS;
  });
}

CUresult get_cache_config(CUfunc_cache* config) {
  if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *config = CU_FUNC_CACHE_PREFER_NONE;
  return CUDA_SUCCESS;
}
CUresult set_cache_config(CUfunc_cache) {
  return with_context([](State&) { return CUDA_SUCCESS; });
}
CUresult reset_l2() {
  return with_context([](State&) { return CUDA_SUCCESS; });
}

CUresult can_access_peer(int* can, CUdevice device, CUdevice peer) {
  return with_driver([&](State&) {
    if (device != 0 || peer != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (can == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *can = 0;
    return CUDA_SUCCESS;
  });
}

CUresult get_pci_id(char* text, int length, CUdevice device) {
  return with_driver([&](State&) {
    constexpr std::string_view kId = "0000:01:00.0";
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (text == nullptr || length <= static_cast<int>(kId.size())) return CUDA_ERROR_INVALID_VALUE;
    text[kId.copy(text, kId.size())] = '\0';
    return CUDA_SUCCESS;
  });
}

CUresult device_of_pci_id(CUdevice* device, const char* text) {
  return with_driver([&](State&) {
    if (device == nullptr || text == nullptr || std::strchr(text, ':') == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (std::string_view(text).find("01:00") == std::string_view::npos) return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

/// "MOESAIC" and zeros: an emulated card is no card that anyone has.
CUresult get_uuid(CUuuid* uuid, CUdevice device) {
  return with_driver([&](State&) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *uuid = {};
    std::string_view("MOESAIC").copy(uuid->bytes, sizeof uuid->bytes);
    return CUDA_SUCCESS;
  });
}

CUresult profiler() {
  return CUDA_SUCCESS;
}

}  // namespace

std::span<const NamedFunction> context_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuCtxPushCurrent, push),
      MOESAIC_NAMED_FUNCTION(cuCtxPopCurrent, pop),
      MOESAIC_NAMED_FUNCTION(cuCtxGetDevice, get_device),
      MOESAIC_NAMED_FUNCTION(cuCtxGetFlags, get_flags),
      MOESAIC_NAMED_FUNCTION(cuCtxSetFlags, set_flags),
      MOESAIC_NAMED_FUNCTION(cuCtxGetApiVersion, api_version),
      MOESAIC_NAMED_FUNCTION(cuCtxGetStreamPriorityRange, priority_range),
      MOESAIC_NAMED_FUNCTION(cuCtxSetLimit, set_limit),
      MOESAIC_NAMED_FUNCTION(cuCtxGetLimit, get_limit),
      MOESAIC_NAMED_FUNCTION(cuCtxGetCacheConfig, get_cache_config),
      MOESAIC_NAMED_FUNCTION(cuCtxSetCacheConfig, set_cache_config),
      MOESAIC_NAMED_FUNCTION(cuCtxResetPersistingL2Cache, reset_l2),
      MOESAIC_NAMED_FUNCTION(cuDevicePrimaryCtxGetState, primary_state),
      MOESAIC_NAMED_FUNCTION(cuDevicePrimaryCtxSetFlags, set_primary_flags),
      MOESAIC_NAMED_FUNCTION(cuDeviceCanAccessPeer, can_access_peer),
      MOESAIC_NAMED_FUNCTION(cuDeviceGetPCIBusId, get_pci_id),
      MOESAIC_NAMED_FUNCTION(cuDeviceGetByPCIBusId, device_of_pci_id),
      {"cuDeviceGetUuid_v2", reinterpret_cast<void*>(&get_uuid)},
      {"cuProfilerStart", reinterpret_cast<void*>(&profiler)},
      {"cuProfilerStop", reinterpret_cast<void*>(&profiler)},
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
