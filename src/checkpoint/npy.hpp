#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "spec/layer.hpp"

/// NumPy's .npy files, as far as hidden states need them. Source: numpy.lib.format, "Format Version 1.0" to 3.0.
namespace moesaic::checkpoint {

/// A dense row-major matrix: values[row * cols + col].
struct Matrix {
  int rows = 0;
  int cols = 0;
  std::vector<float> values;
};

/// Reads a two-dimensional little-endian float32 or float16 array in C order. Values come as they are, NaN too.
/// Throws Error for anything else, and when the file is longer or shorter than its header says.
Matrix read_npy(const std::filesystem::path& file);

/// Reads hidden states [tokens, hidden], rounded to bf16 (to nearest, ties to even).
/// Throws Error as read_npy does, and when a value is NaN or, after rounding, infinite.
Tokens read_tokens(const std::filesystem::path& file);

/// Writes a float32 array [rows, cols]; the file appears when it is whole, unless it is a device or a pipe.
/// Throws Error when it cannot be written.
void write_npy(const std::filesystem::path& file, int rows, int cols, std::span<const float> values);

}  // namespace moesaic::checkpoint
