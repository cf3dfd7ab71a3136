// The fat binary's entry points: one line each around the device functions that hold the work.

#include "kernels/moe_combine.cuh"
#include "kernels/moe_fp8_gemm.cuh"
#include "kernels/moe_pack.cuh"
#include "kernels/moe_quantize.cuh"
#include "kernels/moe_route.cuh"
#include "kernels/moe_swiglu.cuh"

using namespace moesaic;           // NOLINT: this file is one translation unit of entry points
using namespace moesaic::kernels;  // NOLINT

#define ENTRY(SUFFIX, FEATURES, TOKENS, DEPTH, STAGES, BLOCKS, WARPS_F, WARPS_T, MULTIPLY, FORMAT)                     \
  static_assert(                                                                                                       \
      fits(Config{FEATURES, TOKENS, DEPTH, STAGES, BLOCKS, WARPS_F, WARPS_T, Multiply::MULTIPLY, TokenFormat::FORMAT}, \
           *find_device("gb10")));                                                                                     \
  extern "C" __global__ void __launch_bounds__(                                                                        \
      Config{FEATURES, TOKENS, DEPTH, STAGES, BLOCKS, WARPS_F, WARPS_T}.threads(), BLOCKS)                             \
      moe_fp8_gemm_f##FEATURES##t##TOKENS##k##DEPTH##_s##STAGES##_c##BLOCKS##_w##WARPS_F##x##WARPS_T##SUFFIX(          \
          const __grid_constant__ MoeFp8GemmParams p) {                                                                \
    moe_fp8_gemm<Config{FEATURES, TOKENS, DEPTH, STAGES, BLOCKS, WARPS_F, WARPS_T, Multiply::MULTIPLY,                 \
                        TokenFormat::FORMAT}>(p);                                                                      \
  }
#define MOE_FP8_GEMM(...) ENTRY(, __VA_ARGS__, fast, e4m3)
#define MOE_FP8_GEMM_E5M2(...) ENTRY(_e5m2, __VA_ARGS__, fast, e5m2)
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
#define MOE_FP8_GEMM_PLAIN(...) ENTRY(_plain, __VA_ARGS__, plain, e4m3)
#else
#define MOE_FP8_GEMM_PLAIN(...)
#endif
#include "kernels/variants.def"
#undef MOE_FP8_GEMM
#undef MOE_FP8_GEMM_E5M2
#undef MOE_FP8_GEMM_PLAIN

extern "C" __global__ void __launch_bounds__(kRowThreads) moe_pack_kernel(const __grid_constant__ MoePackParams p) {
  moe_pack(p);
}

#define MOE_ROUTE_OF(EXPERTS, TOKENS, TOKEN_WARPS, NAME, WEIGHT)                                           \
  extern "C" __global__ void __launch_bounds__(kRouteThreads, 2)                                           \
      moe_route_e##EXPERTS##t##TOKENS##w##TOKEN_WARPS##_##NAME(const __grid_constant__ MoeRouteParams p) { \
    moe_route<RouteShape{EXPERTS, TOKENS, TOKEN_WARPS}, WEIGHT>(p);                                        \
  }
#define MOE_ROUTE(EXPERTS, TOKENS, TOKEN_WARPS, MOST_TOKENS)      \
  MOE_ROUTE_OF(EXPERTS, TOKENS, TOKEN_WARPS, bf16, std::uint16_t) \
  MOE_ROUTE_OF(EXPERTS, TOKENS, TOKEN_WARPS, f32, float)
#include "kernels/route_shapes.def"
#undef MOE_ROUTE
#undef MOE_ROUTE_OF

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
