#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "device/gpu.hpp"
#include "device/place.hpp"
#include "engine/engine.hpp"
#include "engine/selection.hpp"

namespace moesaic::engine {

/// Why there are no GPU kernels for such a layer, as a sentence; empty when there are. It looks at the layer's outline
/// alone (schemes, activation, router, what stands around the experts), not at its tensors. What a card demands of
/// sizes is for valid() to say.
std::string why_not_gpu(const Layer& layer);

/// The same for one card, what it demands of the layer's sizes included.
std::string why_not_on(const Layer& layer, const Device& card);

/// A card and the codes of a layer's experts in its memory, to be put there as they are read.
class CardWeights {
 public:
  /// `outline` is the layer without its tensors. Throws Error when the place cannot be opened or lacks memory.
  CardWeights(const device::Place& place, const Layer& outline);

  /// Copies codes to gate_up or down, from byte `first` of [experts, rows, row_bytes()] on.
  void put(bool down, std::size_t first, std::span<const std::byte> codes);

  std::string place_name;
  device::Gpu gpu;
  device::Buffer gate_up;
  device::Buffer down;
};

/// The engine on a real or an emulated GPU: its experts' codes are those in `weights`, all other tensors those of the
/// layer, which must outlive it.
/// Throws Error when the layer is none for a GPU, when the card is not supported or lacks memory, and when a variant
/// that is wished for cannot run.
std::unique_ptr<Engine> make_gpu_engine(const Layer& layer, std::unique_ptr<CardWeights> weights, Wishes wishes = {});

/// The same with the codes of the layer, which are copied to the card at once.
std::unique_ptr<Engine> make_gpu_engine(const Layer& layer, const device::Place& place, Wishes wishes = {});

}  // namespace moesaic::engine
