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

/// The code of a value that e4m3 holds, the sign of zero included.
inline std::uint8_t e4m3_code(double value) {
  const int exponent = std::max(value == 0 ? -6 : std::ilogb(value), -6);
  const int units = static_cast<int>(std::abs(std::ldexp(value, 3 - exponent)));  // of 2^(exponent - 3), below 16
  return static_cast<std::uint8_t>((std::signbit(value) ? 0x80 : 0) | (8 * (exponent + 6) + units));
}

/// The quotient of two floats, rounded to f32. Double has more than twice the digits of f32 and two, so rounding twice
/// is rounding once (Figueroa, "When is double rounding innocuous?", 1995).
inline double divide_f32(double a, double b) {
  return static_cast<double>(static_cast<float>(a / b));
}

/// The scale of a row whose largest magnitude this is.
inline double quantization_scale(double largest) {
  return std::max(divide_f32(largest, 448), static_cast<double>(static_cast<float>(1.0 / (448 * 512))));
}

/// The e4m3 value that `value` is quantized to.
inline double quantize(double value, double scale) {
  return round_to_e4m3(divide_f32(value, scale));
}

}  // namespace moesaic::reference
