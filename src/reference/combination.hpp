#pragma once

#include <vector>

#include "reference/bounds.hpp"
#include "spec/layer.hpp"

namespace moesaic::reference {

/// The layer's output (layer.hpp, step 6), [tokens, hidden], from values that are known within bounds: the weights
/// [tokens, top_k] and rows `down` [R, hidden] of the routed experts, the weights [tokens] and rows [tokens, hidden] of
/// the shared one; the latter empty when there is none.
std::vector<Bounded> combine(const Layer& layer, const Routing& routing, const std::vector<Bounded>& weights,
                             const std::vector<Bounded>& down, const std::vector<Bounded>& shared_weights,
                             const std::vector<Bounded>& shared);

}  // namespace moesaic::reference
