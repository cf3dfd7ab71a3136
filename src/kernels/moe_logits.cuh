#pragma once

#include "kernels/params.hpp"
#include "kernels/quantize_row.cuh"

/// The logits of a few tokens for a few experts, by one warp:
///   logits[t, e] = sum_h x[t, h] * w[e, h] + bias[e]
/// One order of sums for every logit (reference/layer.hpp, step 1): lane l adds, in ascending h, the products of each
/// run of 8 h whose number is l mod 32; then the lanes' sums are added in pairs that are 16, 8, 4, 2 and 1 apart. So
/// equal rows of the router tie, and a token's logits depend neither on the batch nor on the shape of the tile. The
/// products of bf16 are exact, and each step of a chain is one fma: f32 keeps more of a sum of many short chains than
/// of a long one, and fma runs at full rate where f64 would run at 1/64.
namespace moesaic::kernels {

/// h that a lane takes at a time: 16 bytes of bf16.
inline constexpr int kRun = 8;

/// The run's values as floats, each exactly.
__device__ inline void load_run(const std::uint16_t* from, float (&values)[kRun]) {
  const uint4 v = *reinterpret_cast<const uint4*>(from);
  const std::uint32_t pairs[]{v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < kRun; i += 2) {
    values[i] = low_bf16(pairs[i / 2]);
    values[i + 1] = high_bf16(pairs[i / 2]);
  }
}
__device__ inline void load_run(const float* from, float (&values)[kRun]) {
  const float4 low = reinterpret_cast<const float4*>(from)[0];
  const float4 high = reinterpret_cast<const float4*>(from)[1];
  const float all[]{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int i = 0; i < kRun; ++i) values[i] = all[i];
}

/// The sum of the lanes' values, the same in every lane: floats add commutatively, so each lane adds the same tree.
__device__ inline float sum_of_lanes(float value) {
#pragma unroll
  for (int apart = kWarpThreads / 2; apart > 0; apart /= 2) {
    value = __fadd_rn(value, __shfl_xor_sync(0xffffffffU, value, apart));
  }
  return value;
}

/// Experts and tokens past the last one are computed from the last one's values and not stored.
template <RouteShape kShape, class Weight>
__device__ void moe_logits(const MoeRouteParams& p, int expert0, int token0) {
  static_assert(kShape.experts * kShape.tokens <= kWarpThreads);
  if (expert0 >= p.experts || token0 >= p.tokens) return;
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  const Weight* w[kShape.experts];
  const std::uint16_t* x[kShape.tokens];
#pragma unroll
  for (int e = 0; e < kShape.experts; ++e) {
    w[e] = static_cast<const Weight*>(p.w) + static_cast<std::int64_t>(min(expert0 + e, p.experts - 1)) * p.hidden;
  }
#pragma unroll
  for (int t = 0; t < kShape.tokens; ++t) {
    x[t] = p.x + static_cast<std::int64_t>(min(token0 + t, p.tokens - 1)) * p.hidden;
  }

  float sums[kShape.experts][kShape.tokens]{};
  constexpr int kUnroll = kShape.experts * kShape.tokens > 1 ? 1 : 4;  // a single sum: loads in flight instead
#pragma unroll kUnroll
  for (int h = lane * kRun; h < p.hidden; h += kWarpThreads * kRun) {
    float weights[kShape.experts][kRun];
#pragma unroll
    for (int e = 0; e < kShape.experts; ++e) load_run(w[e] + h, weights[e]);
#pragma unroll
    for (int t = 0; t < kShape.tokens; ++t) {
      float values[kRun];
      load_run(x[t] + h, values);
#pragma unroll
      for (int e = 0; e < kShape.experts; ++e) {
#pragma unroll
        for (int i = 0; i < kRun; ++i) sums[e][t] = __fmaf_rn(weights[e][i], values[i], sums[e][t]);
      }
    }
  }

  float mine = 0;  // lane t * experts + e keeps the logit of token t and expert e
#pragma unroll
  for (int t = 0; t < kShape.tokens; ++t) {
#pragma unroll
    for (int e = 0; e < kShape.experts; ++e) {
      const float sum = sum_of_lanes(sums[e][t]);
      if (lane == t * kShape.experts + e) mine = sum;
    }
  }
  const int expert = expert0 + lane % kShape.experts;
  const int token = token0 + lane / kShape.experts;
  if (lane >= kShape.experts * kShape.tokens || expert >= p.experts || token >= p.tokens) return;
  if (p.bias != nullptr) mine = __fadd_rn(mine, p.bias[expert]);
  p.logits[static_cast<std::int64_t>(token) * p.experts + expert] = mine;
}

}  // namespace moesaic::kernels
