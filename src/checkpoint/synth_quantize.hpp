#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "checkpoint/models.hpp"
#include "checkpoint/synth_weights.hpp"

/// Quantizers as the tools have them that write checkpoints. They share only the tables of the formats with what reads
/// and computes. Only the sources of synth include this header.
namespace moesaic::checkpoint {

/// One of the tensors that a linear layer is stored as.
struct StoredAs {
  std::string_view suffix;  ///< of the module's name
  std::string_view dtype;
  std::vector<std::uint64_t> shape;
};

/// The tensors of a linear layer [rows, cols]. mxfp4 has no layer of its own: quantize gives its blocks and scales.
std::vector<StoredAs> stored_as(Published scheme, int rows, int cols);

/// What calibration saw: largest magnitudes. Layers that share an input share both.
struct Calibration {
  float weight = 0;  ///< for the global scale of nvfp4
  float input = 0;   ///< for the input scale of static schemes
};

/// Whether a scheme has scales of inputs that come from calibration.
bool is_calibrated(Published scheme);

float largest(const std::vector<float>& values);

/// The bytes of each tensor of stored_as, in its order.
std::vector<std::vector<std::byte>> quantize(Published scheme, const Matrix& weights, const Calibration& calibration);

/// [rows, cols] elements of `width` bytes each, with rows and columns exchanged.
std::vector<std::byte> transposed(const std::vector<std::byte>& bytes, std::size_t rows, std::size_t cols,
                                  std::size_t width);

/// Values as BF16 or F32, little-endian.
std::vector<std::byte> as_bf16(const std::vector<float>& values);
std::vector<std::byte> as_f32(const std::vector<float>& values);

}  // namespace moesaic::checkpoint
