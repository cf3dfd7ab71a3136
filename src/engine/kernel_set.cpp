#include "engine/kernel_set.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/kernels.hpp"
#include "spec/card_limits.hpp"
#include "spec/error.hpp"
#include "spec/panels.hpp"

namespace moesaic::engine {
namespace {

unsigned blocks(int count) {
  return static_cast<unsigned>(count);
}

/// Strides of a scale over experts and over what is inside one, of so many values.
std::pair<std::int32_t, std::int32_t> scale_strides(ScalePer per, std::int32_t inside) {
  switch (per) {
    case ScalePer::scalar:
      return {0, 0};
    case ScalePer::expert:
      return {1, 0};
    case ScalePer::vector:
      break;
  }
  return {inside, 1};
}

/// Encodes the tensor maps that the variant reads by.
void set_maps(const device::Gpu& gpu, const Config& config, const GroupedGemm& gemm,
              kernels::MoeFp8GemmParams& params) {
  const Problem& problem = gemm.problem;
  const auto row = static_cast<std::uint32_t>(std::min(config.tile_k, kPanelBytes));
  const auto k = static_cast<std::uint64_t>(problem.k);
  if (problem.layout == WeightLayout::rows) {
    const std::array dims{k, static_cast<std::uint64_t>(problem.n), static_cast<std::uint64_t>(problem.experts)};
    const std::array<std::uint32_t, 3> box{row, static_cast<std::uint32_t>(config.tile_f), 1};
    const CUtensorMap map = gpu.tensor_map(*gemm.w, dims, box);
    params.w = map;
  }
  const std::array dims{k, static_cast<std::uint64_t>(gemm.rows)};
  for (int i = 0; i < kernels::kTokenMaps && (1 << i) <= config.tile_t; ++i) {
    const CUtensorMap map = gpu.tensor_map(*gemm.x, dims, std::array<std::uint32_t, 2>{row, 1U << i});
    params.x[i] = map;
  }
}

kernels::MoeFp8GemmParams gemm_params(const GroupedGemm& gemm, const device::Buffer& tickets) {
  const Problem& problem = gemm.problem;
  const auto [w_scale_expert, w_scale_channel] = scale_strides(gemm.w_scale_per, problem.n);
  const auto [x_scale_expert, x_scale_row] = scale_strides(gemm.x_scale_per, 0);
  return {
      .w = {},
      .x = {},
      .panels = problem.layout == WeightLayout::panels ? gemm.w->as<const std::uint8_t>() : nullptr,
      .w_scales = gemm.w_scales->as<const float>(),
      .x_scales = gemm.x_scales->as<const float>(),
      .bias = gemm.bias != nullptr ? gemm.bias->as<const float>() : nullptr,
      .first = gemm.first->as<const std::int32_t>(),
      .tickets = tickets.as<std::int32_t>(),
      .out = gemm.out->as<void>(),
      .experts = problem.experts,
      .n = problem.n,
      .k = problem.k,
      .w_scale_expert = w_scale_expert,
      .w_scale_channel = w_scale_channel,
      .x_scale_expert = x_scale_expert,
      .x_scale_row = x_scale_row,
      .out_format = gemm.out_format,
      .dependence = gemm.dependence,
  };
}

}  // namespace

KernelSet::KernelSet(device::Gpu& gpu, const unsigned char* image)
    : gpu_(gpu),
      module_(gpu.load(image != nullptr ? image : kernels::fat_binary().data())),
      tickets_(gpu.upload<std::int32_t>(std::array{0})) {}

std::span<const Config> KernelSet::variants() {
  return kernels::kGemmVariants;
}

const KernelSet::Variant& KernelSet::variant(const Config& config) {
  const std::string name = variant_name(config) + (held_to_12x_ ? " held to 12.x" : "");
  const auto known = variants_.find(name);
  if (known != variants_.end()) return known->second;
  Variant variant{gpu_.function(module_, kernels::symbol(config)), 0, smem_bytes(config)};
  if (held_to_12x_) {
    // Exactly as many blocks as on a 12.x card.
    const int padded = smem_bytes_for(gpu_.device(), config.blocks_per_sm);
    variant.smem_bytes = std::max(variant.smem_bytes, static_cast<std::size_t>(padded));
  }
  gpu_.allow_smem(variant.function, variant.smem_bytes);
  const device::Grid one{1, static_cast<unsigned>(config.threads()), static_cast<unsigned>(variant.smem_bytes)};
  variant.blocks_per_sm = std::min(config.blocks_per_sm, gpu_.blocks_per_sm(variant.function, one));
  if (variant.blocks_per_sm == 0) {
    throw Error(variant_name(config) + ": no block fits an SM of " + std::string(gpu_.device().full_name));
  }
  return variants_.emplace(name, variant).first->second;
}

Residence KernelSet::residence(const Config& config) {
  const Variant& variant = this->variant(config);
  return {variant.blocks_per_sm, variant.smem_bytes};
}

void KernelSet::gemm(const Config& config, const GroupedGemm& gemm) {
  const Problem& problem = gemm.problem;
  std::string reason = valid(config, problem, gpu_.device());
  if (reason.empty() && held_to_12x_ && !fits(config, held_to_12x(gpu_.device()))) {
    reason = "does not fit " + std::string(gpu_.device().full_name) + " held to a 12.x card's limits";
  }
  if (!reason.empty()) throw Error(variant_name(config) + ": " + reason);
  if (gemm.rows == 0) return;
  const Variant& variant = this->variant(config);

  // The most tiles that any routing of so many rows makes: every expert may end in a partial tile.
  const std::int64_t t_tiles = ceil_div(gemm.rows, config.tile_t) + std::min(problem.experts, gemm.rows);
  const std::int64_t tiles = t_tiles * ceil_div(problem.n, config.tile_f);
  const std::int64_t resident = static_cast<std::int64_t>(variant.blocks_per_sm) * gpu_.device().sms;
  const device::Grid grid{.blocks = static_cast<unsigned>(std::min(tiles, resident)),
                          .threads = static_cast<unsigned>(config.threads()),
                          .smem_bytes = static_cast<unsigned>(variant.smem_bytes),
                          .dependent = gemm.dependence != Dependence::full};
  kernels::MoeFp8GemmParams params = gemm_params(gemm, tickets_);
  set_maps(gpu_, config, gemm, params);
  gpu_.launch(variant.function, grid, params);
  ++launches_[variant_name(config)];
}

void KernelSet::pack(const Problem& problem, const device::Buffer& rows, const device::Buffer& panels) {
  const kernels::MoePackParams params{
      .rows = rows.as<const std::uint8_t>(),
      .panels = panels.as<std::uint8_t>(),
      .experts = problem.experts,
      .n = problem.n,
      .k = problem.k,
  };
  const std::size_t chunks = panels_bytes(problem.experts, problem.n, problem.k) / 16;
  gpu_.launch(gpu_.function(module_, kernels::kPack),
              {static_cast<unsigned>(ceil_div<std::size_t>(chunks, kernels::kRowThreads)), kernels::kRowThreads, 0},
              params);
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

void KernelSet::quantize(const CardRouting& routing, int hidden, const device::Buffer& x, const device::Buffer& codes,
                         const device::Buffer& scales, ScaleSource source) {
  if (routing.tokens == 0) return;
  const kernels::MoeQuantizeParams params{
      .x = x.as<const std::uint16_t>(),
      .expert = routing.expert.as<const std::int32_t>(),
      .row = routing.row.as<const std::int32_t>(),
      .codes = codes.as<std::uint8_t>(),
      .scales = scales.as<float>(),
      .hidden = hidden,
      .top_k = routing.top_k,
      .static_scales = source == ScaleSource::checkpoint ? 1 : 0,
  };
  gpu_.launch(gpu_.function(module_, kernels::kQuantize), {blocks(routing.tokens), kernels::kRowThreads, 0, true},
              params);
}

void KernelSet::swiglu(const CardRouting& routing, int width, const device::Buffer& gate_up, const device::Buffer& h,
                       const device::Buffer& codes, const device::Buffer& scales, ScaleSource source) {
  const int rows = routing.tokens * routing.top_k;
  if (rows == 0) return;
  const kernels::MoeSwigluParams params{
      .gate_up = gate_up.as<const float>(),
      .expert = routing.expert.as<const std::int32_t>(),
      .row = routing.row.as<const std::int32_t>(),
      .h = h.as<std::uint16_t>(),
      .codes = codes.as<std::uint8_t>(),
      .scales = scales.as<float>(),
      .width = width,
      .static_scales = source == ScaleSource::checkpoint ? 1 : 0,
  };
  const auto row_bytes = static_cast<unsigned>(width) * 2;
  CUfunction function = gpu_.function(module_, kernels::kSwiglu);
  gpu_.allow_smem(function, row_bytes);
  gpu_.launch(function, {blocks(rows), kernels::kRowThreads, row_bytes, true}, params);
}

void KernelSet::combine(const CardRouting& routing, int hidden, const device::Buffer& down, const device::Buffer& out) {
  if (routing.tokens == 0) return;
  const kernels::MoeCombineParams params{
      .down = down.as<const float>(),
      .row = routing.row.as<const std::int32_t>(),
      .weight = routing.weight.as<const float>(),
      .out = out.as<float>(),
      .hidden = hidden,
      .top_k = routing.top_k,
  };
  gpu_.launch(gpu_.function(module_, kernels::kCombine), {blocks(routing.tokens), kernels::kRowThreads, 0, true},
              params);
}

}  // namespace moesaic::engine
