#pragma once

#include "spec/layer.hpp"

namespace moesaic::engine {

/// What stands between the GEMMs, in f32: h [width] in bf16 from a row of gate and up, [2 * width].
void activate_row(const Layer& layer, const float* gate_up, int width, std::uint16_t* h);

}  // namespace moesaic::engine
