#pragma once

#include <bit>
#include <cstdint>

/// Number formats, as bit patterns in unsigned integers. Decoding is exact. Encoding rounds to nearest, ties to even,
/// as `cvt.rn` (and for e4m3 `cvt.rn.satfinite`) does: PTX ISA, "Data Movement and Conversion Instructions: cvt".
namespace moesaic {

/// Largest finite e4m3 value; vLLM and compressed-tensors divide a row's largest magnitude by it.
inline constexpr float kE4m3Max = 448.0F;

namespace detail {

/// Where a small floating-point format keeps its bits.
struct Layout {
  int exponent_bits;
  int mantissa_bits;
  int bias;
};

inline constexpr Layout kE4m3{4, 3, 7};
inline constexpr Layout kF16{5, 10, 15};
inline constexpr Layout kBf16{8, 7, 127};

/// 2^e for e in [-1074, 1023], exactly.
constexpr double power_of_two(int e) {
  if (e >= -1022) return std::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52);
  return std::bit_cast<double>(std::uint64_t{1} << (e + 1074));
}

/// The magnitude of a finite code (sign bit cleared), exactly.
constexpr double magnitude(std::uint32_t code, Layout f) {
  const auto exponent = static_cast<int>(code >> f.mantissa_bits);
  const auto mantissa = static_cast<double>(code & ((1U << f.mantissa_bits) - 1));
  const double unit = power_of_two((exponent == 0 ? 1 : exponent) - f.bias - f.mantissa_bits);
  return exponent == 0 ? mantissa * unit : (mantissa + power_of_two(f.mantissa_bits)) * unit;
}

/// The code nearest to a finite magnitude, ties to even. May return a code past the format's largest finite one.
constexpr std::uint32_t nearest(double value, Layout f) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  const int lowest = 1 - f.bias;
  if (exponent < lowest) exponent = lowest;
  if (exponent > f.bias + 1) return ((1U << f.exponent_bits) - 1) << f.mantissa_bits;
  const double scaled = value * power_of_two(f.mantissa_bits - exponent);  // exact: a shift of the exponent
  auto whole = static_cast<std::uint32_t>(scaled);
  const double rest = scaled - static_cast<double>(whole);
  if (rest > 0.5 || (rest == 0.5 && (whole & 1U) != 0)) ++whole;
  // `whole` carries the hidden bit; adding it to the exponent field lets a rounding carry move to the next exponent.
  const auto field = static_cast<std::uint32_t>(exponent - lowest) << f.mantissa_bits;
  return field + whole;
}

}  // namespace detail

/// Decodes e4m3 (the "fn" form: no infinities, 0x7f and 0xff are NaN).
constexpr float decode_e4m3(std::uint8_t code) {
  const std::uint32_t rest = code & 0x7fU;
  if (rest == 0x7f) return std::bit_cast<float>(0x7fc00000U);
  const auto value = static_cast<float>(detail::magnitude(rest, detail::kE4m3));
  return (code & 0x80U) != 0 ? -value : value;
}

/// Encodes to e4m3, saturating to +-448 (infinities too); NaN becomes 0x7f, as `cvt.rn.satfinite.e4m3x2.f32` does.
constexpr std::uint8_t encode_e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return 0x7f;
  const auto sign = static_cast<std::uint8_t>((bits >> 24) & 0x80U);
  const float size = std::bit_cast<float>(bits & 0x7fffffffU);
  if (size >= kE4m3Max) return static_cast<std::uint8_t>(sign | 0x7eU);
  const std::uint32_t code = detail::nearest(static_cast<double>(size), detail::kE4m3);
  return static_cast<std::uint8_t>(sign | (code > 0x7e ? 0x7eU : code));
}

/// Decodes IEEE binary16.
constexpr float decode_f16(std::uint16_t code) {
  const std::uint32_t rest = code & 0x7fffU;
  const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8000U) << 16;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000U | ((rest & 0x3ffU) << 13));
  const auto value = static_cast<float>(detail::magnitude(rest, detail::kF16));
  return sign != 0 ? -value : value;
}

/// Encodes to IEEE binary16; overflow becomes infinity, NaN becomes 0x7fff.
constexpr std::uint16_t encode_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return 0x7fff;
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const float size = std::bit_cast<float>(bits & 0x7fffffffU);
  if (size >= 65520.0F) return static_cast<std::uint16_t>(sign | 0x7c00U);
  return static_cast<std::uint16_t>(sign | detail::nearest(static_cast<double>(size), detail::kF16));
}

/// Decodes bfloat16: the upper half of a float.
constexpr float decode_bf16(std::uint16_t code) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16);
}

/// Encodes to bfloat16; overflow becomes infinity, NaN becomes 0x7fff.
constexpr std::uint16_t encode_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace moesaic
