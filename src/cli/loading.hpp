#pragma once

#include "checkpoint/layer_plan.hpp"

namespace moesaic::cli {

/// Loads a layer. Says on stderr, before it begins, how much will be read and how much memory that takes at most, and
/// then how far it is.
Layer load(const checkpoint::LayerPlan& plan);

}  // namespace moesaic::cli
