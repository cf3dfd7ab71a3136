#include "runtime/copies.hpp"
#include "runtime/registration.hpp"
#include "runtime/runtime.hpp"

/// Memory: allocating and freeing it, and what a pointer is.
namespace moesaic::runtime {
namespace {

void* pointer(CUdeviceptr address) {
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): an address of the card
}

void set_side(CUmemorytype type, const void* from, const void*& host, CUdeviceptr& card) {
  if (type == CU_MEMORYTYPE_HOST) {
    host = from;
  } else {
    card = address_of(from);
  }
}

std::optional<std::pair<CUmemorytype, CUmemorytype>> types_of(cudaMemcpyKind kind) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return {{CU_MEMORYTYPE_HOST, CU_MEMORYTYPE_HOST}};
    case cudaMemcpyHostToDevice:
      return {{CU_MEMORYTYPE_HOST, CU_MEMORYTYPE_DEVICE}};
    case cudaMemcpyDeviceToHost:
      return {{CU_MEMORYTYPE_DEVICE, CU_MEMORYTYPE_HOST}};
    case cudaMemcpyDeviceToDevice:
      return {{CU_MEMORYTYPE_DEVICE, CU_MEMORYTYPE_DEVICE}};
    case cudaMemcpyDefault:
      return {{CU_MEMORYTYPE_UNIFIED, CU_MEMORYTYPE_UNIFIED}};
  }
  return std::nullopt;
}

/// 0 bytes succeed, and give null.
template <typename Allocate>
cudaError_t allocate(const char* name, void** to, std::size_t size, Allocate&& allocate_some) {
  return call(name, [&]() -> cudaError_t {
    if (to == nullptr) return cudaErrorInvalidValue;
    if (size == 0) {
      *to = nullptr;
      return cudaSuccess;
    }
    return static_cast<cudaError_t>(allocate_some());
  });
}

}  // namespace

std::optional<CUDA_MEMCPY3D> rows_of(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                     std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  const auto types = types_of(kind);
  if (!types) return std::nullopt;
  CUDA_MEMCPY3D volume{};
  volume.srcMemoryType = types->first;
  volume.dstMemoryType = types->second;
  set_side(types->first, from, volume.srcHost, volume.srcDevice);
  const void* host = nullptr;
  set_side(types->second, to, host, volume.dstDevice);
  if (host != nullptr) volume.dstHost = to;
  volume.srcPitch = from_pitch;
  volume.dstPitch = to_pitch;
  volume.srcHeight = volume.dstHeight = height;
  volume.WidthInBytes = width;
  volume.Height = height;
  volume.Depth = 1;
  return volume;
}

std::optional<CUDA_MEMCPY3D> volume_of(const cudaMemcpy3DParms& p) {
  if (p.srcArray != nullptr || p.dstArray != nullptr) return std::nullopt;
  auto volume =
      rows_of(p.dstPtr.ptr, p.dstPtr.pitch, p.srcPtr.ptr, p.srcPtr.pitch, p.extent.width, p.extent.height, p.kind);
  if (!volume) return std::nullopt;
  volume->srcXInBytes = p.srcPos.x;
  volume->srcY = p.srcPos.y;
  volume->srcZ = p.srcPos.z;
  volume->srcHeight = p.srcPtr.ysize;
  volume->dstXInBytes = p.dstPos.x;
  volume->dstY = p.dstPos.y;
  volume->dstZ = p.dstPos.z;
  volume->dstHeight = p.dstPtr.ysize;
  volume->Depth = p.extent.depth;
  return volume;
}

cudaMemcpy3DParms parameters_of(const CUDA_MEMCPY3D& volume) {
  const bool from_host = volume.srcMemoryType == CU_MEMORYTYPE_HOST;
  const bool to_host = volume.dstMemoryType == CU_MEMORYTYPE_HOST;
  cudaMemcpy3DParms p{};
  p.srcPtr = {from_host ? const_cast<void*>(volume.srcHost) : pointer(volume.srcDevice),  // NOLINT: it is only read
              volume.srcPitch, volume.WidthInBytes, volume.srcHeight};
  p.dstPtr = {to_host ? volume.dstHost : pointer(volume.dstDevice), volume.dstPitch, volume.WidthInBytes,
              volume.dstHeight};
  p.extent = {volume.WidthInBytes, volume.Height, volume.Depth};
  p.kind = volume.srcMemoryType == CU_MEMORYTYPE_UNIFIED ? cudaMemcpyDefault
           : from_host                                   ? (to_host ? cudaMemcpyHostToHost : cudaMemcpyHostToDevice)
                       : (to_host ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice);
  return p;
}

}  // namespace moesaic::runtime

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

extern "C" {

cudaError_t cudaMalloc(void** to, std::size_t size) {
  return allocate(__func__, to, size, [&] {
    CUdeviceptr address = 0;
    const CUresult result = cuMemAlloc(&address, size);
    *to = pointer(address);
    return result;
  });
}

cudaError_t cudaMallocManaged(void** to, std::size_t size, unsigned int flags) {
  return allocate(__func__, to, size, [&] {
    CUdeviceptr address = 0;
    const CUresult result = cuMemAllocManaged(&address, size, flags);
    *to = pointer(address);
    return result;
  });
}

cudaError_t cudaMallocHost(void** to, std::size_t size) {
  return allocate(__func__, to, size, [&] { return cuMemHostAlloc(to, size, 0); });
}

cudaError_t cudaHostAlloc(void** to, std::size_t size, unsigned int flags) {
  return allocate(__func__, to, size, [&] { return cuMemHostAlloc(to, size, flags); });
}

cudaError_t cudaMallocPitch(void** to, std::size_t* pitch, std::size_t width, std::size_t height) {
  return allocate(__func__, to, width * height, [&] {
    CUdeviceptr address = 0;
    const CUresult result = cuMemAllocPitch(&address, pitch, width, height, 4);
    *to = pointer(address);
    return result;
  });
}

cudaError_t cudaMalloc3D(cudaPitchedPtr* to, cudaExtent extent) {
  *to = {};
  to->xsize = extent.width;
  to->ysize = extent.height;
  return cudaMallocPitch(&to->ptr, &to->pitch, extent.width, extent.height * extent.depth);
}

cudaError_t cudaFree(void* memory) {
  return call(__func__, [&] { return cuMemFree(address_of(memory)); });
}

cudaError_t cudaFreeHost(void* memory) {
  return call(__func__, [&] { return cuMemFreeHost(memory); });
}

/// Between the memory of two devices, of which there is one.
cudaError_t cudaMemcpyPeer(void* to, int to_device, const void* from, int from_device, std::size_t size) {
  return cudaMemcpyPeerAsync(to, to_device, from, from_device, size, nullptr);
}

cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device, std::size_t size,
                                cudaStream_t stream) {
  return call("cudaMemcpyPeer", [&]() -> cudaError_t {
    if (to_device != 0 || from_device != 0) return cudaErrorInvalidDevice;
    if (size == 0) return cudaSuccess;
    return static_cast<cudaError_t>(cuMemcpyDtoDAsync(address_of(to), address_of(from), size, stream));
  });
}

cudaError_t cudaHostRegister(void* memory, std::size_t size, unsigned int flags) {
  return call(__func__, [&] { return cuMemHostRegister(memory, size, flags); });
}

cudaError_t cudaHostUnregister(void* memory) {
  return call(__func__, [&] { return cuMemHostUnregister(memory); });
}

cudaError_t cudaHostGetDevicePointer(void** to, void* memory, unsigned int flags) {
  return call(__func__, [&] {
    CUdeviceptr address = 0;
    const CUresult result = cuMemHostGetDevicePointer(&address, memory, flags);
    *to = pointer(address);
    return result;
  });
}

cudaError_t cudaHostGetFlags(unsigned int* flags, void* memory) {
  return call(__func__, [&] { return cuMemHostGetFlags(flags, memory); });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  return call(__func__, [&] { return cuMemGetInfo(free_bytes, total_bytes); });
}

cudaError_t cudaMemAdvise(const void* memory, std::size_t size, cudaMemoryAdvise advice, cudaMemLocation) {
  return call(__func__, [&] {
    return cuMemAdvise(address_of(memory), size, static_cast<CUmem_advise>(advice), CUmemLocation{});
  });
}

/// A pointer that is none of the card's is memory of the host that nobody registered: no error.
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  return call(__func__, [&]() -> cudaError_t {
    if (attributes == nullptr) return cudaErrorInvalidValue;
    *attributes = {};
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = cudaInvalidDeviceId;
    unsigned int type = 0;
    unsigned int managed = 0;
    CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED};
    void* values[] = {&type, &managed};
    const CUresult result = cuPointerGetAttributes(2, which, values, address_of(memory));
    if (result != CUDA_SUCCESS) return static_cast<cudaError_t>(result);
    attributes->hostPointer = const_cast<void*>(memory);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    if (type == 0) return cudaSuccess;
    attributes->device = 0;
    attributes->devicePointer = attributes->hostPointer;
    attributes->type = managed != 0                 ? cudaMemoryTypeManaged
                       : type == CU_MEMORYTYPE_HOST ? cudaMemoryTypeHost
                                                    : cudaMemoryTypeDevice;
    if (attributes->type == cudaMemoryTypeDevice) attributes->hostPointer = nullptr;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return call(__func__, [&] { return cuDeviceGetDefaultMemPool(pool, device); });
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  return call(__func__, [&] { return cuDeviceGetMemPool(pool, device); });
}
cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool) {
  return call(__func__, [&] { return cuDeviceSetMemPool(device, pool); });
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  return call(__func__, [&] {
    const CUmemPoolProps wanted{};
    return properties == nullptr ? CUDA_ERROR_INVALID_VALUE : cuMemPoolCreate(pool, &wanted);
  });
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  return call(__func__, [&] { return cuMemPoolDestroy(pool); });
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return call(__func__,
              [&] { return cuMemPoolSetAttribute(pool, static_cast<CUmemPool_attribute>(attribute), value); });
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return call(__func__,
              [&] { return cuMemPoolGetAttribute(pool, static_cast<CUmemPool_attribute>(attribute), value); });
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t kept) {
  return call(__func__, [&] { return cuMemPoolTrimTo(pool, kept); });
}
}
