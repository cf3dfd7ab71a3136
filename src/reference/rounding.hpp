#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "spec/formats.hpp"

/// The reference's own rounding, in double; it has no encoder in common with an engine.
namespace moesaic::reference {

/// The multiple of 2^lowest, or of the place of the last of `digits` binary digits, nearest to `value`, ties to even.
inline double round_to_digits(double value, int digits, int lowest) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int place = std::max(std::ilogb(value) - digits + 1, lowest);
  return std::ldexp(std::nearbyint(std::ldexp(value, -place)), place);
}

/// To bf16, rounded once; past the largest finite value an infinity.
inline double round_to_bf16(double value) {
  const double rounded = round_to_digits(value, 8, -133);
  if (std::abs(rounded) < 0x1p128) return rounded;
  return std::copysign(std::numeric_limits<double>::infinity(), rounded);
}

/// To e4m3, saturating.
inline double round_to_e4m3(double value) {
  return round_to_digits(std::clamp(value, -448.0, 448.0), 4, -9);
}

/// To e2m1, saturating.
inline double round_to_e2m1(double value) {
  return round_to_digits(std::clamp(value, -6.0, 6.0), 2, -1);
}

/// To ue8m0: the power of two at or above a magnitude, within [2^-127, 2^127].
inline double round_up_to_ue8m0(double value) {
  if (value <= 0x1p-127) return 0x1p-127;
  const int below = std::ilogb(value);
  return std::ldexp(1.0, std::min(std::ldexp(1.0, below) == value ? below : below + 1, 127));
}

/// A format's exponent of the smallest normal number and the bits of its mantissa, for code_of().
struct CodeLayout {
  int lowest;
  int mantissa_bits;
  int sign_bit;
};
inline constexpr CodeLayout kE4m3Code{-6, 3, 7};
inline constexpr CodeLayout kE2m1Code{0, 1, 3};

/// The code of a value that the format holds, the sign of zero included.
inline std::uint8_t code_of(double value, CodeLayout f) {
  const int exponent = std::max(value == 0 ? f.lowest : std::ilogb(value), f.lowest);
  const int units = static_cast<int>(std::abs(std::ldexp(value, f.mantissa_bits - exponent)));  // with the hidden bit
  const int magnitude = ((exponent - f.lowest) << f.mantissa_bits) + units;
  return static_cast<std::uint8_t>((std::signbit(value) ? 1 << f.sign_bit : 0) | magnitude);
}
inline std::uint8_t e4m3_code(double value) {
  return code_of(value, kE4m3Code);
}
inline std::uint8_t e2m1_code(double value) {
  return code_of(value, kE2m1Code);
}

/// The quotient and the product of two floats, rounded to f32. Double has more than twice the digits of f32 and two, so
/// rounding twice is rounding once (Figueroa, "When is double rounding innocuous?", 1995).
inline double divide_f32(double a, double b) {
  return static_cast<double>(static_cast<float>(a / b));
}
inline double multiply_f32(double a, double b) {
  return static_cast<double>(static_cast<float>(a * b));
}

}  // namespace moesaic::reference
