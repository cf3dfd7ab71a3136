#pragma once

#include "kernels/exponential.cuh"
#include "kernels/quantize_row.cuh"

/// What stands between the two GEMMs, a row a block:
///   h[r, i] = bf16(silu(gate_up[r, i]) * gate_up[r, width + i]),  codes[r, :] = e4m3(h[r, :] / s),  scales[r] = s, or
///   s = scales[expert of r]
/// Dynamic shared memory: the row of h, width * 2 bytes, so that nothing is computed twice.
namespace moesaic::kernels {

__device__ inline void moe_swiglu(const MoeSwigluParams& p) {
  constexpr int kVector = 8;
  extern __shared__ uint4 h_row[];
  ptx::griddepcontrol_wait();
  ptx::griddepcontrol_launch_dependents();
  const bool is_static = p.static_scales != 0;
  // A static scale is the expert's, which is known of a pair of token and slot and not of a row.
  const std::int64_t row = is_static ? p.row[blockIdx.x] : static_cast<std::int32_t>(blockIdx.x);
  const float* gate = p.gate_up + row * 2 * p.width;
  const float* up = gate + p.width;

  float largest = 0;
  for (int i = static_cast<int>(threadIdx.x); i < p.width / 2; i += kRowThreads) {
    const float2 g = reinterpret_cast<const float2*>(gate)[i];
    const float2 u = reinterpret_cast<const float2*>(up)[i];
    const std::uint32_t pair = ptx::cvt_bf16x2(__fmul_rn(silu(g.x), u.x), __fmul_rn(silu(g.y), u.y));
    reinterpret_cast<std::uint32_t*>(h_row)[i] = pair;
    if (p.h != nullptr) reinterpret_cast<std::uint32_t*>(p.h + row * p.width)[i] = pair;
    largest = fmaxf(largest, fmaxf(fabsf(low_bf16(pair)), fabsf(high_bf16(pair))));
  }
  const float dynamic = scale_of(block_max(largest));  // its barrier also makes h_row visible to the block

  auto* codes = reinterpret_cast<uint2*>(p.codes + row * p.width);
  for (int i = static_cast<int>(threadIdx.x); i < p.width / kVector; i += kRowThreads) {
    codes[i] = is_static ? quantize8_static(h_row[i], p.scales[p.expert[blockIdx.x]]) : quantize8(h_row[i], dynamic);
  }
  if (!is_static && threadIdx.x == 0) p.scales[row] = dynamic;
}

}  // namespace moesaic::kernels
