#include "engine/kernel_set.hpp"

#include <algorithm>
#include <array>

#include "kernels/kernels.hpp"
#include "spec/error.hpp"

namespace moesaic::engine {
namespace {

unsigned blocks(int count) {
  return static_cast<unsigned>(count);
}

}  // namespace

KernelSet::KernelSet(device::Gpu& gpu) : gpu_(gpu), module_(gpu.load(kernels::fat_binary().data())) {}

std::span<const Config> KernelSet::variants() {
  return kernels::kGemmVariants;
}

const KernelSet::Variant& KernelSet::variant(const Config& config) {
  const std::string name = variant_name(config);
  const auto known = variants_.find(name);
  if (known != variants_.end()) return known->second;
  Variant variant{gpu_.function(module_, kernels::symbol(config)), 0};
  gpu_.allow_smem(variant.function, smem_bytes(config));
  const device::Grid one{1, kGemmThreads, static_cast<unsigned>(smem_bytes(config))};
  variant.blocks_per_sm = std::min(config.blocks_per_sm, gpu_.blocks_per_sm(variant.function, one));
  if (variant.blocks_per_sm == 0) {
    throw Error(name + ": no block fits an SM of " + std::string(gpu_.device().full_name));
  }
  return variants_.emplace(name, variant).first->second;
}

void KernelSet::gemm(const Config& config, const GroupedGemm& gemm) {
  const Problem& problem = gemm.problem;
  if (const std::string reason = valid(config, problem, gpu_.device()); !reason.empty()) {
    throw Error(variant_name(config) + ": " + reason);
  }
  if (gemm.rows == 0) return;
  const Variant& variant = this->variant(config);

  const auto k = static_cast<std::uint64_t>(problem.k);
  const std::array w_dims{k, static_cast<std::uint64_t>(problem.n), static_cast<std::uint64_t>(problem.experts)};
  const std::array x_dims{k, static_cast<std::uint64_t>(gemm.rows)};
  const auto tile_k = static_cast<std::uint32_t>(config.tile_k);
  const std::array<std::uint32_t, 3> w_box{tile_k, static_cast<std::uint32_t>(config.tile_f), 1};
  const std::array<std::uint32_t, 2> x_box{tile_k, static_cast<std::uint32_t>(config.tile_t)};
  const kernels::MoeFp8GemmParams params{
      .w = gpu_.tensor_map(*gemm.w, w_dims, w_box),
      .x = gpu_.tensor_map(*gemm.x, x_dims, x_box),
      .w_scales = gemm.w_scales->as<const float>(),
      .x_scales = gemm.x_scales->as<const float>(),
      .first = gemm.first->as<const std::int32_t>(),
      .out = gemm.out->as<float>(),
      .experts = problem.experts,
      .n = problem.n,
      .k = problem.k,
  };

  // The most tiles that any routing of so many rows makes: every expert may end in a partial tile.
  const std::int64_t t_tiles = ceil_div(gemm.rows, config.tile_t) + std::min(problem.experts, gemm.rows);
  const std::int64_t tiles = t_tiles * ceil_div(problem.n, config.tile_f);
  const std::int64_t resident = static_cast<std::int64_t>(variant.blocks_per_sm) * gpu_.device().sms;
  const device::Grid grid{static_cast<unsigned>(std::min(tiles, resident)), kGemmThreads,
                          static_cast<unsigned>(smem_bytes(config))};
  gpu_.launch(variant.function, grid, params);
  ++launches_[variant_name(config)];
}

int KernelSet::route_shapes() {
  return static_cast<int>(kernels::kRouteShapes.size());
}

std::string KernelSet::why_not_routed(const Layer& layer) {
  const auto& [experts, top_k, hidden, width, shared_width] = layer.shape;
  const Router& router = layer.router;
  const auto above = [](const char* what, int got, int most) {
    return std::string(what) + " " + std::to_string(got) + " is above " + std::to_string(most) + ", the router's most";
  };
  if (experts > kernels::kMostRoutedExperts) return above("experts", experts, kernels::kMostRoutedExperts);
  if (top_k > kWarpThreads) return above("top_k", top_k, kWarpThreads);
  if (router.groups > kWarpThreads) return above("groups", router.groups, kWarpThreads);
  if (hidden % 8 != 0) return "hidden " + std::to_string(hidden) + " is not a multiple of 8: a lane takes 8 values";
  return "";
}

void KernelSet::route(const CardRouter& router, const device::Buffer& x, const CardRouting& routing,
                      std::optional<int> shape) {
  const auto* chosen = kernels::kRouteShapes.begin();
  while (routing.tokens > chosen->most_tokens) ++chosen;
  if (shape) chosen = &kernels::kRouteShapes.at(static_cast<std::size_t>(*shape));
  const kernels::MoeRouteParams params{
      .x = x.as<const std::uint16_t>(),
      .w = router.weight.as<const void>(),
      .bias = router.bias.as<const float>(),
      .correction = router.correction.as<const float>(),
      .expert_scale = router.expert_scale.as<const float>(),
      .logits = routing.logits.as<float>(),
      .expert = routing.expert.as<std::int32_t>(),
      .weight = routing.weight.as<float>(),
      .row = routing.row.as<std::int32_t>(),
      .first = routing.first.as<std::int32_t>(),
      .finished = routing.finished.as<std::uint32_t>(),
      .tokens = routing.tokens,
      .experts = router.shape.experts,
      .hidden = router.shape.hidden,
      .top_k = router.shape.top_k,
      .groups = router.groups,
      .top_groups = router.top_groups,
      .scoring = router.scoring,
      .renormalize = router.renormalize,
      .scale = router.scale,
  };
  const int token_tiles = std::max(ceil_div(routing.tokens, kernels::tile_tokens(*chosen)), 1);
  const int expert_tiles = ceil_div(router.shape.experts, kernels::tile_experts(*chosen));
  gpu_.launch(gpu_.function(module_, kernels::symbol(*chosen, router.bf16)),
              {blocks(token_tiles * expert_tiles), kernels::kRouteThreads, 0}, params);
}

void KernelSet::quantize(const RoutedTokens& routed, const device::Buffer& x, const device::Buffer& codes,
                         const device::Buffer& scales, ScaleSource source) {
  if (routed.tokens == 0) return;
  const kernels::MoeQuantizeParams params{
      .x = x.as<const std::uint16_t>(),
      .row = routed.row->as<const std::int32_t>(),
      .codes = codes.as<std::uint8_t>(),
      .scales = scales.as<float>(),
      .hidden = routed.hidden,
      .top_k = routed.top_k,
      .static_scales = source == ScaleSource::checkpoint ? 1 : 0,
  };
  gpu_.launch(gpu_.function(module_, kernels::kQuantize), {blocks(routed.tokens), kernels::kRowThreads, 0}, params);
}

void KernelSet::swiglu(int rows, int width, const device::Buffer& gate_up, const device::Buffer& h,
                       const device::Buffer& codes, const device::Buffer& scales, ScaleSource source) {
  if (rows == 0) return;
  const kernels::MoeSwigluParams params{
      .gate_up = gate_up.as<const float>(),
      .h = h.as<std::uint16_t>(),
      .codes = codes.as<std::uint8_t>(),
      .scales = scales.as<float>(),
      .width = width,
      .static_scales = source == ScaleSource::checkpoint ? 1 : 0,
  };
  const auto row_bytes = static_cast<unsigned>(width) * 2;
  CUfunction function = gpu_.function(module_, kernels::kSwiglu);
  gpu_.allow_smem(function, row_bytes);
  gpu_.launch(function, {blocks(rows), kernels::kRowThreads, row_bytes}, params);
}

void KernelSet::combine(const RoutedTokens& routed, const device::Buffer& down, const device::Buffer& out) {
  if (routed.tokens == 0) return;
  const kernels::MoeCombineParams params{
      .down = down.as<const float>(),
      .row = routed.row->as<const std::int32_t>(),
      .weight = routed.weight->as<const float>(),
      .out = out.as<float>(),
      .hidden = routed.hidden,
      .top_k = routed.top_k,
  };
  gpu_.launch(gpu_.function(module_, kernels::kCombine), {blocks(routed.tokens), kernels::kRowThreads, 0}, params);
}

}  // namespace moesaic::engine
