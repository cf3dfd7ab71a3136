#pragma once

#include <cstdint>

/// What every kernel with a planted bug is given.
namespace moesaic::planted {

inline constexpr std::uint32_t kWords = 1024;     ///< of each buffer
inline constexpr std::uint32_t kTileWords = 256;  ///< of a box of the tensor maps: 8 rows of 32 words
inline constexpr std::uint32_t kTileBytes = 4 * kTileWords;

/// A tensor map as the driver encodes it.
struct alignas(128) TensorMapBytes {
  std::uint32_t words[32];
};

struct Params {
  TensorMapBytes load_map;   ///< of `in`: 32 rows of 32 words, boxes of 8 rows
  TensorMapBytes store_map;  ///< of `out`: the same
  const std::uint32_t* in;   ///< 0, 1, 2, ...
  std::uint32_t* out;        ///< never written before the kernel
  std::uint32_t* zeros;      ///< zeros, to count and signal in
  TensorMapBytes* map;       ///< room for a tensor map of each of four blocks, all load_map to begin with
};

}  // namespace moesaic::planted
