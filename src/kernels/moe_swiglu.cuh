#pragma once

#include "kernels/quantize_row.cuh"

/// What stands between the two GEMMs, a row a block:
///   h[r, i] = bf16(silu(gate_up[r, i]) * gate_up[r, width + i]),  codes[r, :] = e4m3(h[r, :] / s),  scales[r] = s, or
///   s = scales[r]
/// Dynamic shared memory: the row of h, width * 2 bytes, so that nothing is computed twice.
namespace moesaic::kernels {

/// exp(x) for x <= 0, within 1 unit in the last place (tests/functions_test.cpp measures it), by fma alone, so that its
/// bits are the same on every card: x = n ln2 + r with |r| <= ln2 / 2, a polynomial in r, times 2^n in two steps that
/// keep subnormal results.
__device__ inline float exp_nonpositive(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693145752F;  // 16 bits of ln 2: n times this is exact
  constexpr float kLn2Low = 1.42860677e-6F;
  const float clamped = fmaxf(x, -104.0F);  // exp(-104) is below half the smallest subnormal
  const int n = __float2int_rn(__fmul_rn(clamped, kLog2E));
  const auto steps = static_cast<float>(n);
  const float r = __fmaf_rn(-steps, kLn2Low, __fmaf_rn(-steps, kLn2High, clamped));
  float sum = 1.0F / 5040.0F;
  sum = __fmaf_rn(sum, r, 1.0F / 720.0F);
  sum = __fmaf_rn(sum, r, 1.0F / 120.0F);
  sum = __fmaf_rn(sum, r, 1.0F / 24.0F);
  sum = __fmaf_rn(sum, r, 1.0F / 6.0F);
  sum = __fmaf_rn(sum, r, 0.5F);
  sum = __fmaf_rn(sum, r, 1.0F);
  sum = __fmaf_rn(sum, r, 1.0F);
  const int half = n / 2;
  const float first = __int_as_float((half + 127) << 23);
  const float second = __int_as_float((n - half + 127) << 23);
  return __fmul_rn(__fmul_rn(sum, first), second);
}

/// gate * sigmoid(gate), written so that the exponential never overflows.
__device__ inline float silu(float gate) {
  const float e = exp_nonpositive(-fabsf(gate));
  const float share = __fdiv_rn(gate < 0 ? e : 1.0F, __fadd_rn(1.0F, e));
  return __fmul_rn(gate, share);
}

__device__ inline void moe_swiglu(const MoeSwigluParams& p) {
  constexpr int kVector = 8;
  extern __shared__ uint4 h_row[];
  const std::int64_t row = blockIdx.x;
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
    codes[i] = p.static_scales != 0 ? quantize8_static(h_row[i], p.scales[row]) : quantize8(h_row[i], dynamic);
  }
  if (p.static_scales == 0 && threadIdx.x == 0) p.scales[row] = dynamic;
}

}  // namespace moesaic::kernels
