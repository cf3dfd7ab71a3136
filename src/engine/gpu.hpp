#pragma once

#include <memory>
#include <string>

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

/// The engine on a real or an emulated GPU. Its weights are copied to the card at once.
/// Throws Error when the layer is none for a GPU, when the place cannot be opened, is not supported or lacks memory,
/// and when a variant that is wished for cannot run.
std::unique_ptr<Engine> make_gpu_engine(const Layer& layer, const device::Place& place, Wishes wishes = {});

}  // namespace moesaic::engine
