#include "checkpoint/layer_plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string>

#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

/// "0 to 47", or all of them where some are left out.
std::string shown(const std::vector<int>& layers) {
  const bool contiguous = layers.back() - layers.front() + 1 == static_cast<int>(layers.size());
  if (contiguous && layers.size() > 2) return fmt::format("{} to {}", layers.front(), layers.back());
  return fmt::format("{}", fmt::join(layers, ", "));
}

/// The layer's module: the first of those that may be whose router is there; else the usual one.
std::string find_block(const Model& model, int index) {
  const Architecture& names = *model.config.architecture;
  std::string usual;
  for (const std::string_view prefix : names.prefixes) {
    for (const std::string_view block : names.blocks) {
      if (block.empty() && block != names.blocks.front()) continue;
      std::string name = fmt::format("{}layers.{}", prefix, index);
      if (!block.empty()) name += fmt::format(".{}", block);
      if (model.tensors.contains(fmt::format("{}.{}.weight", name, names.router))) return name;
      if (usual.empty()) usual = std::move(name);
    }
  }
  return usual;
}

Experts dimensions(int experts, int rows, int cols, int parts) {
  Experts result;
  result.experts = experts;
  result.rows = rows;
  result.cols = cols;
  result.parts = parts;
  return result;
}

/// The names that the experts' own modules have in this model.
const Projections& expert_names(const TensorFinder& finder, const Architecture& names) {
  for (const Projections& candidate : names.experts) {
    if (finder.has_any(fmt::format(fmt::runtime(candidate.gate), 0) + ".")) return candidate;
  }
  return names.experts.front();
}

void find_experts(TensorFinder& finder, const Architecture& names, LayerPlan& plan) {
  Layer& layer = plan.layer;
  const Shape& shape = layer.shape;
  layer.gate_up = dimensions(shape.experts, 2 * shape.width, shape.hidden, 2);
  layer.down = dimensions(shape.experts, shape.hidden, shape.width, 1);
  if (finder.has(kFusedGateUp) || finder.has(fmt::format("{}_blocks", kFusedGateUp))) {
    plan.gate_up = plan_fused(finder, kFusedGateUp, names.fused, names.expert_bias, layer.gate_up);
    plan.down = plan_fused(finder, kFusedDown, names.fused, names.expert_bias, layer.down);
    plan.layout = plan.gate_up.sources.front().order.as_stored() ? "all experts in one tensor"
                                                                 : "all experts in one tensor, gate and up alternating";
    return;
  }
  const Projections& own = expert_names(finder, names);
  plan.gate_up = plan_experts(finder, std::array{own.gate, own.up}, names.expert_bias, layer.gate_up);
  plan.down = plan_experts(finder, std::array{own.down}, names.expert_bias, layer.down);
  plan.layout = "each expert's matrices by themselves";
}

void find_shared(TensorFinder& finder, const Architecture& names, LayerPlan& plan) {
  Layer& layer = plan.layer;
  const Shape& shape = layer.shape;
  if (shape.shared_width == 0) return;
  layer.shared_gate_up = dimensions(1, 2 * shape.shared_width, shape.hidden, 2);
  layer.shared_down = dimensions(1, shape.hidden, shape.shared_width, 1);
  plan.shared_gate_up =
      plan_experts(finder, std::array{names.shared.gate, names.shared.up}, false, layer.shared_gate_up);
  plan.shared_down = plan_experts(finder, std::array{names.shared.down}, false, layer.shared_down);
}

void find_vectors(TensorFinder& finder, const Architecture& names, LayerPlan& plan) {
  const auto experts = static_cast<std::uint64_t>(plan.layer.shape.experts);
  const auto hidden = static_cast<std::uint64_t>(plan.layer.shape.hidden);
  const auto add = [&](std::string_view name, std::vector<std::uint64_t> shape, auto place) {
    if (!name.empty()) plan.vectors.push_back({&finder.find(name, floats({std::move(shape)})), place});
  };
  add(
      fmt::format("{}.weight", names.router), {experts, hidden}, [](Layer & l) -> auto& { return l.router.weight; });
  add(
      names.router_bias, {experts}, [](Layer & l) -> auto& { return l.router.bias; });
  add(
      names.correction, {experts}, [](Layer & l) -> auto& { return l.router.correction; });
  add(
      names.input_scale, {hidden}, [](Layer & l) -> auto& { return l.router.input_scale; });
  add(
      names.expert_scale, {experts}, [](Layer & l) -> auto& { return l.router.expert_scale; });
  if (!names.shared_gate.empty()) {
    add(
        fmt::format("{}.weight", names.shared_gate), {1, hidden}, [](Layer & l) -> auto& { return l.shared_gate; });
  }
  if (!names.norms) return;
  plan.layer.norms.emplace();
  add(
      "pre_feedforward_layernorm.weight", {hidden}, [](Layer & l) -> auto& { return l.norms->before_dense; });
  add(
      "pre_feedforward_layernorm_2.weight", {hidden}, [](Layer & l) -> auto& { return l.norms->before_experts; });
  add(
      "post_feedforward_layernorm_1.weight", {hidden}, [](Layer & l) -> auto& { return l.norms->after_dense; });
  add(
      "post_feedforward_layernorm_2.weight", {hidden}, [](Layer & l) -> auto& { return l.norms->after_experts; });
  add(
      "post_feedforward_layernorm.weight", {hidden}, [](Layer & l) -> auto& { return l.norms->after; });
}

/// Gives the Experts its scheme and counts what it takes.
void settle(const ExpertsPlan& plan, const LoadOptions& options, bool bias, Experts& experts, LayerPlan& layer) {
  if (plan.format == nullptr) return;
  experts.scheme = plan.format->scheme;
  if (experts.scheme.weights == WeightScheme::mxfp4) experts.scheme.inputs = options.mxfp4_inputs;
  layer.memory_bytes += sizes_of(experts, bias).bytes();
}

std::uint64_t bytes_of(const StoredTensor* stored) {
  return stored->tensor.end - stored->tensor.begin;
}

/// The most that is held beside the layer: one expert's matrix, where it must be put in order, and floats, which are
/// held as stored, as 16 bits and as 32.
std::uint64_t buffer_bytes(const LayerPlan& plan) {
  std::uint64_t matrix = 0;
  std::uint64_t values = 0;
  for (const ExpertsPlan* experts : {&plan.gate_up, &plan.down, &plan.shared_gate_up, &plan.shared_down}) {
    for (const Source& source : experts->sources) {
      if (!source.order.as_stored()) matrix = std::max({matrix, source.codes.bytes, source.group_scale.bytes});
      values = std::max({values, source.scale.bytes, source.bias.bytes});
    }
  }
  for (const VectorPlan& vector : plan.vectors) values = std::max(values, bytes_of(vector.stored));
  return std::max(matrix, values) + 3 * values;
}

}  // namespace

LayerPlan plan_layer(const Model& model, int index, const LoadOptions& options) {
  const Config& config = model.config;
  if (!std::ranges::binary_search(config.moe_layers, index)) {
    throw Error(fmt::format("{}: layer {} has no experts; those that have: {}", model.directory.string(), index,
                            shown(config.moe_layers)));
  }
  const Architecture& names = *config.architecture;
  LayerPlan plan;
  plan.layer = config.outline;
  plan.layer.name = find_block(model, index);
  TensorFinder finder(model, plan.layer.name + ".");
  find_vectors(finder, names, plan);
  find_experts(finder, names, plan);
  find_shared(finder, names, plan);
  finder.require_no_others(names.parts);

  settle(plan.gate_up, options, names.expert_bias, plan.layer.gate_up, plan);
  settle(plan.down, options, names.expert_bias, plan.layer.down, plan);
  settle(plan.shared_gate_up, options, false, plan.layer.shared_gate_up, plan);
  settle(plan.shared_down, options, false, plan.layer.shared_down, plan);
  for (const VectorPlan& vector : plan.vectors) {
    std::uint64_t count = 1;
    for (const std::uint64_t extent : vector.stored->tensor.shape) count *= extent;
    plan.memory_bytes += count * sizeof(float);
  }
  plan.buffer_bytes = buffer_bytes(plan);
  plan.codes_bytes = sizes_of(plan.layer.gate_up, false).codes + sizes_of(plan.layer.down, false).codes;
  for (const ExpertsPlan* experts : {&plan.gate_up, &plan.down}) {
    for (const Source& source : experts->sources) plan.matrix_bytes = std::max(plan.matrix_bytes, source.codes.bytes);
  }
  plan.disk_bytes = finder.bytes();
  return plan;
}

std::string describe_schemes(const LayerPlan& plan) {
  struct Named {
    std::string_view what;
    const ExpertsPlan* plan;
    const Experts* experts;
  };
  const std::array all{Named{"gate and up", &plan.gate_up, &plan.layer.gate_up},
                       Named{"down", &plan.down, &plan.layer.down},
                       Named{"shared gate and up", &plan.shared_gate_up, &plan.layer.shared_gate_up},
                       Named{"shared down", &plan.shared_down, &plan.layer.shared_down}};
  std::vector<std::string> sentences;
  bool alike = true;
  for (const Named& one : all) {
    if (one.plan->format == nullptr) continue;
    alike = alike && one.plan->format == plan.gate_up.format;
    sentences.push_back(fmt::format("{}: {}", one.what, describe(*one.plan->format, one.experts->scheme.inputs)));
  }
  if (alike) return describe(*plan.gate_up.format, plan.layer.gate_up.scheme.inputs);
  return fmt::format("{}", fmt::join(sentences, "; "));
}

}  // namespace moesaic::checkpoint
