#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "checkpoint/models.hpp"
#include "spec/layer.hpp"

/// Made-up models and hidden states, for running and testing without a download. Equal arguments give equal bytes on
/// every machine.
namespace moesaic::checkpoint {

/// The files of a made-up model; the second one only for ModelOpt.
inline constexpr std::array<std::string_view, 3> kModelFiles{"config.json", "hf_quant_config.json",
                                                             "model.safetensors"};

/// What to make up.
struct Synth {
  Family family = Family::qwen3;
  Published scheme = Published::fp8_dynamic;
  Shape shape;
  int groups = 1;  ///< of the router, for families that have groups
  int top_groups = 1;
  int layers = 1;
  std::uint64_t seed = 1;
  bool replace = false;  ///< replace the model in a directory that is not empty
};

/// Bytes of all tensors of one layer. Throws Error as synthesize does.
std::uint64_t stored_layer_bytes(const Synth& synth);

/// Writes the MoE layers of a model as that pair of architecture and scheme is published: config.json,
/// model.safetensors and, for ModelOpt, hf_quant_config.json. No attention, no embeddings. Weights have heavy tails,
/// rows of uneven size and outlier channels; the router has favourites; input scales come from a made-up calibration.
/// A seed gives the same weights, before they are quantized, in every scheme. The directory appears, or its files are
/// replaced, when all is written. Throws Error when the pair is not published, when the shape is not one that its
/// layout can hold, when the directory is not empty and `replace` is not set, and when it cannot be written.
void synthesize(const Synth& synth, const std::filesystem::path& directory,
                const std::function<void(std::uint64_t done, std::uint64_t total)>& progress = {});

/// Hidden states as they enter an MoE layer, [count, hidden]: heavy tails, tokens of uneven size, outlier channels, a
/// common mean that the made-up routers respond to.
Tokens make_tokens(int count, int hidden, std::uint64_t seed);

}  // namespace moesaic::checkpoint
