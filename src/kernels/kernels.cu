// The fat binary's entry points: one line each around the device functions that hold the work.

#include "kernels/moe_combine.cuh"
#include "kernels/moe_fp8_gemm.cuh"
#include "kernels/moe_quantize.cuh"
#include "kernels/moe_swiglu.cuh"

using namespace moesaic;           // NOLINT: this file is one translation unit of entry points
using namespace moesaic::kernels;  // NOLINT

#define MOE_FP8_GEMM(FEATURES, TOKENS, DEPTH, STAGES, BLOCKS)                                 \
  static_assert(fits(Config{FEATURES, TOKENS, DEPTH, STAGES, BLOCKS}, *find_device("gb10"))); \
  extern "C" __global__ void __launch_bounds__(kGemmThreads, BLOCKS)                          \
      moe_fp8_gemm_f##FEATURES##t##TOKENS##k##DEPTH##_s##STAGES##_c##BLOCKS(                  \
          const __grid_constant__ MoeFp8GemmParams p) {                                       \
    moe_fp8_gemm<Config{FEATURES, TOKENS, DEPTH, STAGES, BLOCKS}>(p);                         \
  }
#include "kernels/variants.def"
#undef MOE_FP8_GEMM

extern "C" __global__ void __launch_bounds__(kRowThreads)
    moe_quantize_kernel(const __grid_constant__ MoeQuantizeParams p) {
  moe_quantize(p);
}

extern "C" __global__ void __launch_bounds__(kRowThreads) moe_swiglu_kernel(const __grid_constant__ MoeSwigluParams p) {
  moe_swiglu(p);
}

extern "C" __global__ void __launch_bounds__(kRowThreads)
    moe_combine_kernel(const __grid_constant__ MoeCombineParams p) {
  moe_combine(p);
}
