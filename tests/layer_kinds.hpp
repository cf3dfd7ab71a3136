#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "random_operands.hpp"

/// Random layers of every kind that checkpoints have: schemes, routers, activations, shared experts, norms.
namespace moesaic::test {

/// Weights [experts, rows, cols] whose sums of `cols` products with inputs like random_tokens() are about 1, in any
/// scheme, and static input scales for inputs whose largest magnitude is about 2, so that some saturate (NVFP4: 5,
/// since there whole groups would).
inline Experts random_experts(Random& random, int experts, int rows, int cols, Scheme scheme, int parts = 1) {
  Experts made;
  made.experts = experts;
  made.rows = rows;
  made.cols = cols;
  made.parts = parts;
  made.scheme = scheme;
  const auto channels = static_cast<std::size_t>(experts) * static_cast<std::size_t>(rows);
  const auto columns = static_cast<std::size_t>(cols);
  const float size = 1.3F / std::sqrt(static_cast<float>(cols));
  const auto uneven = [&] { return 0.5F + std::abs(random.uniform()); };
  const auto fill = [](auto& values, std::size_t count, const auto& make) {
    values.resize(count);
    for (auto& value : values) value = make();
  };
  const auto any_byte = [&] { return static_cast<std::uint8_t>(random.next() >> 56); };
  switch (scheme.weights) {
    case WeightScheme::bf16:
      for (std::size_t i = 0; i < channels * columns; ++i) {
        const std::uint16_t code = encode_bf16(random.tailed() * size);
        made.codes.push_back(static_cast<std::uint8_t>(code));
        made.codes.push_back(static_cast<std::uint8_t>(code >> 8));
      }
      break;
    case WeightScheme::fp8_channel:
      fill(made.codes, channels * columns, [&] { return random_code(random); });
      fill(made.scales, channels, [&] { return size / 154 * uneven(); });
      break;
    case WeightScheme::fp8_block: {
      fill(made.codes, channels * columns, [&] { return random_code(random); });
      const auto across = (columns + kBlockSide - 1) / kBlockSide;
      const auto blocks = static_cast<std::size_t>(experts) * static_cast<std::size_t>(parts * made.part_blocks());
      fill(made.scales, blocks * across, [&] { return size / 154 * uneven(); });
      break;
    }
    case WeightScheme::nvfp4:
      fill(made.codes, channels * columns / 2, any_byte);
      fill(made.group_scales, channels * columns / kNvfp4Group, [&] { return encode_e4m3(uneven() * 100); });
      fill(made.scales, channels, [&] { return size / 300 * uneven(); });
      break;
    case WeightScheme::mxfp4: {
      fill(made.codes, channels * columns / 2, any_byte);
      const int exponent = std::ilogb(size / 3) + 127;
      fill(made.group_scales, channels * columns / kMxGroup,
           [&] { return static_cast<std::uint8_t>(exponent + random.below(3) - 1); });
      break;
    }
  }
  if (scheme.inputs == InputScheme::fp8_static) {
    fill(made.input_scales, static_cast<std::size_t>(experts), [&] { return 2.0F / 448 * uneven(); });
  }
  if (scheme.inputs == InputScheme::nvfp4) {
    fill(made.input_scales, static_cast<std::size_t>(experts), [&] { return 5.0F / (448 * 6) * uneven(); });
  }
  return made;
}

inline std::vector<float> random_floats(Random& random, int count, float centre, float spread) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) values.push_back(decode_bf16(encode_bf16(centre + spread * random.uniform())));
  return values;
}

/// What a model has besides its experts' scheme.
struct LayerKind {
  std::string name;
  Scheme scheme;
  std::function<void(Random&, Layer&)> finish = {};  ///< router, activation, biases, norms
  bool shared = false;
  Scheme shared_scheme{};
};

/// A layer of a kind; sizes that the schemes ask for are the caller's.
inline Layer random_layer(Random& random, const LayerKind& kind, Shape shape) {
  if (kind.shared && shape.shared_width == 0) shape.shared_width = shape.width;
  if (!kind.shared) shape.shared_width = 0;
  Layer layer;
  layer.name = kind.name;
  layer.shape = shape;
  layer.gate_up = random_experts(random, shape.experts, 2 * shape.width, shape.hidden, kind.scheme, 2);
  layer.down = random_experts(random, shape.experts, shape.hidden, shape.width, kind.scheme);
  if (kind.shared) {
    layer.shared_gate_up = random_experts(random, 1, 2 * shape.shared_width, shape.hidden, kind.shared_scheme, 2);
    layer.shared_down = random_experts(random, 1, shape.hidden, shape.shared_width, kind.shared_scheme);
  }
  layer.router.weight.resize(static_cast<std::size_t>(shape.experts) * static_cast<std::size_t>(shape.hidden));
  for (float& value : layer.router.weight) value = decode_bf16(encode_bf16(random.tailed() / 4));
  if (kind.finish) kind.finish(random, layer);
  return layer;
}

inline void as_deepseek(Random& random, Layer& layer) {
  const int experts = layer.shape.experts;
  layer.router.scoring = Scoring::sigmoid;
  layer.router.correction = random_floats(random, experts, 0, 0.3F);
  layer.router.groups = experts % 4 == 0 ? 4 : 1;
  layer.router.top_groups = experts % 4 == 0 && layer.shape.top_k <= experts / 2 ? 2 : layer.router.groups;
  layer.router.scale = 2.5F;
}

inline void as_glm(Random& random, Layer& layer) {
  as_deepseek(random, layer);
  layer.router.groups = layer.router.top_groups = 1;
}

inline void as_qwen35(Random& random, Layer& layer) {
  layer.shared_gate = random_floats(random, layer.shape.hidden, 0, 0.3F);
}

inline void as_gemma(Random& random, Layer& layer) {
  const int hidden = layer.shape.hidden;
  layer.activation = Activation::geglu_tanh;
  layer.router.input_scale = random_floats(random, hidden, 1, 0.5F);
  layer.router.expert_scale = random_floats(random, layer.shape.experts, 1, 0.5F);
  for (float& value : layer.router.weight) value *= std::sqrt(static_cast<float>(hidden));
  BlockNorms norms;
  for (auto* weight :
       {&norms.before_dense, &norms.before_experts, &norms.after_dense, &norms.after_experts, &norms.after}) {
    *weight = random_floats(random, hidden, 1, 0.5F);
  }
  layer.norms = norms;
}

inline void as_gpt_oss(Random& random, Layer& layer) {
  layer.activation = Activation::swiglu_clamped;
  layer.swiglu_limit = 1.5F;  // low, so that random values reach it
  layer.router.scoring = Scoring::chosen_softmax;
  layer.router.bias = random_floats(random, layer.shape.experts, 0, 1);
  layer.gate_up.bias = random_floats(random, layer.shape.experts * layer.gate_up.rows, 0, 0.5F);
  layer.down.bias = random_floats(random, layer.shape.experts * layer.down.rows, 0, 0.5F);
}

inline void without_renormalizing(Random&, Layer& layer) {
  layer.router.renormalize = false;
}

/// Every scheme, router, activation and arrangement at least once.
inline std::vector<LayerKind> layer_kinds() {
  using W = WeightScheme;
  using X = InputScheme;
  return {
      {"mixtral_bf16", {W::bf16, X::bf16}},
      {"mixtral_fp8_static", {W::fp8_channel, X::fp8_static}},
      {"mixtral_fp8_token", {W::fp8_channel, X::fp8_token}},
      {"qwen3_fp8_block", {W::fp8_block, X::fp8_group}, without_renormalizing},
      {"qwen3_nvfp4", {W::nvfp4, X::nvfp4}},
      {"qwen35_bf16", {W::bf16, X::bf16}, as_qwen35, true, {W::bf16, X::bf16}},
      {"qwen35_nvfp4", {W::nvfp4, X::nvfp4}, as_qwen35, true, {W::bf16, X::bf16}},
      {"deepseek_fp8_block", {W::fp8_block, X::fp8_group}, as_deepseek, true, {W::fp8_block, X::fp8_group}},
      {"glm_nvfp4_a16", {W::nvfp4, X::bf16}, as_glm, true, {W::nvfp4, X::bf16}},
      {"gemma4_fp8_token", {W::fp8_channel, X::fp8_token}, as_gemma, true, {W::fp8_channel, X::fp8_token}},
      {"gemma4_nvfp4", {W::nvfp4, X::nvfp4}, as_gemma, true, {W::nvfp4, X::nvfp4}},
      {"gpt_oss_mxfp4", {W::mxfp4, X::bf16}, as_gpt_oss},
      {"gpt_oss_mxfp4_mxfp8", {W::mxfp4, X::mxfp8}, as_gpt_oss},
      {"gpt_oss_nvfp4", {W::nvfp4, X::nvfp4}, as_gpt_oss},
  };
}

}  // namespace moesaic::test
