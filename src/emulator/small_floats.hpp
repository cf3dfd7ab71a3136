#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "spec/formats.hpp"

/// Rounding that the host does not do by itself.
namespace moesaic::emulator {

/// What f32 arithmetic gives for NaN. PTX ISA: "NaN payloads are not preserved"; the card gives this one.
inline constexpr std::uint32_t kNan32 = 0x7fffffffU;
/// What f64 arithmetic gives when no operand is NaN.
inline constexpr std::uint64_t kNan64 = 0xfff8000000000000U;

/// .ftz: subnormal numbers become zero of the same sign.
inline float flush(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0F, value) : value;
}

/// The one NaN of f32 arithmetic.
inline float canonical(float value) {
  return std::isnan(value) ? std::bit_cast<float>(kNan32) : value;
}

/// A signalling NaN made quiet.
inline double quiet(double value) {
  return std::isnan(value) ? std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) | std::uint64_t{1} << 51)
                           : value;
}
/// The NaN of f64 arithmetic: the first operand that is one, made quiet. Which operand goes first is the card's choice:
/// tests/fixtures/silicon.
template <typename... Operands>
double canonical64(double value, Operands... operands) {
  if (!std::isnan(value)) return value;
  double chosen = std::bit_cast<double>(kNan64);
  bool found = false;
  [[maybe_unused]] const auto take = [&](double operand) {
    if (!found && std::isnan(operand)) chosen = quiet(operand);
    found = found || std::isnan(operand);
  };
  (take(operands), ...);
  return chosen;
}

/// .sat: into [0, 1], NaN to +0.
template <typename T>
T saturated(T value) {
  return value > 0 ? (value < 1 ? value : T{1}) : T{0};
}

/// `value` plus an `error` that is too small to be held in it, as a double rounded to odd: rounding that once more to
/// a format at least two bits shorter gives what one rounding of the exact sum gives (Boldo and Melquiond, "Emulation
/// of FMA and correctly rounded sums", IEEE TC 2008).
inline double to_odd(double value, double error) {
  if (error == 0 || !std::isfinite(value) || (std::bit_cast<std::uint64_t>(value) & 1U) != 0) return value;
  return std::nextafter(value,
                        error > 0 ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity());
}

/// A double as a float rounded to odd.
inline float float_to_odd(double value) {
  const auto near = static_cast<float>(value);
  const double error = value - static_cast<double>(near);
  if (std::isnan(near) || error == 0) return near;
  if (std::isinf(near)) return std::isinf(value) ? near : std::copysign(std::numeric_limits<float>::max(), near);
  if ((std::bit_cast<std::uint32_t>(near) & 1U) != 0) return near;
  return std::nextafter(near,
                        error > 0 ? std::numeric_limits<float>::infinity() : -std::numeric_limits<float>::infinity());
}

/// a + b as a double rounded to odd.
inline double add_to_odd(double a, double b) {
  const double sum = a + b;
  const double part = sum - a;
  return to_odd(sum, (a - (sum - part)) + (b - part));
}

}  // namespace moesaic::emulator
