#pragma once

#include <cstddef>
#include <vector>

#include "spec/layer.hpp"

/// What the codes of a GEMM's operands mean, in double. Scales of small groups (ue4m3, ue8m0) are within the values,
/// exactly; f32 scales are apart, because an engine multiplies sums with them.
namespace moesaic::reference {

/// Whether sums are taken over blocks of 128 k, each with scales of its own, and then added.
inline bool is_blockwise(const Scheme& scheme) {
  return scheme.weights == WeightScheme::fp8_block || scheme.inputs == InputScheme::fp8_group;
}

/// [cols]: the weights of channel n of expert e.
std::vector<double> weight_row(const Experts& w, int e, int n);

/// The f32 scale of a channel's sum; 1 where the scheme has none.
double channel_scale(const Experts& w, int e, int n);

/// The f32 scale of the block of weights that holds (n, k); 1 where the scheme has none.
double block_scale(const Experts& w, int e, int n, int k);

/// [rows, cols]: the inputs; `values` are their bf16 codes, for the scheme that does not quantize.
std::vector<double> input_rows(InputScheme scheme, const Quantized& quantized, const std::vector<std::uint16_t>& values,
                               std::size_t rows, int cols);

/// The f32 scale of a row's sum; 1 where the scheme has none. `expert` is the row's.
double row_scale(const Experts& w, const Quantized& quantized, std::size_t row, int expert);

/// The f32 scale of the group of inputs that holds k; 1 where the scheme has none.
double group_scale(const Experts& w, const Quantized& quantized, std::size_t row, int k);

}  // namespace moesaic::reference
