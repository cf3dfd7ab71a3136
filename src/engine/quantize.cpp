#include "engine/quantize.hpp"

#include <algorithm>
#include <cmath>

#include "spec/config.hpp"
#include "spec/formats.hpp"

namespace moesaic::engine {
namespace {

float largest_of(const std::uint16_t* values, int count) {
  std::uint32_t largest = 0;  // magnitudes are ordered as their bits are
  for (int i = 0; i < count; ++i) largest = std::max(largest, static_cast<std::uint32_t>(values[i] & 0x7fffU));
  return decode_bf16(static_cast<std::uint16_t>(largest));
}

void divide(const std::uint16_t* values, int count, float scale, std::uint8_t* codes) {
  for (int i = 0; i < count; ++i) codes[i] = encode_e4m3(decode_bf16(values[i]) / scale);
}

void multiply(const std::uint16_t* values, int count, float factor, std::uint8_t* codes) {
  for (int i = 0; i < count; ++i) codes[i] = encode_e4m3(decode_bf16(values[i]) * factor);
}

float quantize_token(const std::uint16_t* values, int count, std::uint8_t* codes) {
  constexpr float kFloor = 1.0F / (kE4m3Max * 512.0F);
  const float scale = std::max(largest_of(values, count) / kE4m3Max, kFloor);
  divide(values, count, scale, codes);
  return scale;
}

float quantize_group(const std::uint16_t* values, int count, std::uint8_t* codes) {
  constexpr float kSmallest = 1e-10F;  // a group's largest magnitude counts as at least this
  const float scale = std::max(largest_of(values, count), kSmallest) / kE4m3Max;
  divide(values, count, scale, codes);
  return scale;
}

std::uint8_t quantize_mxfp8(const std::uint16_t* values, int count, std::uint8_t* codes) {
  const std::uint8_t scale = encode_ue8m0_up(largest_of(values, count) * (1.0F / kE4m3Max));
  multiply(values, count, std::ldexp(1.0F, 127 - scale), codes);
  return scale;
}

/// `global`: the reciprocal of the input scale. Two codes in a byte, the even column in the low bits.
std::uint8_t quantize_nvfp4(const std::uint16_t* values, int count, float global, std::uint8_t* codes) {
  const std::uint8_t scale = encode_ue4m3(global * (largest_of(values, count) * (1.0F / kE2m1Max)));
  const float factor = scale == 0 ? 0.0F : 1.0F / (decode_ue4m3(scale) * (1.0F / global));
  for (int i = 0; i < count; i += 2) {
    const std::uint32_t low = encode_e2m1(decode_bf16(values[i]) * factor);
    const std::uint32_t high = i + 1 < count ? encode_e2m1(decode_bf16(values[i + 1]) * factor) : 0U;
    codes[i / 2] = static_cast<std::uint8_t>(low | high << 4);
  }
  return scale;
}

}  // namespace

Quantized make_quantized(InputScheme scheme, std::size_t rows, int cols) {
  Quantized made;
  const auto count = static_cast<std::size_t>(cols);
  switch (scheme) {
    case InputScheme::bf16:
      break;
    case InputScheme::fp8_static:
    case InputScheme::fp8_token:
      made.codes.resize(rows * count);
      made.scales.resize(rows);
      break;
    case InputScheme::fp8_group:
      made.codes.resize(rows * count);
      made.scales.resize(rows * static_cast<std::size_t>(ceil_div(cols, kBlockSide)));
      break;
    case InputScheme::nvfp4:
      made.codes.resize(rows * static_cast<std::size_t>(ceil_div(cols, 2)));
      made.group_scales.resize(rows * static_cast<std::size_t>(ceil_div(cols, kNvfp4Group)));
      break;
    case InputScheme::mxfp8:
      made.codes.resize(rows * count);
      made.group_scales.resize(rows * static_cast<std::size_t>(ceil_div(cols, kMxGroup)));
      break;
  }
  return made;
}

void quantize_row(InputScheme scheme, const std::uint16_t* values, int cols, float input_scale, Quantized& into,
                  std::size_t row) {
  const auto count = static_cast<std::size_t>(cols);
  /// Calls quantize(first value, length, index of the group) for each group of the row.
  const auto for_each_group = [&](int length, const auto& quantize) {
    const int groups = ceil_div(cols, length);
    for (int g = 0; g < groups; ++g) {
      quantize(g * length, std::min(length, cols - g * length),
               row * static_cast<std::size_t>(groups) + static_cast<std::size_t>(g));
    }
  };
  switch (scheme) {
    case InputScheme::bf16:
      break;
    case InputScheme::fp8_static:
      into.scales[row] = input_scale;
      multiply(values, cols, 1.0F / input_scale, into.codes.data() + row * count);
      break;
    case InputScheme::fp8_token:
      into.scales[row] = quantize_token(values, cols, into.codes.data() + row * count);
      break;
    case InputScheme::fp8_group:
      for_each_group(kBlockSide, [&](int k0, int length, std::size_t group) {
        into.scales[group] = quantize_group(values + k0, length, into.codes.data() + row * count + k0);
      });
      break;
    case InputScheme::nvfp4:
      for_each_group(kNvfp4Group, [&](int k0, int length, std::size_t group) {
        std::uint8_t* codes = into.codes.data() + row * static_cast<std::size_t>(ceil_div(cols, 2)) + k0 / 2;
        into.group_scales[group] = quantize_nvfp4(values + k0, length, 1.0F / input_scale, codes);
      });
      break;
    case InputScheme::mxfp8:
      for_each_group(kMxGroup, [&](int k0, int length, std::size_t group) {
        into.group_scales[group] = quantize_mxfp8(values + k0, length, into.codes.data() + row * count + k0);
      });
      break;
  }
}

}  // namespace moesaic::engine
