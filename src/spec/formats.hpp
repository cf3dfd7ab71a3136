#pragma once

#include <bit>
#include <cstdint>

/// Number formats, as bit patterns in unsigned integers. Decoding is exact. Encoding rounds to nearest, ties to even,
/// as `cvt.rn` (for formats of 8 bits and less `cvt.rn.satfinite`) does; ue8m0, which has no nearest, up or toward
/// zero, as `cvt.rp.satfinite` and `cvt.rz.satfinite` do: PTX ISA, "Data Movement and Conversion Instructions: cvt".
namespace moesaic {

/// Largest finite e4m3 value; vLLM and compressed-tensors divide a row's largest magnitude by it.
inline constexpr float kE4m3Max = 448.0F;
/// Largest value of e2m1; NVFP4 divides a group's largest magnitude by it.
inline constexpr float kE2m1Max = 6.0F;

namespace detail {

/// Where a small floating-point format keeps its bits.
struct Layout {
  int exponent_bits;
  int mantissa_bits;
  int bias;
};

inline constexpr Layout kE2m1{2, 1, 1};
inline constexpr Layout kE4m3{4, 3, 7};
inline constexpr Layout kE5m2{5, 2, 15};
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

/// The code nearest to a magnitude, ties to even. May return a code past the format's largest finite one.
constexpr std::uint32_t nearest(float size, Layout f) {
  const int lowest = 1 - f.bias;  // exponent of the smallest normal number
  const auto bits = std::bit_cast<std::uint32_t>(size);
  if (size < static_cast<float>(power_of_two(lowest))) {
    // A float in [2^23, 2^24) units counts units, so adding 2^23 of them rounds to a whole number of them.
    const auto units = static_cast<float>(power_of_two(23 + lowest - f.mantissa_bits));
    return std::bit_cast<std::uint32_t>(size + units) - std::bit_cast<std::uint32_t>(units);
  }
  const int dropped = 23 - f.mantissa_bits;
  const std::uint32_t odd = (bits >> dropped) & 1U;
  // A carry out of the mantissa moves on to the next exponent, as it should.
  const std::uint32_t rounded = (bits + (1U << (dropped - 1)) - 1 + odd) >> dropped;
  return rounded - (static_cast<std::uint32_t>(127 - f.bias) << f.mantissa_bits);
}

/// The magnitude bits of the nearest code, at most `largest`; infinities saturate. NaN is the caller's.
constexpr std::uint32_t saturated(float value, Layout f, std::uint32_t largest) {
  const float size = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0x7fffffffU);
  const std::uint32_t code = nearest(size, f);
  return code > largest ? largest : code;
}

constexpr bool is_nan(float value) {
  return (std::bit_cast<std::uint32_t>(value) & 0x7fffffffU) > 0x7f800000U;
}

/// 1 for negative numbers and -0, else 0.
constexpr std::uint32_t sign_of(float value) {
  return std::bit_cast<std::uint32_t>(value) >> 31;
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
  if (detail::is_nan(value)) return 0x7f;
  return static_cast<std::uint8_t>(detail::sign_of(value) << 7 | detail::saturated(value, detail::kE4m3, 0x7e));
}

/// Encodes to e5m2, saturating to +-57344 (infinities too); NaN becomes 0x7f, as `cvt.rn.satfinite.e5m2x2.f32` does.
constexpr std::uint8_t encode_e5m2(float value) {
  if (detail::is_nan(value)) return 0x7f;
  return static_cast<std::uint8_t>(detail::sign_of(value) << 7 | detail::saturated(value, detail::kE5m2, 0x7b));
}

/// Decodes e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives. The upper four bits of `code` are not looked at.
constexpr float decode_e2m1(std::uint8_t code) {
  const auto value = static_cast<float>(detail::magnitude(code & 7U, detail::kE2m1));
  return (code & 8U) != 0 ? -value : value;
}

/// Encodes to e2m1, saturating to +-6; NaN becomes +6, as `cvt.rn.satfinite.e2m1x2.f32` does.
constexpr std::uint8_t encode_e2m1(float value) {
  if (detail::is_nan(value)) return 7;
  return static_cast<std::uint8_t>(detail::sign_of(value) << 3 | detail::saturated(value, detail::kE2m1, 7));
}

/// Decodes ue4m3, the scale of NVFP4: e4m3 without its sign. The upper bit of `code` is not looked at.
constexpr float decode_ue4m3(std::uint8_t code) {
  return decode_e4m3(code & 0x7fU);
}

/// Encodes to ue4m3, saturating to 448; what is below zero becomes 0, NaN 0x7f.
constexpr std::uint8_t encode_ue4m3(float value) {
  return value < 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(encode_e4m3(value) & 0x7fU);
}

/// Decodes ue8m0, the scale of the microscaling formats: 2^(code - 127); 0xff is NaN.
constexpr float decode_ue8m0(std::uint8_t code) {
  if (code == 0xff) return std::bit_cast<float>(0x7fc00000U);
  return code == 0 ? 0x1p-127F : std::bit_cast<float>(static_cast<std::uint32_t>(code) << 23);
}

/// Encodes |value| to the power of two at or below it; what is below 2^-127 becomes 2^-127, infinity 2^127, NaN 0xff.
constexpr std::uint8_t encode_ue8m0_toward_zero(float value) {
  const std::uint32_t size = std::bit_cast<std::uint32_t>(value) & 0x7fffffffU;
  if (size == 0x7f800000U) return 0xfe;
  return static_cast<std::uint8_t>(size >> 23);
}

/// Encodes |value| to the power of two at or above it, at most 2^127; zero becomes 2^-127, NaN 0xff.
constexpr std::uint8_t encode_ue8m0_up(float value) {
  const std::uint32_t size = std::bit_cast<std::uint32_t>(value) & 0x7fffffffU;
  const std::uint8_t below = encode_ue8m0_toward_zero(value);
  constexpr std::uint32_t kSmallest = 0x00400000;  // 2^-127, a subnormal float
  const bool between = size > kSmallest && size < 0x7f800000U && (size & 0x7fffffU) != 0;
  return between && below < 0xfe ? static_cast<std::uint8_t>(below + 1) : below;
}

/// Decodes IEEE binary16.
constexpr float decode_f16(std::uint16_t code) {
  const std::uint32_t rest = code & 0x7fffU;
  const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8000U) << 16;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000U | ((rest & 0x3ffU) << 13));
  const auto value = static_cast<float>(detail::magnitude(rest, detail::kF16));
  return sign != 0 ? -value : value;
}

/// Decodes e5m2: the upper half of an f16, with its infinities and NaN.
constexpr float decode_e5m2(std::uint8_t code) {
  return decode_f16(static_cast<std::uint16_t>(code << 8));
}

/// Encodes to IEEE binary16; overflow becomes infinity, NaN becomes 0x7fff.
constexpr std::uint16_t encode_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return 0x7fff;
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const float size = std::bit_cast<float>(bits & 0x7fffffffU);
  if (size >= 65520.0F) return static_cast<std::uint16_t>(sign | 0x7c00U);
  return static_cast<std::uint16_t>(sign | detail::nearest(size, detail::kF16));
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
