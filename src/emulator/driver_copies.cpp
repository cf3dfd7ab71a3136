#include <cuda.h>

#include <algorithm>
#include <vector>

#include "emulator/driver_state.hpp"

/// Copies and fills. Before one all that was launched runs, and everything is done when a call returns: the
/// asynchronous forms have nothing left to wait for.
namespace moesaic::emulator::driver {
namespace {

using Memory = Copy::Memory;

CUresult submit_copy(State& all, CUstream stream, const Copy& copy, bool known) {
  const auto is_null = [](const Copy::Side& side) { return side.memory == Memory::host && side.address == 0; };
  const bool moves = copy.width != 0 && copy.height != 0 && copy.depth != 0;
  if (moves && (is_null(copy.to) || is_null(copy.from))) {
    return refuse(CUDA_ERROR_INVALID_VALUE, "a copy whose host memory is null");
  }
  return submit(all, stream, copy, known);
}

/// A copy within one row.
CUresult copy_bytes(Memory to_memory, std::uint64_t to, Memory from_memory, std::uint64_t from, std::size_t bytes,
                    CUstream stream, bool known) {
  return with_context([&](State& all) {
    return submit_copy(all, stream,
                       Copy{.to = {.memory = to_memory, .address = to},
                            .from = {.memory = from_memory, .address = from},
                            .width = bytes},
                       known);
  });
}

std::uint64_t number(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

CUresult copy_to_card_async(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream) {
  return copy_bytes(Memory::card, to, Memory::host, number(from), bytes, stream, false);
}
CUresult copy_to_host_async(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return copy_bytes(Memory::host, number(to), Memory::card, from, bytes, stream, false);
}
CUresult copy_on_card_async(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return copy_bytes(Memory::card, to, Memory::card, from, bytes, stream, false);
}
CUresult copy_async(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return copy_bytes(Memory::either, to, Memory::either, from, bytes, stream, false);
}
CUresult copy_to_card(CUdeviceptr to, const void* from, std::size_t bytes) {
  return copy_bytes(Memory::card, to, Memory::host, number(from), bytes, nullptr, true);
}
CUresult copy_to_host(void* to, CUdeviceptr from, std::size_t bytes) {
  return copy_bytes(Memory::host, number(to), Memory::card, from, bytes, nullptr, true);
}
CUresult copy_on_card(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return copy_on_card_async(to, from, bytes, nullptr);
}
CUresult copy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return copy_bytes(Memory::either, to, Memory::either, from, bytes, nullptr, true);
}

CUresult copy_volume_in(const CUDA_MEMCPY3D* parameters, CUstream stream, bool known) {
  return with_context([&](State& all) {
    if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const std::optional<Copy> copy = copy_of(*parameters);
    if (!copy) return refuse(CUDA_ERROR_NOT_SUPPORTED, "copies of CUDA arrays are not emulated");
    const auto too_narrow = [&](const Copy::Side& side) {
      return (copy->height > 1 || copy->depth > 1) && side.pitch < copy->width;
    };
    const auto leaves_row = [&](std::size_t x, std::size_t pitch) {
      return pitch != 0 && x + parameters->WidthInBytes > pitch;
    };
    if (too_narrow(copy->to) || too_narrow(copy->from) || leaves_row(parameters->srcXInBytes, parameters->srcPitch) ||
        leaves_row(parameters->dstXInBytes, parameters->dstPitch)) {
      return refuse(CUDA_ERROR_INVALID_VALUE, "a copy of rows that are wider than the pitch of their memory");
    }
    return submit_copy(all, stream, *copy, known);
  });
}

CUresult copy_volume(const CUDA_MEMCPY3D* parameters) {
  return copy_volume_in(parameters, nullptr, true);
}
CUresult copy_volume_async(const CUDA_MEMCPY3D* parameters, CUstream stream) {
  return copy_volume_in(parameters, stream, false);
}

CUDA_MEMCPY3D as_volume(const CUDA_MEMCPY2D& flat) {
  CUDA_MEMCPY3D volume{};
  volume.srcXInBytes = flat.srcXInBytes;
  volume.srcY = flat.srcY;
  volume.srcMemoryType = flat.srcMemoryType;
  volume.srcHost = flat.srcHost;
  volume.srcDevice = flat.srcDevice;
  volume.srcPitch = flat.srcPitch;
  volume.dstXInBytes = flat.dstXInBytes;
  volume.dstY = flat.dstY;
  volume.dstMemoryType = flat.dstMemoryType;
  volume.dstHost = flat.dstHost;
  volume.dstDevice = flat.dstDevice;
  volume.dstPitch = flat.dstPitch;
  volume.WidthInBytes = flat.WidthInBytes;
  volume.Height = flat.Height;
  volume.Depth = 1;
  return volume;
}

CUresult copy_rows(const CUDA_MEMCPY2D* parameters) {
  if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_MEMCPY3D volume = as_volume(*parameters);
  return copy_volume(&volume);
}
CUresult copy_rows_async(const CUDA_MEMCPY2D* parameters, CUstream stream) {
  if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_MEMCPY3D volume = as_volume(*parameters);
  return copy_volume_async(&volume, stream);
}

template <typename Value>
CUresult fill_rows_async(CUdeviceptr to, std::size_t pitch, Value value, std::size_t width, std::size_t height,
                         CUstream stream) {
  return with_context([&](State& all) {
    if (to % sizeof(Value) != 0 || (height > 1 && pitch < width * sizeof(Value))) return CUDA_ERROR_INVALID_VALUE;
    return submit(all, stream,
                  Fill{.to = to,
                       .value = value,
                       .element_bytes = sizeof(Value),
                       .width = width,
                       .height = height,
                       .pitch = pitch});
  });
}
template <typename Value>
CUresult fill_rows(CUdeviceptr to, std::size_t pitch, Value value, std::size_t width, std::size_t height) {
  return fill_rows_async(to, pitch, value, width, height, nullptr);
}
template <typename Value>
CUresult fill_async(CUdeviceptr to, Value value, std::size_t count, CUstream stream) {
  return fill_rows_async(to, 0, value, count, 1, stream);
}
template <typename Value>
CUresult fill(CUdeviceptr to, Value value, std::size_t count) {
  return fill_rows_async(to, 0, value, count, 1, nullptr);
}

std::optional<Copy::Side> side_of(CUmemorytype type, const void* host, CUdeviceptr card, std::size_t pitch,
                                  std::size_t rows, std::size_t x, std::size_t y, std::size_t z) {
  Copy::Side side{.address = card, .pitch = pitch, .slice = pitch * rows};
  switch (type) {
    case CU_MEMORYTYPE_HOST:
      side.memory = Memory::host;
      side.address = number(host);
      break;
    case CU_MEMORYTYPE_DEVICE:
      side.memory = Memory::card;
      break;
    case CU_MEMORYTYPE_UNIFIED:
      side.memory = Memory::either;
      break;
    default:
      return std::nullopt;
  }
  side.address += z * side.slice + y * pitch + x;
  return side;
}

CUmemorytype type_of(Memory memory) {
  if (memory == Memory::either) return CU_MEMORYTYPE_UNIFIED;
  return memory == Memory::host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
}

}  // namespace

std::optional<Copy> copy_of(const CUDA_MEMCPY3D& p) {
  const auto from =
      side_of(p.srcMemoryType, p.srcHost, p.srcDevice, p.srcPitch, p.srcHeight, p.srcXInBytes, p.srcY, p.srcZ);
  const auto to =
      side_of(p.dstMemoryType, p.dstHost, p.dstDevice, p.dstPitch, p.dstHeight, p.dstXInBytes, p.dstY, p.dstZ);
  if (!from || !to) return std::nullopt;
  return Copy{.to = *to, .from = *from, .width = p.WidthInBytes, .height = p.Height, .depth = p.Depth};
}

CUDA_MEMCPY3D parameters_of(const Copy& copy) {
  CUDA_MEMCPY3D p{};
  p.srcMemoryType = type_of(copy.from.memory);
  p.dstMemoryType = type_of(copy.to.memory);
  p.srcDevice = copy.from.address;
  p.dstDevice = copy.to.address;
  p.srcHost = reinterpret_cast<const void*>(copy.from.address);  // NOLINT(performance-no-int-to-ptr): the program's
  p.dstHost = reinterpret_cast<void*>(copy.to.address);          // NOLINT(performance-no-int-to-ptr): the program's
  p.srcPitch = copy.from.pitch;
  p.dstPitch = copy.to.pitch;
  p.srcHeight = copy.from.pitch == 0 ? 0 : copy.from.slice / copy.from.pitch;
  p.dstHeight = copy.to.pitch == 0 ? 0 : copy.to.slice / copy.to.pitch;
  p.WidthInBytes = copy.width;
  p.Height = copy.height;
  p.Depth = copy.depth;
  return p;
}

std::span<const NamedFunction> copy_functions() {
  using Byte = unsigned char;
  using Half = unsigned short;
  using Word = unsigned int;
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuMemcpy, copy),
      MOESAIC_NAMED_FUNCTION(cuMemcpyAsync, copy_async),
      MOESAIC_NAMED_FUNCTION(cuMemcpyHtoD, copy_to_card),
      MOESAIC_NAMED_FUNCTION(cuMemcpyDtoH, copy_to_host),
      MOESAIC_NAMED_FUNCTION(cuMemcpyDtoD, copy_on_card),
      MOESAIC_NAMED_FUNCTION(cuMemcpyHtoDAsync, copy_to_card_async),
      MOESAIC_NAMED_FUNCTION(cuMemcpyDtoHAsync, copy_to_host_async),
      MOESAIC_NAMED_FUNCTION(cuMemcpyDtoDAsync, copy_on_card_async),
      MOESAIC_NAMED_FUNCTION(cuMemcpy2D, copy_rows),
      MOESAIC_NAMED_FUNCTION(cuMemcpy2DUnaligned, copy_rows),
      MOESAIC_NAMED_FUNCTION(cuMemcpy2DAsync, copy_rows_async),
      MOESAIC_NAMED_FUNCTION(cuMemcpy3D, copy_volume),
      MOESAIC_NAMED_FUNCTION(cuMemcpy3DAsync, copy_volume_async),
      MOESAIC_NAMED_FUNCTION(cuMemsetD8, fill<Byte>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD16, fill<Half>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD32, fill<Word>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD8Async, fill_async<Byte>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD16Async, fill_async<Half>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD32Async, fill_async<Word>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD2D8, fill_rows<Byte>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD2D16, fill_rows<Half>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD2D32, fill_rows<Word>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD2D8Async, fill_rows_async<Byte>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD2D16Async, fill_rows_async<Half>),
      MOESAIC_NAMED_FUNCTION(cuMemsetD2D32Async, fill_rows_async<Word>),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
