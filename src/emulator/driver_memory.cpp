#include <cuda.h>

#include <cstring>
#include <vector>

#include "emulator/driver_state.hpp"
#include "emulator/tensor_map.hpp"

/// Memory of the emulated card, and tensor maps. Before a copy or fill all that was launched runs, and everything is
/// done when a call returns: the asynchronous forms have nothing left to wait for.
namespace moesaic::emulator::driver {
namespace {

CUresult allocate(CUdeviceptr* address, std::size_t bytes) {
  return with_context(
      [&](State& all) {
        if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
        *address = all.machine->memory().allocate(bytes);
        return CUDA_SUCCESS;
      },
      CUDA_ERROR_OUT_OF_MEMORY);
}

CUresult release(CUdeviceptr address) {
  return with_idle_card([&](State& all) {
    if (address != 0) all.machine->memory().free(address);
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

/// Runs a copy or fill in a stream. The host waits for it when `known`: it then knows that what came before has ended.
template <typename Work>
CUresult in_stream(CUstream handle, bool known, Work&& work) {
  return with_context([&](State& all) {
    Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult ran = run_pending(all);
    if (ran != CUDA_SUCCESS) return ran;
    if (known) all.known.add(point_of(all, *stream).launches);
    stream->last_launch.reset();
    return work(all.machine->memory());
  });
}

CUresult copy_to_card_in(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream, bool known) {
  return in_stream(stream, known, [&](GlobalMemory& memory) {
    if (bytes != 0) memory.write(to, from, bytes);
    return CUDA_SUCCESS;
  });
}

CUresult copy_to_host_in(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream, bool known) {
  return in_stream(stream, known, [&](const GlobalMemory& memory) {
    if (bytes != 0) memory.read(to, from, bytes);
    return CUDA_SUCCESS;
  });
}

CUresult copy_on_card_in(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream, bool known) {
  return in_stream(stream, known, [&](GlobalMemory& memory) {
    if (bytes != 0) memory.copy(to, from, bytes);
    return CUDA_SUCCESS;
  });
}

CUresult fill_bytes_in(CUdeviceptr to, unsigned char value, std::size_t count, CUstream stream, bool known) {
  return in_stream(stream, known, [&](GlobalMemory& memory) {
    if (count != 0) memory.fill(to, std::byte{value}, count);
    return CUDA_SUCCESS;
  });
}

CUresult fill_words_in(CUdeviceptr to, unsigned int value, std::size_t count, CUstream stream, bool known) {
  return in_stream(stream, known, [&](GlobalMemory& memory) {
    if (to % sizeof value != 0) return CUDA_ERROR_INVALID_VALUE;
    const std::vector<unsigned int> words(count, value);
    if (count != 0) memory.write(to, words.data(), count * sizeof value);
    return CUDA_SUCCESS;
  });
}

CUresult copy_to_card(CUdeviceptr to, const void* from, std::size_t bytes) {
  return copy_to_card_in(to, from, bytes, nullptr, true);
}
CUresult copy_to_host(void* to, CUdeviceptr from, std::size_t bytes) {
  return copy_to_host_in(to, from, bytes, nullptr, true);
}
CUresult copy_on_card(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  return copy_on_card_in(to, from, bytes, nullptr, false);
}
CUresult fill_bytes(CUdeviceptr to, unsigned char value, std::size_t count) {
  return fill_bytes_in(to, value, count, nullptr, false);
}
CUresult fill_words(CUdeviceptr to, unsigned int value, std::size_t count) {
  return fill_words_in(to, value, count, nullptr, false);
}

CUresult copy_to_card_async(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream) {
  return copy_to_card_in(to, from, bytes, stream, false);
}
CUresult copy_to_host_async(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return copy_to_host_in(to, from, bytes, stream, false);
}
CUresult copy_on_card_async(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return copy_on_card_in(to, from, bytes, stream, false);
}
CUresult fill_bytes_async(CUdeviceptr to, unsigned char value, std::size_t count, CUstream stream) {
  return fill_bytes_in(to, value, count, stream, false);
}
CUresult fill_words_async(CUdeviceptr to, unsigned int value, std::size_t count, CUstream stream) {
  return fill_words_in(to, value, count, stream, false);
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
    map.fill = static_cast<Fill>(as_byte(fill));
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
      MOESAIC_NAMED_FUNCTION(cuMemFree, release),
      MOESAIC_NAMED_FUNCTION(cuMemGetInfo, get_info),
      MOESAIC_NAMED_FUNCTION(cuMemcpyHtoD, copy_to_card),
      MOESAIC_NAMED_FUNCTION(cuMemcpyDtoH, copy_to_host),
      MOESAIC_NAMED_FUNCTION(cuMemcpyDtoD, copy_on_card),
      MOESAIC_NAMED_FUNCTION(cuMemcpyHtoDAsync, copy_to_card_async),
      MOESAIC_NAMED_FUNCTION(cuMemcpyDtoHAsync, copy_to_host_async),
      MOESAIC_NAMED_FUNCTION(cuMemcpyDtoDAsync, copy_on_card_async),
      MOESAIC_NAMED_FUNCTION(cuMemsetD8, fill_bytes),
      MOESAIC_NAMED_FUNCTION(cuMemsetD8Async, fill_bytes_async),
      MOESAIC_NAMED_FUNCTION(cuMemsetD32, fill_words),
      MOESAIC_NAMED_FUNCTION(cuMemsetD32Async, fill_words_async),
      MOESAIC_NAMED_FUNCTION(cuTensorMapEncodeTiled, encode_tiled),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
