#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "checkpoint/checkpoint.hpp"
#include "spec/layer.hpp"

/// Made-up models and hidden states, for running and testing without a download. Equal arguments give equal bytes on
/// every machine.
namespace moesaic::checkpoint {

/// A model whose shape can be asked for by name.
struct KnownModel {
  std::string_view name;
  Shape shape;
  int layers = 0;  ///< of the real model
  std::string_view about;
};

/// Sources: config.json of each model as its makers published it.
inline constexpr std::array kKnownModels{
    KnownModel{
        "qwen3-small", {.experts = 16, .top_k = 4, .hidden = 512, .width = 704}, 1, "scaled down: 17 MB a layer"},
    KnownModel{"qwen3-30b-a3b", {.experts = 128, .top_k = 8, .hidden = 2048, .width = 768}, 48, "604 MB a layer"},
    KnownModel{"qwen3-235b-a22b", {.experts = 128, .top_k = 8, .hidden = 4096, .width = 1536}, 94, "2.4 GB a layer"},
    KnownModel{"qwen3-coder-480b", {.experts = 160, .top_k = 8, .hidden = 6144, .width = 2560}, 62, "7.6 GB a layer"},
};

/// What to make up.
struct Synth {
  Shape shape;
  int layers = 1;
  std::uint64_t seed = 1;
  bool replace = false;  ///< replace config.json and model.safetensors of a directory that is not empty
};

/// Writes the MoE layers of a Qwen3-MoE model as llm-compressor's FP8_DYNAMIC publishes them: config.json and
/// model.safetensors. No attention, no embeddings. Weights have heavy tails, rows of uneven size and outlier channels;
/// the router has favourites. The directory appears, or its files are replaced, when all is written.
/// Throws Error when the shape is not one that exists (hidden and width must be multiples of 16), when the directory
/// is not empty and `replace` is not set, and when it cannot be written.
void synthesize(const Synth& synth, const std::filesystem::path& directory, const Progress& progress = {});

/// Hidden states as they enter an MoE layer, [count, hidden]: heavy tails, tokens of uneven size, outlier channels, a
/// common mean that the made-up routers respond to.
Tokens make_tokens(int count, int hidden, std::uint64_t seed);

}  // namespace moesaic::checkpoint
