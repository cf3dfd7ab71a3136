#pragma once

#include <memory>
#include <optional>
#include <string>

#include "device/place.hpp"
#include "engine/engine.hpp"
#include "engine/gpu.hpp"
#include "engine/selection.hpp"
#include "spec/device.hpp"
#include "spec/layer.hpp"

namespace moesaic::cli {

/// Where to run, and why there.
struct ChosenPlace {
  device::Place place;
  std::string reason;
};

/// Reads the option --device. `seed` is that of an emulated card's interleavings. auto is the best place that can run
/// `layer`, which is looked at as why_not_gpu() does, or null; any other name is taken at its word.
/// Throws Error for a name that is not known, with the nearest one that is.
ChosenPlace choose_place(const std::string& option, std::uint64_t seed, const Layer* layer = nullptr);

/// What auto comes to when the best place is this card: the cpu, with the reason, when the card cannot run the layer.
ChosenPlace settle(const device::BestPlace& best, const Layer& layer, const Device& card);

/// Before anything is loaded: throws DeviceError when the place cannot be used or cannot run such a layer, which is
/// looked at as why_not_gpu() does, or cannot run the variant that is wished for, and Error when a variant is wished
/// for on the cpu, which has none. Returns the card; nothing for the cpu.
std::optional<Device> require_runs_on(const Layer& layer, const ChosenPlace& chosen, const engine::Wishes& wishes);

/// A card's memory for the experts of such a layer. Throws DeviceError when the card cannot be used or lacks it.
std::unique_ptr<engine::CardWeights> make_card_weights(const device::Place& place, const Layer& outline);

/// The engine of a place. `card`, unless null, is that place and holds the codes of the layer's experts. Throws
/// DeviceError when the place cannot be used or a variant that is wished for cannot run there; the cpu has no variants
/// and takes no wishes.
std::unique_ptr<engine::Engine> make_engine(const Layer& layer, const device::Place& place,
                                            std::unique_ptr<engine::CardWeights> card, engine::Wishes wishes);

}  // namespace moesaic::cli
