#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/safetensors.hpp"
#include "checkpoint/synth.hpp"

/// The tensors of one made-up MoE layer, under the names and in the layout that its architecture and scheme are
/// published with. Only the sources of synth include this header.
namespace moesaic::checkpoint {

/// Takes the next bytes of a tensor, which may come in pieces.
using Append = std::function<void(const std::string& name, std::span<const std::byte> bytes)>;

/// What stands before the names of a layer's tensors: "model.layers.3.mlp."
std::string layer_prefix(Family family, int layer);

/// Name, dtype and shape of every tensor of a layer.
std::vector<Tensor> declare_layer(const Synth& synth, int layer);

/// Makes up the layer, on all cores, and hands over every byte of what declare_layer declares, on the calling thread.
/// Holds one expert for each core at a time.
void write_layer(const Synth& synth, int layer, const Append& append);

}  // namespace moesaic::checkpoint
