#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "spec/formats.hpp"
#include "spec/layer.hpp"
#include "spec/split_mix.hpp"

/// Random operands that are the same on every machine for a seed.
namespace moesaic::test {

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;

  int below(int bound) { return static_cast<int>(next() % static_cast<std::uint64_t>(bound)); }
  /// In (-1, 1).
  float uniform() { return (static_cast<float>(next() >> 40) * 0x1p-24F - 0.5F) * 2; }
  /// Near zero mostly, with tails: the product of three uniform numbers.
  float tailed() {
    const float a = uniform();  // statements, because the order of operands is the compiler's
    const float b = uniform();
    const float c = uniform();
    return a * b * c * 4;
  }
};

/// Any finite e4m3 code, small magnitudes more often than large ones.
inline std::uint8_t random_code(Random& random) {
  return encode_e4m3(random.tailed() * 200);
}

/// FP8 weights with a scale for each channel, and inputs with a dynamic scale for each row.
inline Experts channel_experts(int experts, int rows, int cols, std::vector<std::uint8_t> codes,
                               std::vector<float> scales) {
  Experts made;
  made.experts = experts;
  made.rows = rows;
  made.cols = cols;
  made.scheme = {WeightScheme::fp8_channel, InputScheme::fp8_token};
  made.codes = std::move(codes);
  made.scales = std::move(scales);
  return made;
}

inline Experts random_experts(Random& random, int experts, int rows, int cols) {
  Experts made = channel_experts(experts, rows, cols, {}, {});
  made.codes.resize(static_cast<std::size_t>(experts) * static_cast<std::size_t>(rows) *
                    static_cast<std::size_t>(cols));
  for (std::uint8_t& code : made.codes) code = random_code(random);
  made.scales.resize(static_cast<std::size_t>(experts) * static_cast<std::size_t>(rows));
  for (float& scale : made.scales) scale = decode_bf16(encode_bf16((0.5F + std::abs(random.uniform())) * 1e-3F));
  return made;
}

inline Layer random_layer(Random& random, const Shape& shape) {
  Layer layer;
  layer.name = "random";
  layer.shape = shape;
  layer.router.weight.resize(static_cast<std::size_t>(shape.experts) * static_cast<std::size_t>(shape.hidden));
  for (float& value : layer.router.weight) value = decode_bf16(encode_bf16(random.tailed()));
  layer.gate_up = random_experts(random, shape.experts, 2 * shape.width, shape.hidden);
  layer.gate_up.parts = 2;
  layer.down = random_experts(random, shape.experts, shape.hidden, shape.width);
  return layer;
}

inline Tokens random_tokens(Random& random, int count, int hidden) {
  Tokens tokens{count, hidden, {}};
  tokens.values.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(hidden));
  for (std::uint16_t& value : tokens.values) value = encode_bf16(random.tailed());
  return tokens;
}

}  // namespace moesaic::test
