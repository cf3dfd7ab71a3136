#pragma once

#include <memory>
#include <string>

#include "device/place.hpp"
#include "engine/engine.hpp"
#include "spec/layer.hpp"

namespace moesaic::cli {

/// Where to run, and why there.
struct ChosenPlace {
  device::Place place;
  std::string reason;
};

/// Reads the option --device. `seed` is that of an emulated card's interleavings; `layer` needs its outline alone.
/// Throws Error for a name that is not known, with the nearest one that is.
ChosenPlace choose_place(const std::string& option, std::uint64_t seed, const Layer& layer);

/// What --device auto comes to: the best place of this machine, or the cpu where there are no GPU kernels for the
/// layer.
ChosenPlace auto_place(device::BestPlace best, const Layer& layer);

/// Throws DeviceError when a place cannot run such a layer, before anything is loaded. The layer's outline is enough.
void require_runs_on(const Layer& layer, const device::Place& place);

/// The engine of a place. Throws DeviceError when the place cannot be used.
std::unique_ptr<engine::Engine> make_engine(const Layer& layer, const device::Place& place);

}  // namespace moesaic::cli
