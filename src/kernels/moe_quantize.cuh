#pragma once

#include "kernels/quantize_row.cuh"

/// Quantizes each token and writes it to the top_k rows that its experts read: once with a dynamic scale, or for each
/// row with the static scale of its expert.
///   codes[row[t, j], :] = e4m3(x[t, :] / s), scales[row[t, j]] = s, or s = scales[expert[t, j]]
/// Grid: one block a token, kRowThreads threads.
namespace moesaic::kernels {

/// The token `x`, of `vectors` times 8 values, to its rows, whose scales are given.
__device__ inline void moe_quantize_static(const MoeQuantizeParams& p, std::int64_t token, const uint4* x,
                                           int vectors) {
  for (int j = 0; j < p.top_k; ++j) {
    const std::int64_t row = p.row[token * p.top_k + j];
    const float scale = p.scales[p.expert[token * p.top_k + j]];
    auto* codes = reinterpret_cast<uint2*>(p.codes + row * p.hidden);
    for (int i = static_cast<int>(threadIdx.x); i < vectors; i += kRowThreads) codes[i] = quantize8_static(x[i], scale);
  }
}

__device__ inline void moe_quantize(const MoeQuantizeParams& p) {
  constexpr int kVector = 8;
  ptx::griddepcontrol_wait();
  ptx::griddepcontrol_launch_dependents();
  const std::int64_t token = blockIdx.x;
  const auto* x = reinterpret_cast<const uint4*>(p.x + token * p.hidden);
  const int vectors = p.hidden / kVector;
  if (p.static_scales != 0) return moe_quantize_static(p, token, x, vectors);

  float largest = 0;
  for (int i = static_cast<int>(threadIdx.x); i < vectors; i += kRowThreads) largest = fmaxf(largest, max8(x[i]));
  const float scale = scale_of(block_max(largest));

  for (int i = static_cast<int>(threadIdx.x); i < vectors; i += kRowThreads) {
    const uint2 codes = quantize8(x[i], scale);
    for (int j = 0; j < p.top_k; ++j) {
      const std::int64_t row = p.row[token * p.top_k + j];
      reinterpret_cast<uint2*>(p.codes + row * p.hidden)[i] = codes;
    }
  }
  for (int j = static_cast<int>(threadIdx.x); j < p.top_k; j += kRowThreads) {
    p.scales[p.row[token * p.top_k + j]] = scale;
  }
}

}  // namespace moesaic::kernels
