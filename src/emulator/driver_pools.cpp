#include <cuda.h>

#include <cstring>

#include "emulator/driver_state.hpp"

/// Memory that is allocated and freed in the order of a stream. Every pool is the same: memory comes fresh and goes
/// when it is freed, so that a use after that is seen.
namespace moesaic::emulator::driver {
namespace {

CUresult allocate_in(CUdeviceptr* address, std::size_t bytes, CUstream handle) {
  return with_context(
      [&](State& all) {
        const Stream* stream = find_stream(all, handle);
        if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
        if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
        if (stream->capture != nullptr) {
          return refuse(CUDA_ERROR_NOT_SUPPORTED, "allocating in a stream that is captured is not emulated");
        }
        *address = all.machine->memory().allocate(bytes);
        return CUDA_SUCCESS;
      },
      CUDA_ERROR_OUT_OF_MEMORY);
}

CUresult allocate_from(CUdeviceptr* address, std::size_t bytes, CUmemoryPool, CUstream stream) {
  return allocate_in(address, bytes, stream);
}

CUresult free_in(CUdeviceptr address, CUstream handle) {
  return with_idle_card([&](State& all) {
    const Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture != nullptr) {
      return refuse(CUDA_ERROR_NOT_SUPPORTED, "freeing in a stream that is captured is not emulated");
    }
    all.machine->memory().free(address);
    return CUDA_SUCCESS;
  });
}

/// The handle of the one default pool.
CUmemoryPool default_pool() {
  static char pool = 0;
  return reinterpret_cast<CUmemoryPool>(&pool);
}

CUresult get_pool(CUmemoryPool* pool, CUdevice device) {
  return with_driver([&](State&) {
    if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    *pool = default_pool();
    return CUDA_SUCCESS;
  });
}

CUresult set_pool(CUdevice device, CUmemoryPool pool) {
  return with_driver([&](State& all) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    return pool == default_pool() || all.pools.find(pool) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult create(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  return with_context([&](State& all) {
    if (pool == nullptr || properties == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pool = all.pools.add(0);
    return CUDA_SUCCESS;
  });
}

CUresult destroy(CUmemoryPool pool) {
  return with_context([&](State& all) { return all.pools.remove(pool) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

/// What a pool keeps is a matter of speed, which an emulated card has none of: the threshold is not kept.
CUresult set_attribute(CUmemoryPool, CUmemPool_attribute, void* value) {
  return value == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult get_attribute(CUmemoryPool, CUmemPool_attribute attribute, void* value) {
  if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES: {
      const int one = 1;
      std::memcpy(value, &one, sizeof one);
      return CUDA_SUCCESS;
    }
    default: {
      const cuuint64_t none = 0;
      std::memcpy(value, &none, sizeof none);
      return CUDA_SUCCESS;
    }
  }
}

CUresult trim(CUmemoryPool, std::size_t) {
  return CUDA_SUCCESS;
}

CUresult set_access(CUmemoryPool, const CUmemAccessDesc*, std::size_t) {
  return CUDA_SUCCESS;
}

}  // namespace

std::span<const NamedFunction> pool_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuMemAllocAsync, allocate_in),
      MOESAIC_NAMED_FUNCTION(cuMemAllocFromPoolAsync, allocate_from),
      MOESAIC_NAMED_FUNCTION(cuMemFreeAsync, free_in),
      MOESAIC_NAMED_FUNCTION(cuDeviceGetDefaultMemPool, get_pool),
      MOESAIC_NAMED_FUNCTION(cuDeviceGetMemPool, get_pool),
      MOESAIC_NAMED_FUNCTION(cuDeviceSetMemPool, set_pool),
      MOESAIC_NAMED_FUNCTION(cuMemPoolCreate, create),
      MOESAIC_NAMED_FUNCTION(cuMemPoolDestroy, destroy),
      MOESAIC_NAMED_FUNCTION(cuMemPoolSetAttribute, set_attribute),
      MOESAIC_NAMED_FUNCTION(cuMemPoolGetAttribute, get_attribute),
      MOESAIC_NAMED_FUNCTION(cuMemPoolTrimTo, trim),
      MOESAIC_NAMED_FUNCTION(cuMemPoolSetAccess, set_access),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
