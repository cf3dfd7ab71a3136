#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "random_operands.hpp"
#include "spec/layer.hpp"

/// Layers with random weights and tokens, for every engine to compute, and digests of what they computed.
namespace moesaic::test {

struct LayerCase {
  std::string name;
  Shape shape;
  int tokens = 0;
  std::uint64_t seed = 0;
  bool one_expert_first = false;  ///< the router sends every token to expert 3 before all others
};

inline std::vector<LayerCase> layer_cases() {
  return {
      {.name = "width_704", .shape = {16, 4, 128, 704}, .tokens = 9, .seed = 101},
      {.name = "hidden_352_many_tokens", .shape = {6, 2, 352, 96}, .tokens = 70, .seed = 102},
      {.name = "one_token", .shape = {8, 3, 256, 176}, .tokens = 1, .seed = 103},
      {.name = "zero_tokens", .shape = {8, 3, 256, 176}, .tokens = 0, .seed = 104},
      {.name = "all_tokens_on_one_expert",
       .shape = {40, 1, 192, 80},
       .tokens = 66,
       .seed = 105,
       .one_expert_first = true},
      {.name = "every_expert", .shape = {4, 4, 128, 128}, .tokens = 5, .seed = 106},
      {.name = "zero_and_tiny_rows", .shape = {4, 2, 128, 64}, .tokens = 4, .seed = 107},
  };
}

struct LayerInput {
  Layer layer;
  Tokens tokens;
};

inline LayerInput make_input(const LayerCase& c) {
  Random random(c.seed);
  LayerInput input{random_layer(random, c.shape), random_tokens(random, c.tokens, c.shape.hidden)};
  const auto hidden = static_cast<std::size_t>(c.shape.hidden);
  if (c.one_expert_first) {
    // Channel 0 is 1 in every token, and only expert 3 looks at it.
    for (std::size_t e = 0; e < static_cast<std::size_t>(c.shape.experts); ++e) {
      input.layer.router.weight[e * hidden] = e == 3 ? 100.0F : 0.0F;
    }
    for (std::size_t t = 0; t < static_cast<std::size_t>(c.tokens); ++t)
      input.tokens.values[t * hidden] = encode_bf16(1);
  }
  if (c.name == "zero_and_tiny_rows") {
    for (std::size_t h = 0; h < hidden; ++h) {
      input.tokens.values[h] = 0;                                             // a row of zeros: the scale's floor
      input.tokens.values[hidden + h] = static_cast<std::uint16_t>(h % 128);  // subnormal bf16
    }
  }
  return input;
}

/// FNV-1a over the bytes of values.
template <class T>
std::uint64_t digest(const std::vector<T>& values) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const T& value : values) {
    std::array<unsigned char, sizeof(T)> bytes{};
    std::memcpy(bytes.data(), &value, sizeof(T));
    for (const unsigned char byte : bytes) hash = (hash ^ byte) * 0x100000001b3U;
  }
  return hash;
}

/// A digest of every field of a run, by the field's name.
inline std::map<std::string, std::uint64_t> digests(const Trace& trace) {
  return {
      {"expert", digest(trace.routing.expert)},
      {"weight", digest(trace.routing.weight)},
      {"x_codes", digest(trace.experts.x.codes)},
      {"x_scales", digest(trace.experts.x.scales)},
      {"gate_up", digest(trace.experts.gate_up)},
      {"h", digest(trace.experts.h)},
      {"h_codes", digest(trace.experts.h_quantized.codes)},
      {"h_scales", digest(trace.experts.h_quantized.scales)},
      {"down", digest(trace.experts.down)},
      {"output", digest(trace.output)},
  };
}

}  // namespace moesaic::test
