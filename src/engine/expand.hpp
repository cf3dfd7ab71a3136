#pragma once

#include <cstddef>
#include <cstdint>

#include "spec/layer.hpp"

/// What codes mean, as floats for a BLAS. The scales of small groups (NVFP4, MXFP4, MXFP8) are multiplied in, which is
/// exact: e2m1 times ue4m3 has 6 digits, and ue8m0 is a power of two. Scales in f32 are left to the sums.
namespace moesaic::engine {

/// The weights of a channel, [cols]. `channel` counts those of all experts.
void expand_weights(const Experts& experts, std::size_t channel, float* out);

/// A row of inputs, [cols]: from `values` for bf16, else from row `row` of `quantized`.
void expand_inputs(InputScheme scheme, const Quantized& quantized, const std::uint16_t* values, std::size_t row,
                   int cols, float* out);

}  // namespace moesaic::engine
