#include <cuda.h>

#include <cstring>

#include "emulator/driver_state.hpp"
#include "emulator/tensor_map.hpp"

/// Memory of the emulated card, and tensor maps.
namespace moesaic::emulator::driver {
namespace {

CUresult allocate(CUdeviceptr* address, std::size_t bytes) {
  return with_context(
      [&](State& all) {
        if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
        if (const CUresult legal = check_none_captured(all); legal != CUDA_SUCCESS) return legal;
        *address = all.machine->memory().allocate(bytes);
        return CUDA_SUCCESS;
      },
      CUDA_ERROR_OUT_OF_MEMORY);
}

/// Rows of an allocation with a pitch begin at multiples of this, as on real cards.
constexpr std::size_t kPitch = 512;

CUresult allocate_rows(CUdeviceptr* address, std::size_t* pitch, std::size_t width, std::size_t height,
                       unsigned int element_bytes) {
  if (pitch == nullptr || (element_bytes != 4 && element_bytes != 8 && element_bytes != 16)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *pitch = (width + kPitch - 1) / kPitch * kPitch;
  return allocate(address, *pitch * height);
}

CUresult release(CUdeviceptr address) {
  return with_idle_card([&](State& all) {
    if (address == 0) return CUDA_SUCCESS;
    if (all.host_memory.contains(address)) return release_host_memory(all, address, HostMemory::Kind::managed);
    all.machine->memory().free(address);
    return CUDA_SUCCESS;
  });
}

CUresult get_info(std::size_t* free_bytes, std::size_t* total_bytes) {
  return with_context([&](State& all) {
    const GlobalMemory& memory = all.machine->memory();
    if (free_bytes != nullptr) *free_bytes = memory.capacity() - memory.used();
    if (total_bytes != nullptr) *total_bytes = memory.capacity();
    return CUDA_SUCCESS;
  });
}

/// An enumerator as a byte; what does not fit becomes 255, which no checker accepts.
std::uint8_t as_byte(unsigned int enumerator) {
  return static_cast<std::uint8_t>(enumerator > 255 ? 255 : enumerator);
}

CUresult encode_tiled(CUtensorMap* to, CUtensorMapDataType type, cuuint32_t rank, void* address, const cuuint64_t* dims,
                      const cuuint64_t* strides_bytes, const cuuint32_t* box, const cuuint32_t* element_strides,
                      CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2_promotion,
                      CUtensorMapFloatOOBfill fill) {
  return with_driver([&](State&) {
    // The real one wants strides even of rank 1, which has none.
    const bool has_all =
        to != nullptr && dims != nullptr && box != nullptr && element_strides != nullptr && strides_bytes != nullptr;
    if (!has_all || reinterpret_cast<std::uintptr_t>(to) % 64 != 0) {
      return refuse(CUDA_ERROR_INVALID_VALUE, "tensor map: a pointer is null, or the map is not 64-byte aligned");
    }
    if (rank > kMaxTensorRank) return refuse(CUDA_ERROR_INVALID_VALUE, "tensor map: the rank is not in 1 to 5");
    TensorMap map;
    map.type = static_cast<TensorType>(as_byte(type));
    map.rank = static_cast<int>(rank);
    map.address = reinterpret_cast<std::uintptr_t>(address);
    for (std::size_t d = 0; d < rank; ++d) {
      map.dims[d] = dims[d];
      if (d > 0) map.strides_bytes[d] = strides_bytes[d - 1];
      map.box[d] = box[d];
      map.element_strides[d] = element_strides[d];
    }
    map.interleave = static_cast<Interleave>(as_byte(interleave));
    map.swizzle = static_cast<Swizzle>(as_byte(swizzle));
    map.l2_promotion = as_byte(l2_promotion);
    map.fill = static_cast<emulator::Fill>(as_byte(fill));
    check_encodable(map);
    const TensorMapBytes bytes = pack(map);
    static_assert(sizeof *to == bytes.size());
    std::memcpy(to, bytes.data(), bytes.size());
    return CUDA_SUCCESS;
  });
}

}  // namespace

std::span<const NamedFunction> memory_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuMemAlloc, allocate),
      MOESAIC_NAMED_FUNCTION(cuMemAllocPitch, allocate_rows),
      MOESAIC_NAMED_FUNCTION(cuMemFree, release),
      MOESAIC_NAMED_FUNCTION(cuMemGetInfo, get_info),
      MOESAIC_NAMED_FUNCTION(cuTensorMapEncodeTiled, encode_tiled),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
