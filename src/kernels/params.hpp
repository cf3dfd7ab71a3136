#pragma once

#include <cuda.h>

#include <cstdint>

#include "spec/gemm.hpp"

/// The one argument of each kernel. Device pointers; all matrices row-major; R = tokens * top_k rows sorted by expert.
namespace moesaic::kernels {

/// Maps of the tokens' matrix that differ in the rows of their box: 1, 2, 4, ... 128, so that a tile copies only rows
/// that exist (up to 4 of them the next power of two, else the next multiple of 8).
inline constexpr int kTokenMaps = 8;

struct MoeFp8GemmParams {
  CUtensorMap w;                ///< rows: e4m3 {K, N, E}, box {min(tile_k, 128), tile_f, 1}, swizzled, zero outside
  CUtensorMap x[kTokenMaps];    ///< {K, R}, box {min(tile_k, 128), 1 << i}; those of more than tile_t rows are not set
  const std::uint8_t* panels;   ///< panels: e4m3 [E, ceil(K / 128), N, 128] (spec/panels.hpp); else null
  const float* w_scales;        ///< of expert e, channel n: [e * w_scale_expert + n * w_scale_channel]
  const float* x_scales;        ///< of expert e, row r: [e * x_scale_expert + r * x_scale_row]
  const float* bias;            ///< [E, N], or null
  const std::int32_t* first;    ///< [E + 1]: rows of expert e are [first[e], first[e + 1])
  void* out;                    ///< [R, N] in out_format
  std::int32_t experts;         ///< at most kMaxExperts
  std::int32_t n;               ///< a multiple of 8
  std::int32_t k;               ///< a multiple of 16
  std::int32_t w_scale_expert;  ///< strides: 0 where the scale does not vary
  std::int32_t w_scale_channel;
  std::int32_t x_scale_expert;
  std::int32_t x_scale_row;
  OutFormat out_format;
  Dependence dependence;
};

/// From weights as a checkpoint has them to panels (spec/panels.hpp): 16 bytes a thread.
struct MoePackParams {
  const std::uint8_t* rows;  ///< [E, N, K] e4m3
  std::uint8_t* panels;      ///< [E, ceil(K / 128), N, 128]
  std::int32_t experts;
  std::int32_t n;
  std::int32_t k;  ///< a multiple of 16
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

/// Threads of a block of the elementwise kernels.
inline constexpr int kRowThreads = 128;

}  // namespace moesaic::kernels
