#pragma once

#include <cuda.h>

#include <cstdint>

/// The one argument of each kernel. Device pointers; all matrices row-major; R = tokens * top_k rows sorted by expert.
namespace moesaic::kernels {

struct MoeFp8GemmParams {
  CUtensorMap w;              ///< e4m3 {K, N, E}, box {128, tile_f, 1}, 128-byte swizzle, zero outside
  CUtensorMap x;              ///< e4m3 {K, R}, box {128, tile_t}, 128-byte swizzle, zero outside
  const float* w_scales;      ///< [E, N]
  const float* x_scales;      ///< [R]
  const std::int32_t* first;  ///< [E + 1]: rows of expert e are [first[e], first[e + 1])
  float* out;                 ///< [R, N]
  std::int32_t experts;
  std::int32_t n;
  std::int32_t k;
};

struct MoeQuantizeParams {
  const std::uint16_t* x;   ///< [T, hidden] bf16
  const std::int32_t* row;  ///< [T, top_k]: the rows that take token t
  std::uint8_t* codes;      ///< [R, hidden] e4m3
  float* scales;            ///< [R]: written, or read when they are static
  std::int32_t hidden;      ///< a multiple of 8
  std::int32_t top_k;
  std::int32_t static_scales;  ///< not 0: the scales come from the checkpoint
};

struct MoeSwigluParams {
  const float* gate_up;        ///< [R, 2 * width], gate first
  std::uint16_t* h;            ///< [R, width] bf16, or null when nobody asks
  std::uint8_t* codes;         ///< [R, width] e4m3
  float* scales;               ///< [R]: written, or read when they are static
  std::int32_t width;          ///< a multiple of 8
  std::int32_t static_scales;  ///< not 0: the scales come from the checkpoint
};

struct MoeCombineParams {
  const float* down;        ///< [R, hidden]
  const std::int32_t* row;  ///< [T, top_k]
  const float* weight;      ///< [T, top_k]
  float* out;               ///< [T, hidden]
  std::int32_t hidden;
  std::int32_t top_k;
};

/// Threads of a block of the three elementwise kernels.
inline constexpr int kRowThreads = 128;

}  // namespace moesaic::kernels
