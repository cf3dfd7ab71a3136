#pragma once

/// The exponential of the kernels and what is made of it: fma and rounded operations alone, so that the bits are the
/// same on every card.
namespace moesaic::kernels {

/// exp(x) for x <= 0, within 1 unit in the last place (tests/functions_test.cpp measures it): x = n ln2 + r with
/// |r| <= ln2 / 2, a polynomial in r, times 2^n in two steps that keep subnormal results.
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

/// 1 / (1 + exp(-x)), written so that the exponential never overflows.
__device__ inline float sigmoid(float x) {
  const float e = exp_nonpositive(-fabsf(x));
  return __fdiv_rn(x < 0 ? e : 1.0F, __fadd_rn(1.0F, e));
}

/// x * sigmoid(x).
__device__ inline float silu(float x) {
  return __fmul_rn(x, sigmoid(x));
}

}  // namespace moesaic::kernels
