#pragma once

#include <memory>
#include <string>

#include "device/place.hpp"
#include "engine/engine.hpp"

namespace moesaic::engine {

struct GpuOptions {
  std::string variant;  ///< the GEMM variant that must run, by its full name; empty: the engine chooses
};

/// The engine on a real or an emulated GPU. Its weights are copied to the card at once.
/// Throws Error when the place cannot be opened, is not supported or lacks memory.
std::unique_ptr<Engine> make_gpu_engine(const Layer& layer, const device::Place& place, GpuOptions options = {});

}  // namespace moesaic::engine
