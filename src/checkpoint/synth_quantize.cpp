#include "checkpoint/synth_quantize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "spec/formats.hpp"
#include "spec/scheme.hpp"

namespace moesaic::checkpoint {
namespace {

using Bytes = std::vector<std::byte>;

/// The largest value that nvfp4 stores without its global scale.
constexpr float kNvfp4Max = kE2m1Max * kE4m3Max;
/// What compressed-tensors gives a scale at least, so that zeros can be divided by it.
constexpr float kLeast = 1e-6F;

std::size_t count(int extent) {
  return static_cast<std::size_t>(extent);
}

std::size_t blocks(int extent) {
  return (count(extent) + kBlockSide - 1) / kBlockSide;
}

float through_bf16(float value) {
  return decode_bf16(encode_bf16(value));
}

/// The largest magnitudes of the parts into which a function from (row, column) divides the matrix.
template <class PartOf>
std::vector<float> largest_of(const Matrix& m, std::size_t parts, PartOf part_of) {
  std::vector<float> result(parts, 0.0F);
  for (std::size_t row = 0; row < count(m.rows); ++row) {
    for (std::size_t col = 0; col < count(m.cols); ++col) {
      float& part = result[part_of(row, col)];
      part = std::max(part, std::abs(m.values[row * count(m.cols) + col]));
    }
  }
  return result;
}

template <class PartOf>
Bytes e4m3_codes(const Matrix& m, const std::vector<float>& scales, PartOf part_of) {
  Bytes codes;
  codes.reserve(m.values.size());
  for (std::size_t row = 0; row < count(m.rows); ++row) {
    for (std::size_t col = 0; col < count(m.cols); ++col) {
      const float scaled = m.values[row * count(m.cols) + col] / scales[part_of(row, col)];
      codes.push_back(static_cast<std::byte>(encode_e4m3(scaled)));
    }
  }
  return codes;
}

/// e4m3 with a scale for each part; `store` rounds scales to the dtype that they are stored in.
template <class PartOf, class Round>
std::vector<Bytes> quantize_fp8(const Matrix& m, std::size_t parts, PartOf part_of, Round round, bool bf16_scales) {
  std::vector<float> scales = largest_of(m, parts, part_of);
  for (float& scale : scales) scale = round(std::max(scale, kLeast) / kE4m3Max);
  return {e4m3_codes(m, scales, part_of), bf16_scales ? as_bf16(scales) : as_f32(scales)};
}

std::vector<Bytes> quantize_blocks(const Matrix& m, bool bf16_scales) {
  const std::size_t across = blocks(m.cols);
  const auto part_of = [across](std::size_t row, std::size_t col) {
    return row / kBlockSide * across + col / kBlockSide;
  };
  const auto round = [bf16_scales](float scale) { return bf16_scales ? through_bf16(scale) : scale; };
  return quantize_fp8(m, blocks(m.rows) * across, part_of, round, bf16_scales);
}

std::vector<Bytes> quantize_tensor(const Matrix& m, float largest_input, bool bf16_scales) {
  const auto round = [bf16_scales](float scale) { return bf16_scales ? through_bf16(scale) : scale; };
  const auto whole = [](std::size_t, std::size_t) { return std::size_t{0}; };
  std::vector<Bytes> result = quantize_fp8(m, 1, whole, round, bf16_scales);
  const std::vector<float> input{round(largest_input / kE4m3Max)};
  result.push_back(bf16_scales ? as_bf16(input) : as_f32(input));
  return result;
}

/// Two e2m1 codes in a byte, the even column in the low bits. `scale_of`(row, group) is what a code is multiplied by.
template <class ScaleOf>
Bytes e2m1_codes(const Matrix& m, int group, ScaleOf scale_of) {
  Bytes packed;
  packed.reserve(m.values.size() / 2);
  for (std::size_t row = 0; row < count(m.rows); ++row) {
    for (std::size_t col = 0; col < count(m.cols); col += 2) {
      const float scale = scale_of(row, col / count(group));
      const float* pair = &m.values[row * count(m.cols) + col];
      packed.push_back(static_cast<std::byte>(encode_e2m1(pair[0] / scale) | (encode_e2m1(pair[1] / scale) << 4)));
    }
  }
  return packed;
}

/// Codes and group scales; `global` multiplies: w = code * group scale * global.
std::vector<Bytes> quantize_nvfp4(const Matrix& m, float global) {
  const std::size_t groups = count(m.cols / kNvfp4Group);
  const auto part_of = [groups](std::size_t row, std::size_t col) { return row * groups + col / kNvfp4Group; };
  std::vector<float> scales = largest_of(m, count(m.rows) * groups, part_of);
  Bytes codes;
  for (float& scale : scales) {
    // A group of tiny values must not get a scale of zero.
    const auto code = std::max<std::uint8_t>(encode_e4m3(scale / kE2m1Max / global), 1);
    codes.push_back(static_cast<std::byte>(code));
    scale = decode_e4m3(code) * global;
  }
  const auto scale_of = [&](std::size_t row, std::size_t group) { return scales[row * groups + group]; };
  return {e2m1_codes(m, kNvfp4Group, scale_of), codes};
}

/// compressed-tensors stores reciprocals of the global scales: they divide.
std::vector<Bytes> quantize_nvfp4_compressed(const Matrix& m, const Calibration& calibration, bool inputs) {
  const float divisor = kNvfp4Max / calibration.weight;
  std::vector<Bytes> result = quantize_nvfp4(m, 1 / divisor);
  result.push_back(as_f32({divisor}));
  if (inputs) result.push_back(as_f32({kNvfp4Max / calibration.input}));
  return result;
}

std::vector<Bytes> quantize_nvfp4_modelopt(const Matrix& m, const Calibration& calibration) {
  const float global = calibration.weight / kNvfp4Max;
  std::vector<Bytes> result = quantize_nvfp4(m, global);
  result.push_back(as_f32({global}));
  result.push_back(as_f32({calibration.input / kNvfp4Max}));
  return result;
}

/// The shared exponent is that of the largest magnitude less that of e2m1's largest, 2: OCP Microscaling Formats
/// Specification 1.0, section 6.3.
std::vector<Bytes> quantize_mxfp4(const Matrix& m) {
  const std::size_t groups = count(m.cols / kMxGroup);
  const auto part_of = [groups](std::size_t row, std::size_t col) { return row * groups + col / kMxGroup; };
  std::vector<float> scales = largest_of(m, count(m.rows) * groups, part_of);
  Bytes codes;
  for (float& scale : scales) {
    const int exponent = std::clamp(std::ilogb(std::max(scale, kLeast)) - 2, -127, 127);
    codes.push_back(static_cast<std::byte>(exponent + 127));
    scale = std::ldexp(1.0F, exponent);
  }
  const auto scale_of = [&](std::size_t row, std::size_t group) { return scales[row * groups + group]; };
  return {e2m1_codes(m, kMxGroup, scale_of), codes};
}

template <class T, class Convert>
Bytes as_bytes(const std::vector<float>& values, Convert convert) {
  Bytes bytes(values.size() * sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T value = convert(values[i]);
    std::memcpy(&bytes[i * sizeof(T)], &value, sizeof(T));
  }
  return bytes;
}

}  // namespace

std::vector<StoredAs> stored_as(Published scheme, int rows, int cols) {
  const std::uint64_t n = count(rows);
  const std::uint64_t k = count(cols);
  const std::vector<std::uint64_t> in_blocks{blocks(rows), blocks(cols)};
  const StoredAs fp8{".weight", "F8_E4M3", {n, k}};
  const StoredAs groups{".weight_scale", "F8_E4M3", {n, k / kNvfp4Group}};
  switch (scheme) {
    case Published::bf16:
      return {{".weight", "BF16", {n, k}}};
    case Published::fp8_dynamic:
      return {fp8, {".weight_scale", "BF16", {n, 1}}};
    case Published::fp8_static:
      return {fp8, {".weight_scale", "BF16", {1}}, {".input_scale", "BF16", {1}}};
    case Published::fp8_modelopt:
      return {fp8, {".weight_scale", "F32", {}}, {".input_scale", "F32", {}}};
    case Published::fp8_block:
      return {fp8, {".weight_scale_inv", "F32", in_blocks}};
    case Published::fp8_block_compressed:
      return {fp8, {".weight_scale", "BF16", in_blocks}};
    case Published::nvfp4:
      return {{".weight_packed", "U8", {n, k / 2}},
              groups,
              {".weight_global_scale", "F32", {1}},
              {".input_global_scale", "F32", {1}}};
    case Published::nvfp4_a16:
      return {{".weight_packed", "U8", {n, k / 2}}, groups, {".weight_global_scale", "F32", {1}}};
    case Published::nvfp4_modelopt:
      return {{".weight", "U8", {n, k / 2}}, groups, {".weight_scale_2", "F32", {}}, {".input_scale", "F32", {}}};
    case Published::mxfp4:
      return {{"_blocks", "U8", {n, k / kMxGroup, kMxGroup / 2}}, {"_scales", "U8", {n, k / kMxGroup}}};
  }
  return {};
}

bool is_calibrated(Published scheme) {
  return scheme == Published::fp8_static || scheme == Published::fp8_modelopt || scheme == Published::nvfp4 ||
         scheme == Published::nvfp4_modelopt;
}

float largest(const std::vector<float>& values) {
  float result = 0;
  for (const float value : values) result = std::max(result, std::abs(value));
  return result;
}

std::vector<Bytes> quantize(Published scheme, const Matrix& weights, const Calibration& calibration) {
  switch (scheme) {
    case Published::bf16:
      return {as_bf16(weights.values)};
    case Published::fp8_dynamic:
      return quantize_fp8(
          weights, count(weights.rows), [](std::size_t row, std::size_t) { return row; }, through_bf16, true);
    case Published::fp8_static:
      return quantize_tensor(weights, calibration.input, true);
    case Published::fp8_modelopt:
      return quantize_tensor(weights, calibration.input, false);
    case Published::fp8_block:
      return quantize_blocks(weights, false);
    case Published::fp8_block_compressed:
      return quantize_blocks(weights, true);
    case Published::nvfp4:
      return quantize_nvfp4_compressed(weights, calibration, true);
    case Published::nvfp4_a16:
      return quantize_nvfp4_compressed(weights, calibration, false);
    case Published::nvfp4_modelopt:
      return quantize_nvfp4_modelopt(weights, calibration);
    case Published::mxfp4:
      return quantize_mxfp4(weights);
  }
  return {};
}

std::vector<std::byte> transposed(const std::vector<std::byte>& bytes, std::size_t rows, std::size_t cols,
                                  std::size_t width) {
  std::vector<std::byte> result(bytes.size());
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t col = 0; col < cols; ++col) {
      std::memcpy(&result[(col * rows + row) * width], &bytes[(row * cols + col) * width], width);
    }
  }
  return result;
}

std::vector<std::byte> as_bf16(const std::vector<float>& values) {
  return as_bytes<std::uint16_t>(values, encode_bf16);
}

std::vector<std::byte> as_f32(const std::vector<float>& values) {
  return as_bytes<float>(values, [](float value) { return value; });
}

}  // namespace moesaic::checkpoint
