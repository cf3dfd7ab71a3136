#pragma once

#include <cuda.h>

#include <cstdint>

#include "spec/gemm.hpp"
#include "spec/scoring.hpp"

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
  std::int32_t* tickets;        ///< a counter that is 0 and becomes 0 again: who is free takes the next tile
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
  const std::uint16_t* x;      ///< [T, hidden] bf16
  const std::int32_t* expert;  ///< [T, top_k]
  const std::int32_t* row;     ///< [T, top_k]: the rows that take token t
  std::uint8_t* codes;         ///< [R, hidden] e4m3
  float* scales;               ///< [R], written; static ones: [E], read
  std::int32_t hidden;         ///< a multiple of 8
  std::int32_t top_k;
  std::int32_t static_scales;  ///< not 0: the scales come from the checkpoint
};

struct MoeSwigluParams {
  const float* gate_up;        ///< [R, 2 * width], gate first
  const std::int32_t* expert;  ///< [T, top_k]
  const std::int32_t* row;     ///< [T, top_k]
  std::uint16_t* h;            ///< [R, width] bf16, or null when nobody asks
  std::uint8_t* codes;         ///< [R, width] e4m3
  float* scales;               ///< [R], written; static ones: [E], read
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

/// A router, the tokens that it sees and what it decides: Router and Routing of spec/layer.hpp on a card.
struct MoeRouteParams {
  const std::uint16_t* x;     ///< [T, hidden] bf16
  const void* w;              ///< [E, hidden], bf16 or f32 as the entry says
  const float* bias;          ///< [E], or null
  const float* correction;    ///< [E], or null
  const float* expert_scale;  ///< [E], or null
  float* logits;              ///< [T, E], written
  std::int32_t* expert;       ///< [T, top_k], written
  float* weight;              ///< [T, top_k], written
  std::int32_t* row;          ///< [T, top_k], written
  std::int32_t* first;        ///< [E + 1], written
  std::uint32_t* finished;    ///< [token tiles + 1], zeros before and after a launch
  std::int32_t tokens;
  std::int32_t experts;     ///< at most kMostRoutedExperts
  std::int32_t hidden;      ///< a multiple of 8
  std::int32_t top_k;       ///< at most experts and kWarpThreads
  std::int32_t groups;      ///< at most kWarpThreads; divides experts
  std::int32_t top_groups;  ///< top_k of their experts exist
  Scoring scoring;
  bool renormalize;
  float scale;
};

/// How the router's kernel shares out the logits: a warp computes experts x tokens of them at a time, and token_warps
/// of a block's warps stand side by side over the tokens, the others over the experts.
struct RouteShape {
  int experts = 0;
  int tokens = 0;
  int token_warps = 0;
  int most_tokens = 0;  ///< it is taken up to so many tokens
};

/// Threads of a block of the router's kernel.
inline constexpr int kRouteThreads = 256;
inline constexpr int kRouteWarps = kRouteThreads / 32;
inline constexpr int kMostRoutedExperts = 512;

/// Tokens and experts of a block.
constexpr int tile_tokens(RouteShape shape) {
  return shape.tokens * shape.token_warps;
}
constexpr int tile_experts(RouteShape shape) {
  return shape.experts * (kRouteWarps / shape.token_warps);
}

/// Threads of a block of the elementwise kernels.
inline constexpr int kRowThreads = 128;

}  // namespace moesaic::kernels
