#include "checkpoint/synth_plain.hpp"

#include <fmt/format.h>

#include "checkpoint/synth_expert.hpp"
#include "checkpoint/synth_quantize.hpp"
#include "checkpoint/synth_weights.hpp"

namespace moesaic::checkpoint {
namespace {

std::vector<std::uint64_t> shape_of(int extent) {
  return {static_cast<std::uint64_t>(extent)};
}

std::vector<std::uint64_t> shape_of(const Matrix& m) {
  return {static_cast<std::uint64_t>(m.rows), static_cast<std::uint64_t>(m.cols)};
}

std::vector<Plain> gemma4(const Synth& synth, int layer, const std::string& prefix) {
  const int hidden = synth.shape.hidden;
  std::vector<Plain> result;
  const auto add = [&](const std::string& name, int extent, double deviation) {
    const Matrix made = make_vector(stream(synth, layer, name), extent, 1, deviation);
    result.push_back({prefix + name, "BF16", shape_of(extent), as_bf16(made.values)});
  };
  const Matrix router = make_router(stream(synth, layer, "router"), synth.shape.experts, hidden, true);
  result.push_back({prefix + "router.proj.weight", "BF16", shape_of(router), as_bf16(router.values)});
  add("router.scale", hidden, 0.1);
  add("router.per_expert_scale", synth.shape.experts, 0.1);
  for (const std::string_view norm :
       {"pre_feedforward_layernorm", "pre_feedforward_layernorm_2", "post_feedforward_layernorm",
        "post_feedforward_layernorm_1", "post_feedforward_layernorm_2"}) {
    add(fmt::format("{}.weight", norm), hidden, 0.2);
  }
  result.push_back({prefix + "layer_scalar", "BF16", {1}, as_bf16({1.0F})});  // of the residual after the block
  return result;
}

/// The router's weight, and what adds to its logits or scores.
std::vector<Plain> router(const Synth& synth, int layer, const std::string& prefix) {
  const int experts = synth.shape.experts;
  const Matrix weight = make_router(stream(synth, layer, "router"), experts, synth.shape.hidden, false);
  const std::string_view name = synth.family == Family::gpt_oss ? "router.weight" : "gate.weight";
  std::vector<Plain> result{{prefix + std::string(name), "BF16", shape_of(weight), as_bf16(weight.values)}};
  const auto added = [&](double deviation) {
    return make_vector(stream(synth, layer, "router.bias"), experts, 0, deviation).values;
  };
  switch (synth.family) {
    case Family::gpt_oss:
      result.push_back({prefix + "router.bias", "BF16", shape_of(experts), as_bf16(added(0.5))});
      break;
    case Family::deepseek_v3:
    case Family::glm4:
    case Family::glm4_lite:
      result.push_back({prefix + "gate.e_score_correction_bias", "F32", shape_of(experts), as_f32(added(0.05))});
      break;
    case Family::mixtral:
    case Family::qwen3:
    case Family::qwen3_5:
    case Family::gemma4:
      break;
  }
  return result;
}

}  // namespace

std::vector<Plain> make_plain(const Synth& synth, int layer, const std::string& prefix) {
  if (synth.family == Family::gemma4) return gemma4(synth, layer, prefix);
  std::vector<Plain> result = router(synth, layer, prefix);
  if (synth.family == Family::qwen3_5) {
    const Matrix gate = make_weights(stream(synth, layer, "shared.weight"), 1, synth.shape.hidden);
    result.push_back({prefix + "shared_expert_gate.weight", "BF16", shape_of(gate), as_bf16(gate.values)});
  }
  return result;
}

}  // namespace moesaic::checkpoint
