#include "runtime/copies.hpp"
#include "runtime/registration.hpp"
#include "runtime/runtime.hpp"

/// Copies, fills, and memory in the order of a stream. Compiled twice: see runtime.hpp.
namespace moesaic::runtime {
namespace {

/// The default stream of the caller.
CUstream default_stream() {
  return stream_of(nullptr);
}

/// What a copy gave; the host waits for it unless it stays on the card.
CUresult wait(CUresult copied, cudaMemcpyKind kind) {
  if (copied != CUDA_SUCCESS || kind == cudaMemcpyDeviceToDevice) return copied;
  return cuStreamSynchronize(default_stream());
}

CUresult copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind, CUstream stream) {
  if (size == 0) return CUDA_SUCCESS;
  switch (kind) {
    case cudaMemcpyHostToDevice:
      return cuMemcpyHtoDAsync(address_of(to), from, size, stream);
    case cudaMemcpyDeviceToHost:
      return cuMemcpyDtoHAsync(to, address_of(from), size, stream);
    case cudaMemcpyDeviceToDevice:
      return cuMemcpyDtoDAsync(address_of(to), address_of(from), size, stream);
    case cudaMemcpyHostToHost:
    case cudaMemcpyDefault:
      return cuMemcpyAsync(address_of(to), address_of(from), size, stream);
  }
  return static_cast<CUresult>(cudaErrorInvalidMemcpyDirection);
}

bool is_direction(cudaMemcpyKind kind) {
  return kind >= cudaMemcpyHostToHost && kind <= cudaMemcpyDefault;
}

/// Whether rows and layers that come one after another overlap.
bool overlaps_itself(const CUDA_MEMCPY3D& volume) {
  const bool rows = volume.Height > 1 || volume.Depth > 1;
  const bool layers = volume.Depth > 1;
  return (rows && (volume.WidthInBytes > volume.srcPitch || volume.WidthInBytes > volume.dstPitch)) ||
         (layers && (volume.Height > volume.srcHeight || volume.Height > volume.dstHeight));
}

/// `volume` is none where there is no such direction, or where arrays are named.
CUresult copy_volume(const std::optional<CUDA_MEMCPY3D>& volume, cudaMemcpyKind kind, CUstream stream) {
  if (!volume) return is_direction(kind) ? CUDA_ERROR_INVALID_VALUE : CUresult(cudaErrorInvalidMemcpyDirection);
  if (volume->WidthInBytes == 0 || volume->Height == 0 || volume->Depth == 0) return CUDA_SUCCESS;
  return overlaps_itself(*volume) ? CUresult(cudaErrorInvalidPitchValue) : cuMemcpy3DAsync(&*volume, stream);
}

/// Calls body(address) with the part of a variable that begins at `offset`. `direction` is that of copies to or from
/// the host.
template <typename Body>
cudaError_t with_variable(const char* name, const void* symbol, std::size_t size, std::size_t offset,
                          cudaMemcpyKind kind, cudaMemcpyKind direction, Body&& body) {
  return call(name, [&]() -> cudaError_t {
    if (kind != direction && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault) {
      return cudaErrorInvalidMemcpyDirection;
    }
    CUdeviceptr address = 0;
    std::size_t bytes = 0;
    const cudaError_t found = find_variable(symbol, address, bytes);
    if (found != cudaSuccess) return found;
    if (offset > bytes || size > bytes - offset) return cudaErrorInvalidValue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of the card
    return static_cast<cudaError_t>(body(reinterpret_cast<void*>(address + offset)));
  });
}

CUresult fill_rows(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height, CUstream stream) {
  if (width == 0 || height == 0) return CUDA_SUCCESS;
  return cuMemsetD2D8Async(address_of(to), pitch, static_cast<unsigned char>(value), width, height, stream);
}

CUresult fill_volume(const cudaPitchedPtr& to, int value, const cudaExtent& extent, CUstream stream) {
  auto* layer = static_cast<char*>(to.ptr);
  for (std::size_t z = 0; z < extent.depth; ++z, layer += to.pitch * to.ysize) {
    const CUresult filled = fill_rows(layer, to.pitch, value, extent.width, extent.height, stream);
    if (filled != CUDA_SUCCESS) return filled;
  }
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace moesaic::runtime

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

extern "C" {

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  return call("cudaMemcpy", [&] { return wait(copy(to, from, size, kind, default_stream()), kind); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpyAsync", [&] { return copy(to, from, size, kind, stream_of(stream)); });
}

cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t width,
                         std::size_t height, cudaMemcpyKind kind) {
  return call("cudaMemcpy2D", [&] {
    return wait(copy_volume(rows_of(to, to_pitch, from, from_pitch, width, height, kind), kind, default_stream()),
                kind);
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpy2DAsync", [&] {
    return copy_volume(rows_of(to, to_pitch, from, from_pitch, width, height, kind), kind, stream_of(stream));
  });
}

cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* parameters) {
  return call("cudaMemcpy3D", [&] {
    return wait(copy_volume(volume_of(*parameters), parameters->kind, default_stream()), parameters->kind);
  });
}

cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* parameters, cudaStream_t stream) {
  return call("cudaMemcpy3DAsync",
              [&] { return copy_volume(volume_of(*parameters), parameters->kind, stream_of(stream)); });
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, std::size_t size, std::size_t offset,
                               cudaMemcpyKind kind) {
  return with_variable("cudaMemcpyToSymbol", symbol, size, offset, kind, cudaMemcpyHostToDevice,
                       [&](void* to) { return wait(copy(to, from, size, kind, default_stream()), kind); });
}

cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, std::size_t size, std::size_t offset,
                                 cudaMemcpyKind kind) {
  return with_variable("cudaMemcpyFromSymbol", symbol, size, offset, kind, cudaMemcpyDeviceToHost,
                       [&](const void* from) { return wait(copy(to, from, size, kind, default_stream()), kind); });
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, std::size_t size, std::size_t offset,
                                    cudaMemcpyKind kind, cudaStream_t stream) {
  return with_variable("cudaMemcpyToSymbolAsync", symbol, size, offset, kind, cudaMemcpyHostToDevice,
                       [&](void* to) { return copy(to, from, size, kind, stream_of(stream)); });
}

cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, std::size_t size, std::size_t offset,
                                      cudaMemcpyKind kind, cudaStream_t stream) {
  return with_variable("cudaMemcpyFromSymbolAsync", symbol, size, offset, kind, cudaMemcpyDeviceToHost,
                       [&](const void* from) { return copy(to, from, size, kind, stream_of(stream)); });
}

cudaError_t cudaMemset(void* to, int value, std::size_t size) {
  return call("cudaMemset", [&] { return fill_rows(to, 0, value, size, 1, default_stream()); });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t size, cudaStream_t stream) {
  return call("cudaMemsetAsync", [&] { return fill_rows(to, 0, value, size, 1, stream_of(stream)); });
}

cudaError_t cudaMemset2D(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height) {
  return call("cudaMemset2D", [&] { return fill_rows(to, pitch, value, width, height, default_stream()); });
}

cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t stream) {
  return call("cudaMemset2DAsync", [&] { return fill_rows(to, pitch, value, width, height, stream_of(stream)); });
}

cudaError_t cudaMemset3D(cudaPitchedPtr to, int value, cudaExtent extent) {
  return call("cudaMemset3D", [&] { return fill_volume(to, value, extent, default_stream()); });
}

cudaError_t cudaMemset3DAsync(cudaPitchedPtr to, int value, cudaExtent extent, cudaStream_t stream) {
  return call("cudaMemset3DAsync", [&] { return fill_volume(to, value, extent, stream_of(stream)); });
}

cudaError_t cudaMallocAsync(void** to, std::size_t size, cudaStream_t stream) {
  return call("cudaMallocAsync", [&] {
    CUdeviceptr address = 0;
    const CUresult result = size == 0 ? CUDA_SUCCESS : cuMemAllocAsync(&address, size, stream_of(stream));
    *to = reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): an address of the card
    return result;
  });
}

cudaError_t cudaMallocFromPoolAsync(void** to, std::size_t size, cudaMemPool_t, cudaStream_t stream) {
  return cudaMallocAsync(to, size, stream);
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  return call("cudaFreeAsync",
              [&] { return memory == nullptr ? CUDA_SUCCESS : cuMemFreeAsync(address_of(memory), stream_of(stream)); });
}

cudaError_t cudaMemPrefetchAsync(const void* memory, std::size_t size, cudaMemLocation, unsigned int flags,
                                 cudaStream_t stream) {
  return call("cudaMemPrefetchAsync",
              [&] { return cuMemPrefetchAsync(address_of(memory), size, CUmemLocation{}, flags, stream_of(stream)); });
}
}
