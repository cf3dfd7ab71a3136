#include "checkpoint/synth_plain.hpp"

#include <fmt/format.h>

#include "checkpoint/synth_expert.hpp"
#include "checkpoint/synth_quantize.hpp"
#include "checkpoint/synth_weights.hpp"

namespace moesaic::checkpoint {
namespace {

std::uint64_t extent(int size) {
  return static_cast<std::uint64_t>(size);
}

/// [size]: normals around `mean`, from the stream `part`.
Plain normals(const Synth& synth, int layer, const std::string& name, const std::string& part, int size, double mean,
              double deviation) {
  return {name, "BF16", {extent(size)}, [&synth, layer, part, size, mean, deviation] {
            return as_bf16(make_vector(stream(synth, layer, part), size, mean, deviation).values);
          }};
}

/// [experts, hidden]. Gemma 4's sees normalized tokens.
Plain router(const Synth& synth, int layer, const std::string& name) {
  const std::vector<std::uint64_t> shape{extent(synth.shape.experts), extent(synth.shape.hidden)};
  return {name, "BF16", shape, [&synth, layer] {
            const bool normalized = synth.family == Family::gemma4;
            const Random random = stream(synth, layer, "router");
            return as_bf16(make_router(random, synth.shape.experts, synth.shape.hidden, normalized).values);
          }};
}

std::vector<Plain> gemma4(const Synth& synth, int layer, const std::string& prefix) {
  const int hidden = synth.shape.hidden;
  std::vector<Plain> result{router(synth, layer, prefix + "router.proj.weight")};
  const auto add = [&](const std::string& name, int size, double deviation) {
    result.push_back(normals(synth, layer, prefix + name, name, size, 1, deviation));
  };
  add("router.scale", hidden, 0.1);
  add("router.per_expert_scale", synth.shape.experts, 0.1);
  for (const std::string_view norm :
       {"pre_feedforward_layernorm", "pre_feedforward_layernorm_2", "post_feedforward_layernorm",
        "post_feedforward_layernorm_1", "post_feedforward_layernorm_2"}) {
    add(fmt::format("{}.weight", norm), hidden, 0.2);
  }
  add("layer_scalar", 1, 0);  // multiplies the residual after the block
  return result;
}

/// Counts for the choice of experts alone; float32 in what is published.
Plain correction(const Synth& synth, int layer, const std::string& name) {
  return {name, "F32", {extent(synth.shape.experts)}, [&synth, layer] {
            return as_f32(make_vector(stream(synth, layer, "router.bias"), synth.shape.experts, 0, 0.05).values);
          }};
}

Plain shared_gate(const Synth& synth, int layer, const std::string& name) {
  return {name, "BF16", {1, extent(synth.shape.hidden)}, [&synth, layer] {
            return as_bf16(make_weights(stream(synth, layer, "shared.weight"), 1, synth.shape.hidden).values);
          }};
}

}  // namespace

std::vector<Plain> plain_tensors(const Synth& synth, int layer, const std::string& prefix) {
  switch (synth.family) {
    case Family::mixtral:
    case Family::qwen3:
      break;
    case Family::qwen3_5:
      return {router(synth, layer, prefix + "gate.weight"),
              shared_gate(synth, layer, prefix + "shared_expert_gate.weight")};
    case Family::gemma4:
      return gemma4(synth, layer, prefix);
    case Family::deepseek_v3:
    case Family::glm4:
    case Family::glm4_lite:
      return {router(synth, layer, prefix + "gate.weight"),
              correction(synth, layer, prefix + "gate.e_score_correction_bias")};
    case Family::gpt_oss:
      return {router(synth, layer, prefix + "router.weight"),
              normals(synth, layer, prefix + "router.bias", "router.bias", synth.shape.experts, 0, 0.5)};
  }
  return {router(synth, layer, prefix + "gate.weight")};
}

}  // namespace moesaic::checkpoint
