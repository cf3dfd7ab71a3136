#pragma once

#include <vector>

#include "reference/bounds.hpp"
#include "spec/layer.hpp"

namespace moesaic::reference {

/// The weights of the chosen experts in double, [tokens, top_k], and how far those of a float32 router that adds in any
/// order may be from them.
std::vector<Bounded> float_weights(const Layer& layer, const Tokens& tokens, const Routing& routing);

}  // namespace moesaic::reference
