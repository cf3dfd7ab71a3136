#pragma once

#include <cstddef>
#include <cstdint>

#include "spec/layer.hpp"

namespace moesaic::engine {

/// Room for `rows` rows of `cols` values in the form of a scheme; all empty for bf16.
Quantized make_quantized(InputScheme scheme, std::size_t rows, int cols);

/// Quantizes a row of finite bf16 values, [cols], into row `row` of `into`. `input_scale` is that of the row's expert;
/// schemes that find their scales when they run do not look at it.
///
/// The arithmetic is vLLM's, each operation rounded to f32; reference/layer.hpp defines it and names the sources.
void quantize_row(InputScheme scheme, const std::uint16_t* values, int cols, float input_scale, Quantized& into,
                  std::size_t row);

}  // namespace moesaic::engine
