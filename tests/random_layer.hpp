#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>

#include "spec/layer.hpp"

namespace moesaic::test {

/// Experts with normally distributed weights of e4m3; the scales of channels differ by up to 4 times.
inline Fp8Experts random_experts(int experts, int rows, int cols, std::mt19937& random) {
  std::normal_distribution<float> weight(0.0F, 60.0F);
  std::uniform_real_distribution<float> exponent(-1.0F, 1.0F);
  Fp8Experts w;
  w.experts = experts;
  w.rows = rows;
  w.cols = cols;
  const auto channels = static_cast<std::size_t>(experts) * static_cast<std::size_t>(rows);
  w.codes.resize(channels * static_cast<std::size_t>(cols));
  for (std::uint8_t& code : w.codes) code = encode_e4m3(weight(random));
  const float usual = 1.0F / (60.0F * std::sqrt(static_cast<float>(cols)));
  for (std::size_t i = 0; i < channels; ++i) {
    // A scale that bf16 holds, as checkpoints have it.
    w.scales.push_back(decode_bf16(encode_bf16(usual * std::exp2(exponent(random)))));
  }
  return w;
}

inline Layer random_layer(Shape shape, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> router(0.0F, 1.5F / std::sqrt(static_cast<float>(shape.hidden)));
  Layer layer;
  layer.name = "random";
  layer.shape = shape;
  layer.router.resize(static_cast<std::size_t>(shape.experts) * static_cast<std::size_t>(shape.hidden));
  for (std::uint16_t& value : layer.router) value = encode_bf16(router(random));
  layer.gate_up = random_experts(shape.experts, 2 * shape.width, shape.hidden, random);
  layer.down = random_experts(shape.experts, shape.hidden, shape.width, random);
  return layer;
}

/// Normally distributed hidden states; the sizes of tokens differ by up to 16 times.
inline Tokens random_tokens(int count, int hidden, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> value(0.0F, 1.0F);
  std::uniform_real_distribution<float> exponent(-2.0F, 2.0F);
  Tokens tokens;
  tokens.count = count;
  tokens.hidden = hidden;
  for (int token = 0; token < count; ++token) {
    const float size = std::exp2(exponent(random));
    for (int h = 0; h < hidden; ++h) tokens.values.push_back(encode_bf16(size * value(random)));
  }
  return tokens;
}

}  // namespace moesaic::test
