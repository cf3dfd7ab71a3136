#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "spec/formats.hpp"

/// What atomics, reductions and bulk reductions make of the value in memory and their operand, where all of them do the
/// same (PTX ISA, "atom", "red", "red.async", "cp.reduce.async.bulk").
namespace moesaic::emulator {

/// 16-bit floats by their codes.
struct F16 {
  static float decode(std::uint16_t code) { return decode_f16(code); }
  static std::uint16_t encode(float value) { return encode_f16(value); }
};
struct Bf16 {
  static float decode(std::uint16_t code) { return decode_bf16(code); }
  static std::uint16_t encode(float value) { return encode_bf16(value); }
};

inline constexpr std::uint16_t kNan16 = 0x7fff;

/// Rounded once: the sum of two 16-bit floats in f32 rounds to 16 bits as the exact sum does (Figueroa, "When is double
/// rounding innocuous?", 1995).
template <typename Half>
std::uint16_t add_half(std::uint16_t old, std::uint16_t b) {
  const float sum = Half::decode(old) + Half::decode(b);
  return std::isnan(sum) ? kNan16 : Half::encode(sum);
}
/// NaN loses against every number; -0 is below +0.
template <typename Half, bool kMax>
std::uint16_t extreme_half(std::uint16_t old, std::uint16_t b) {
  const float x = Half::decode(old);
  const float y = Half::decode(b);
  if (std::isnan(x) && std::isnan(y)) return kNan16;
  if (std::isnan(x)) return b;
  if (std::isnan(y)) return old;
  const bool old_is_lower = x < y || (x == y && std::signbit(x));
  return old_is_lower != kMax ? old : b;
}

/// Integers wrap.
template <typename T>
T add_integer(T old, T b) {
  return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(b));
}
template <typename T>
T minimum(T old, T b) {
  return std::min(old, b);
}
template <typename T>
T maximum(T old, T b) {
  return std::max(old, b);
}
template <typename T>
T bit_and(T old, T b) {
  return old & b;
}
template <typename T>
T bit_or(T old, T b) {
  return old | b;
}
template <typename T>
T bit_xor(T old, T b) {
  return old ^ b;
}
inline std::uint32_t increment(std::uint32_t old, std::uint32_t b) {
  return old >= b ? 0 : old + 1;
}
inline std::uint32_t decrement(std::uint32_t old, std::uint32_t b) {
  return old == 0 || old > b ? b : old - 1;
}

}  // namespace moesaic::emulator
