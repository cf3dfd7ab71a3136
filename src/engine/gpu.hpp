#pragma once

#include <memory>
#include <string>

#include "device/place.hpp"
#include "engine/engine.hpp"

namespace moesaic::engine {

struct GpuOptions {
  std::string variant;  ///< the GEMM variant that must run, by its full name; empty: the engine chooses
};

/// Why there are no GPU kernels for such a layer, as a sentence; empty when there are. It looks at the layer's outline
/// alone (schemes, activation, router, what stands around the experts), not at its tensors. What a card demands of
/// sizes is for valid() to say.
std::string why_not_gpu(const Layer& layer);

/// The same for one card, what it demands of the layer's sizes included.
std::string why_not_on(const Layer& layer, const Device& card);

/// The engine on a real or an emulated GPU. Its weights are copied to the card at once.
/// Throws Error when the layer is none for a GPU, when the place cannot be opened, is not supported or lacks memory.
std::unique_ptr<Engine> make_gpu_engine(const Layer& layer, const device::Place& place, GpuOptions options = {});

}  // namespace moesaic::engine
