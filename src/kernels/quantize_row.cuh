#pragma once

#include "kernels/params.hpp"
#include "kernels/ptx.cuh"
#include "spec/config.hpp"
#include "spec/formats.hpp"

/// FP8 quantization of a row, shared by the kernels that quantize, as vLLM's csrc has it.
///   dynamic: scale = max(largest / 448, floor), code = e4m3(value / scale)     dynamic_per_token_scaled_fp8_quant
///   static:  code = e4m3(value * (1 / scale)), saturating                     static_scaled_fp8_quant
/// Divisions and the product are rounded to nearest; the floor gives an all-zero row its code.
namespace moesaic::kernels {

inline constexpr float kScaleFloor = 1.0F / (kE4m3Max * 512.0F);

/// The largest magnitude that any thread of the block brings. All kRowThreads threads call, once in a kernel.
__device__ inline float block_max(float magnitude) {
  constexpr int kWarps = kRowThreads / kWarpThreads;
  __shared__ std::uint32_t of_warp[kWarps];
  // Magnitudes are ordered as their bits are.
  const std::uint32_t bits = __reduce_max_sync(0xffffffffU, __float_as_uint(magnitude));
  if (threadIdx.x % kWarpThreads == 0) of_warp[threadIdx.x / kWarpThreads] = bits;
  __syncthreads();
  std::uint32_t largest = of_warp[0];
  for (int warp = 1; warp < kWarps; ++warp) largest = max(largest, of_warp[warp]);
  return __uint_as_float(largest);
}

__device__ inline float scale_of(float largest) {
  const float scale = __fdiv_rn(largest, kE4m3Max);
  return scale < kScaleFloor ? kScaleFloor : scale;
}

/// The two bf16 of a word, as floats.
__device__ inline float low_bf16(std::uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ inline float high_bf16(std::uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000U);
}

/// Eight bf16, as they lie in 16 bytes, to eight codes in 8 bytes.
__device__ inline uint2 quantize8(uint4 v, float scale) {
  const auto pair = [scale](std::uint32_t w) -> std::uint32_t {
    return ptx::cvt_e4m3x2(__fdiv_rn(low_bf16(w), scale), __fdiv_rn(high_bf16(w), scale));
  };
  return uint2{pair(v.x) | pair(v.y) << 16, pair(v.z) | pair(v.w) << 16};
}

/// The same with a static scale.
__device__ inline uint2 quantize8_static(uint4 v, float scale) {
  const float inverse = __fdiv_rn(1.0F, scale);
  const auto pair = [inverse](std::uint32_t w) -> std::uint32_t {
    return ptx::cvt_e4m3x2(__fmul_rn(low_bf16(w), inverse), __fmul_rn(high_bf16(w), inverse));
  };
  return uint2{pair(v.x) | pair(v.y) << 16, pair(v.z) | pair(v.w) << 16};
}

/// The largest magnitude of eight bf16.
__device__ inline float max8(uint4 v) {
  const auto pair = [](std::uint32_t w) {
    return max(__float_as_uint(low_bf16(w)) & 0x7fffffffU, __float_as_uint(high_bf16(w)) & 0x7fffffffU);
  };
  return __uint_as_float(max(max(pair(v.x), pair(v.y)), max(pair(v.z), pair(v.w))));
}

}  // namespace moesaic::kernels
