#pragma once

#include <array>
#include <span>
#include <string>

#include "kernels/params.hpp"
#include "spec/config.hpp"

/// What the fat binary holds, for the engine: the variants, the kernels' names and their parameters.
namespace moesaic::kernels {

/// Every compiled variant of the grouped GEMM.
inline constexpr std::array kGemmVariants{
#define MOE_FP8_GEMM(...) Config{__VA_ARGS__},
#define MOE_FP8_GEMM_PLAIN(...) Config{__VA_ARGS__, Multiply::plain},
#define MOE_FP8_GEMM_E5M2(...) Config{__VA_ARGS__, Multiply::fast, TokenFormat::e5m2},
#include "kernels/variants.def"
#undef MOE_FP8_GEMM
#undef MOE_FP8_GEMM_PLAIN
#undef MOE_FP8_GEMM_E5M2
};

/// Every shape of the router's kernel, from few tokens to many.
inline constexpr std::array kRouteShapes{
#define MOE_ROUTE(EXPERTS, TOKENS, TOKEN_WARPS, MOST_TOKENS) RouteShape{EXPERTS, TOKENS, TOKEN_WARPS, MOST_TOKENS},
#include "kernels/route_shapes.def"
#undef MOE_ROUTE
};

/// The shape's entry in the fat binary, for a router whose weights are bf16 or f32.
inline std::string symbol(const RouteShape& shape, bool bf16) {
  return "moe_route_e" + std::to_string(shape.experts) + "t" + std::to_string(shape.tokens) + "w" +
         std::to_string(shape.token_warps) + (bf16 ? "_bf16" : "_f32");
}

inline constexpr const char* kPack = "moe_pack_kernel";
inline constexpr const char* kQuantize = "moe_quantize_kernel";
inline constexpr const char* kSwiglu = "moe_swiglu_kernel";
inline constexpr const char* kCombine = "moe_combine_kernel";

/// The variant's entry in the fat binary: its name with '/' and '.' replaced by '_', as kernels.cu builds it.
inline std::string symbol(const Config& config) {
  std::string name = variant_name(config);
  for (char& c : name) {
    if (c == '/' || c == '.') c = '_';
  }
  return name;
}

/// The fat binary: code for sm_90a and sm_120f, and the PTX of both.
std::span<const unsigned char> fat_binary();

}  // namespace moesaic::kernels
