#pragma once

#include <cstdint>

#include "checkpoint/layer_plan.hpp"
#include "engine/gpu.hpp"

namespace moesaic::cli {

/// Who holds the codes of the experts, which are nearly all that a layer has.
enum class Codes : std::uint8_t {
  on_host,
  on_card,  ///< put there as they are read
  on_both,  ///< read to the host and copied: the reference needs them too
};

/// The most memory that loading so takes, of host and card together: on a machine where they are one, of that.
std::uint64_t peak_bytes(const checkpoint::LayerPlan& plan, Codes codes);

/// Loads a layer, its codes to `card` unless that is null. Says on stderr, before it begins, how much will be read and
/// how much memory that takes at most, and then how far it is. Throws DeviceError when the card fails.
Layer load(const checkpoint::LayerPlan& plan, Codes codes = Codes::on_host, engine::CardWeights* card = nullptr,
           checkpoint::PageCache cache = checkpoint::PageCache::kept);

}  // namespace moesaic::cli
