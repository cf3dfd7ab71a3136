#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "spec/formats.hpp"

/// The fused sum of the tensor core (tensor_core.hpp) over rows of A and columns of B.
namespace moesaic::reference {

inline constexpr int kM = 16;
inline constexpr int kN = 8;
inline constexpr int kFraction = 25;       // bits that survive the alignment
inline constexpr int kNoExponent = -4000;  // of a zero: loses against every other
inline constexpr int kNoProduct = -3000;   // below this there are no products but zeros
inline constexpr int kF32Lowest = -126;    // exponents of subnormal C
inline constexpr int kF16Lowest = -14;
inline constexpr std::uint32_t kNan32 = 0x7fffffffU;

/// One operand code: its value, and the exponent it is aligned by.
template <typename Value>
struct Element {
  Value value = 0;
  std::int16_t exponent = kNoExponent;
};

/// A row of A or a column of B; what set() leaves out is zero. Products of two values must be exact in Value: float
/// holds those of formats up to 8 bits and of f16, double those of bf16 and tf32.
template <typename Value, int kLength>
struct Line {
  std::array<Value, kLength> values{};
  std::array<std::int16_t, kLength> exponents;
  bool finite = true;  ///< else only the class of a sum matters

  Line() { exponents.fill(kNoExponent); }
  void set(int k, const Element<Value>& element) {
    const auto i = static_cast<std::size_t>(k);
    values[i] = element.value;
    exponents[i] = element.exponent;
    finite = finite && std::isfinite(element.value);
  }
};

/// An operand in a format with the given lowest exponent.
template <typename Value>
Element<Value> make_element(Value value, int lowest_exponent) {
  if (value == 0 || !std::isfinite(value)) return {value, kNoExponent};
  return {value, static_cast<std::int16_t>(std::max(std::ilogb(value), lowest_exponent))};
}

/// C in units of 2^(top - fraction), truncated.
inline std::int64_t aligned(float c, int top, int fraction = kFraction) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(c);
  const std::uint32_t field = bits & 0x7fffffU;
  const bool normal = (bits & 0x7f800000U) != 0;
  const std::int64_t significand = normal ? field | 0x800000U : field;
  const int exponent = normal ? std::ilogb(c) : kF32Lowest;
  const std::int64_t magnitude = (significand << (fraction - 23)) >> std::min(top - exponent, 63);
  return c < 0 ? -magnitude : magnitude;
}

/// The fused sum, exactly: products times 2^scale_exponent, and C. Not finite as IEEE arithmetic would have it.
template <typename Value, int kLength>
double fused_sum(const Line<Value, kLength>& a, const Line<Value, kLength>& b, float c, int scale_exponent = 0,
                 int c_lowest = kF32Lowest) {
  if (!a.finite || !b.finite || !std::isfinite(c)) {
    auto sum = static_cast<double>(c);
    for (std::size_t k = 0; k < kLength; ++k) {
      sum += static_cast<double>(a.values[k]) * static_cast<double>(b.values[k]);
    }
    return sum;
  }
  std::int16_t top_product = 2 * kNoExponent;
  for (std::size_t k = 0; k < kLength; ++k) {
    top_product = std::max(top_product, static_cast<std::int16_t>(a.exponents[k] + b.exponents[k]));
  }
  if (top_product < kNoProduct) return static_cast<double>(c);
  // A zero has the exponent of a subnormal. It shows where products lie below it: an H200 truncates them there.
  const int c_exponent = c == 0 ? c_lowest : std::max(std::ilogb(c), c_lowest);
  const int top = std::max(top_product + scale_exponent, c_exponent);
  std::int64_t sum = c == 0 ? 0 : aligned(c, top);
  // A product's unit is 2^(top - kFraction - scale_exponent). Where its inverse is no normal number of Value, no
  // product reaches one unit. Conversion to an integer truncates; a product is below 2^27 units, so 16 of them fit 32
  // bits.
  const int inverse = kFraction + scale_exponent - top;
  const bool too_small = inverse < std::numeric_limits<Value>::min_exponent;
  const auto units = too_small ? Value{0} : static_cast<Value>(std::ldexp(1.0, inverse));
  for (std::size_t first = 0; first < kLength; first += 16) {
    std::int32_t part = 0;
    for (std::size_t k = first; k < first + 16; ++k) {
      part += static_cast<std::int32_t>(a.values[k] * b.values[k] * units);
    }
    sum += part;
  }
  return std::ldexp(static_cast<double>(sum), top - kFraction);
}

/// The float next to x toward zero; infinity from 2^128 on; one NaN.
inline float toward_zero(double x) {
  if (std::isnan(x)) return std::bit_cast<float>(kNan32);
  if (x == 0) return 0.0F;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const auto sign = static_cast<std::uint32_t>(bits >> 63) << 31;
  const int exponent = static_cast<int>((bits >> 52) & 0x7ff) - 1023;
  if (exponent > 127) return std::bit_cast<float>(sign | 0x7f800000U);
  if (exponent >= -126) {
    const auto fraction = static_cast<std::uint32_t>((bits & 0xfffffffffffffULL) >> 29);
    return std::bit_cast<float>(sign | static_cast<std::uint32_t>(exponent + 127) << 23 | fraction);
  }
  const auto units = static_cast<std::uint32_t>(std::ldexp(std::fabs(x), 149));
  return units == 0 ? 0.0F : std::bit_cast<float>(sign | units);  // silicon gives no -0, not even from underflow
}

/// The f16 code nearest to x, ties to even. An inexact float gets an odd last bit, so that the second rounding sees on
/// which side of a tie x lies.
inline std::uint16_t nearest_f16(double x) {
  const float truncated = toward_zero(x);
  const bool exact = !std::isfinite(truncated) || static_cast<double>(truncated) == x;
  const std::uint32_t sticky = exact ? 0 : 1;
  const std::uint16_t code = encode_f16(std::bit_cast<float>(std::bit_cast<std::uint32_t>(truncated) | sticky));
  return code == 0x8000 ? std::uint16_t{0} : code;
}

template <typename Value, int kLength, int kLines>
using Lines = std::array<Line<Value, kLength>, kLines>;

/// Calls visit(m, n, index) for each element of D.
template <typename Visit>
void for_each_element(Visit&& visit) {
  for (std::size_t m = 0; m < kM; ++m) {
    for (std::size_t n = 0; n < kN; ++n) visit(m, n, m * kN + n);
  }
}

}  // namespace moesaic::reference
