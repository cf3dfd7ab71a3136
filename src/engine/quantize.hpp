#pragma once

#include <cstdint>

namespace moesaic::engine {

/// Quantizes a row of `count` finite bf16 values to e4m3 and returns its scale: max(largest magnitude / 448, floor),
/// floor = 1 / (448 * 512); codes[i] = e4m3(values[i] / scale), both divisions rounded to f32. This is what vLLM's
/// dynamic_per_token_scaled_fp8_quant computes (csrc/quantization/w8a8/fp8/common.cu at
/// cda1b348585db9eada9405af6f4a38756371ef9b), all-zero rows included.
float quantize_row(const std::uint16_t* values, int count, std::uint8_t* codes);

}  // namespace moesaic::engine
