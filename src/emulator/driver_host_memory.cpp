#include <cuda.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "emulator/driver_state.hpp"

/// Memory that host and card share under one address: managed, pinned and registered memory; and what an address is.
namespace moesaic::emulator::driver {
namespace {

using Kind = HostMemory::Kind;

constexpr std::size_t kPage = 4096;

/// Memory is poisoned as the card's own is.
CUresult allocate_shared(State& all, void** address, std::size_t bytes, Kind kind, unsigned int flags) {
  if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult legal = check_none_captured(all); legal != CUDA_SUCCESS) return legal;
  void* memory = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
  if (memory == nullptr) return refuse(CUDA_ERROR_OUT_OF_MEMORY, "the host has no memory left");
  std::memset(memory, static_cast<int>(GlobalMemory::kPoison), bytes);
  all.machine->memory().adopt(memory, bytes);
  const auto number = reinterpret_cast<CUdeviceptr>(memory);
  all.host_memory.insert_or_assign(
      number, HostMemory{.kind = kind, .bytes = bytes, .flags = flags, .owned = {memory, &std::free}});
  *address = memory;
  return CUDA_SUCCESS;
}

CUresult allocate_managed(CUdeviceptr* address, std::size_t bytes, unsigned int flags) {
  return with_context([&](State& all) {
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST) return CUDA_ERROR_INVALID_VALUE;
    void* memory = nullptr;
    const CUresult result = allocate_shared(all, &memory, bytes, Kind::managed, flags);
    if (result == CUDA_SUCCESS) *address = reinterpret_cast<CUdeviceptr>(memory);
    return result;
  });
}

CUresult allocate_host(void** address, std::size_t bytes, unsigned int flags) {
  constexpr unsigned int kKnown = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
  return with_context([&](State& all) {
    if ((flags & ~kKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
    return allocate_shared(all, address, bytes, Kind::pinned, flags);
  });
}

CUresult allocate_host_plain(void** address, std::size_t bytes) {
  return allocate_host(address, bytes, 0);
}

CUresult free_host(void* address) {
  return with_idle_card([&](State& all) {
    if (address == nullptr) return CUDA_SUCCESS;
    return release_host_memory(all, reinterpret_cast<CUdeviceptr>(address), Kind::pinned);
  });
}

CUresult register_host(void* address, std::size_t bytes, unsigned int flags) {
  return with_context(
      [&](State& all) {
        if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
        all.machine->memory().adopt(address, bytes);
        const auto number = reinterpret_cast<CUdeviceptr>(address);
        all.host_memory.insert_or_assign(number, HostMemory{.kind = Kind::registered, .bytes = bytes, .flags = flags});
        return CUDA_SUCCESS;
      },
      CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
}

CUresult unregister_host(void* address) {
  return with_idle_card([&](State& all) {
    const CUresult result = release_host_memory(all, reinterpret_cast<CUdeviceptr>(address), Kind::registered);
    return result == CUDA_ERROR_INVALID_VALUE ? CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED : result;
  });
}

/// The shared memory in which an address lies, or null.
const HostMemory* find_shared(const State& all, CUdeviceptr address) {
  auto at = all.host_memory.upper_bound(address);
  if (at == all.host_memory.begin()) return nullptr;
  --at;
  return address - at->first < at->second.bytes ? &at->second : nullptr;
}

CUresult host_pointer_on_card(CUdeviceptr* to, void* address, unsigned int flags) {
  return with_context([&](State& all) {
    if (to == nullptr || flags != 0 || find_shared(all, reinterpret_cast<CUdeviceptr>(address)) == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *to = reinterpret_cast<CUdeviceptr>(address);
    return CUDA_SUCCESS;
  });
}

CUresult host_flags(unsigned int* flags, void* address) {
  return with_context([&](State& all) {
    const HostMemory* found = find_shared(all, reinterpret_cast<CUdeviceptr>(address));
    if (flags == nullptr || found == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = found->flags | CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
  });
}

CUresult address_range(CUdeviceptr* base, std::size_t* bytes, CUdeviceptr address) {
  return with_context([&](State& all) {
    const GlobalMemory::Allocation* found = all.machine->memory().find(address, 1);
    if (found == nullptr) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = found->begin;
    if (bytes != nullptr) *bytes = found->end - found->begin;
    return CUDA_SUCCESS;
  });
}

template <typename T>
CUresult give(void* to, T value) {
  // NOLINTNEXTLINE(bugprone-sizeof-expression): T may be a pointer, and then the pointer is what is given
  std::memcpy(to, &value, sizeof value);
  return CUDA_SUCCESS;
}

CUresult attribute_of(State& all, void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  const GlobalMemory::Allocation* found = all.machine->memory().find(address, 1);
  if (found == nullptr) return refuse(CUDA_ERROR_INVALID_VALUE, "the address is none of the card's");
  const HostMemory* shared = find_shared(all, address);
  const bool on_host = shared != nullptr && shared->kind != Kind::managed;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      return give(value, all.contexts.find_if([](int) { return true; }));
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return give(value, static_cast<unsigned int>(on_host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE));
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      return give(value, address);
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      return shared == nullptr ? CUDA_ERROR_INVALID_VALUE : give(value, address);
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      return give(value, static_cast<unsigned int>(shared != nullptr && shared->kind == Kind::managed));
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return give(value, 0);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
      return give(value, CUdeviceptr{found->begin});
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
      return give(value, std::size_t{found->end - found->begin});
    case CU_POINTER_ATTRIBUTE_MAPPED:
      return give(value, 1U);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
      return give(value, static_cast<unsigned long long>(found->begin));
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return give(value, 0U);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      return give(value, CUmemoryPool{});
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
  }
}

CUresult pointer_attribute(void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  return with_context([&](State& all) {
    return value == nullptr ? CUDA_ERROR_INVALID_VALUE : attribute_of(all, value, attribute, address);
  });
}

/// Of an address that is none of the card's every attribute is zero, as the real driver has it.
CUresult pointer_attributes(unsigned int count, CUpointer_attribute* attributes, void** values, CUdeviceptr address) {
  return with_context([&](State& all) {
    const bool known = all.machine->memory().find(address, 1) != nullptr;
    for (unsigned int i = 0; i < count; ++i) {
      if (known && attribute_of(all, values[i], attributes[i], address) == CUDA_SUCCESS) continue;
      const bool is_pointer = attributes[i] == CU_POINTER_ATTRIBUTE_CONTEXT ||
                              attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_POINTER ||
                              attributes[i] == CU_POINTER_ATTRIBUTE_HOST_POINTER;
      if (is_pointer) {
        give(values[i], std::uint64_t{0});
      } else {
        give(values[i], attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL ? -2 : 0);
      }
    }
    all.fault.clear();
    return CUDA_SUCCESS;
  });
}

/// Hints: on an emulated card managed memory is where it is.
CUresult prefetch(CUdeviceptr address, std::size_t bytes, CUmemLocation, unsigned int, CUstream stream) {
  return with_context([&](State& all) {
    if (all.machine->memory().find(address, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return submit(all, stream, Nothing{});
  });
}

CUresult advise(CUdeviceptr address, std::size_t bytes, CUmem_advise, CUmemLocation) {
  return with_context([&](State& all) {
    return all.machine->memory().find(address, bytes) == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

CUresult attach(CUstream stream, CUdeviceptr, std::size_t, unsigned int) {
  return with_context([&](State& all) { return submit(all, stream, Nothing{}); });
}

}  // namespace

CUresult release_host_memory(State& all, CUdeviceptr address, HostMemory::Kind kind) {
  const auto found = all.host_memory.find(address);
  if (found == all.host_memory.end() || found->second.kind != kind) {
    return refuse(CUDA_ERROR_INVALID_VALUE, "the address is not what the function that is called here frees");
  }
  all.machine->memory().free(address);
  all.host_memory.erase(found);
  return CUDA_SUCCESS;
}

std::span<const NamedFunction> host_memory_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuMemAllocManaged, allocate_managed),
      MOESAIC_NAMED_FUNCTION(cuMemAllocHost, allocate_host_plain),
      MOESAIC_NAMED_FUNCTION(cuMemHostAlloc, allocate_host),
      MOESAIC_NAMED_FUNCTION(cuMemFreeHost, free_host),
      MOESAIC_NAMED_FUNCTION(cuMemHostRegister, register_host),
      MOESAIC_NAMED_FUNCTION(cuMemHostUnregister, unregister_host),
      MOESAIC_NAMED_FUNCTION(cuMemHostGetDevicePointer, host_pointer_on_card),
      MOESAIC_NAMED_FUNCTION(cuMemHostGetFlags, host_flags),
      MOESAIC_NAMED_FUNCTION(cuMemGetAddressRange, address_range),
      MOESAIC_NAMED_FUNCTION(cuPointerGetAttribute, pointer_attribute),
      MOESAIC_NAMED_FUNCTION(cuPointerGetAttributes, pointer_attributes),
      MOESAIC_NAMED_FUNCTION(cuMemPrefetchAsync_v2, prefetch),
      MOESAIC_NAMED_FUNCTION(cuMemAdvise_v2, advise),
      MOESAIC_NAMED_FUNCTION(cuStreamAttachMemAsync, attach),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
