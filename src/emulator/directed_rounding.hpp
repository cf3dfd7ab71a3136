#pragma once

#include <cfloat>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "emulator/small_floats.hpp"

/// Sums, products, quotients and roots rounded in a given direction, for any state of the host's floating-point unit:
/// the host's nearest result and the sign of its error say which of two neighbours is meant.
namespace moesaic::emulator {

enum class Rounding : std::uint8_t { nearest, zero, down, up };

namespace detail {

// A type that holds every product of two doubles.
#if LDBL_MANT_DIG == 113
using Quad = long double;
#else
__extension__ using Quad = __float128;
#endif

template <typename T>
using Wider = std::conditional_t<std::same_as<T, float>, double, Quad>;

template <typename W>
int sign_of(W value) {
  return static_cast<int>(value > 0) - static_cast<int>(value < 0);
}

/// The sign of (a + b) - sum, where `sum` is near a + b.
template <typename W>
int error_sign(W a, W b, W sum) {
  // TwoSum (Knuth): exact unless the sum overflows.
  const W part = sum - a;
  return sign_of<W>((a - (sum - part)) + (b - part));
}

}  // namespace detail

/// `nearest` or its neighbour, where the exact result is on that side of it (error -1: below; 0: equal; 1: above).
template <Rounding kRounding, std::floating_point T>
T directed(T nearest, int error) {
  if (kRounding == Rounding::nearest || error == 0 || std::isnan(nearest)) return nearest;
  const bool negative = nearest < 0 || (nearest == 0 && error < 0);
  const bool wants_above = kRounding == Rounding::up || (kRounding == Rounding::zero && negative);
  if (wants_above != (error > 0)) return nearest;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const T moved = std::nextafter(nearest, wants_above ? kInfinity : -kInfinity);
  return moved == 0 ? std::copysign(moved, negative ? T{-1} : T{1}) : moved;
}

template <Rounding kRounding, std::floating_point T>
T add_rounded(T a, T b) {
  const T sum = a + b;
  if constexpr (kRounding == Rounding::nearest) return sum;
  if (std::isinf(sum)) return std::isinf(a) || std::isinf(b) ? sum : directed<kRounding>(sum, sum > 0 ? -1 : 1);
  // An exact zero from numbers of different signs is -0 only when rounding down.
  if (sum == 0 && std::signbit(a) != std::signbit(b)) return kRounding == Rounding::down ? T{-0.0} : T{0};
  return directed<kRounding>(sum, detail::error_sign<T>(a, b, sum));
}

template <Rounding kRounding, std::floating_point T>
T mul_rounded(T a, T b) {
  const T product = a * b;
  if constexpr (kRounding == Rounding::nearest) return product;
  if (std::isinf(a) || std::isinf(b)) return product;
  using W = detail::Wider<T>;
  const W exact = static_cast<W>(a) * static_cast<W>(b);
  const T signed_zero =
      product == 0 ? std::copysign(product, std::signbit(a) != std::signbit(b) ? T{-1} : T{1}) : product;
  return directed<kRounding>(signed_zero, detail::sign_of<W>(exact - static_cast<W>(product)));
}

template <Rounding kRounding, std::floating_point T>
T fma_rounded(T a, T b, T c) {
  const T result = std::fma(a, b, c);
  if constexpr (kRounding == Rounding::nearest) return result;
  if (std::isinf(a) || std::isinf(b) || std::isinf(c) || std::isnan(result)) return result;
  using W = detail::Wider<T>;
  const W product = static_cast<W>(a) * static_cast<W>(b);
  const W addend = static_cast<W>(c);
  const W sum = product + addend;
  const int rest = detail::error_sign<W>(product, addend, sum);
  const bool product_negative = std::signbit(a) != std::signbit(b);
  if (sum == 0 && rest == 0) {
    if (product_negative == std::signbit(c)) return result;
    return kRounding == Rounding::down ? T{-0.0} : T{0};
  }
  const int error = detail::sign_of<W>(sum - static_cast<W>(result));
  return directed<kRounding>(result, error != 0 ? error : rest);
}

template <Rounding kRounding, std::floating_point T>
T div_rounded(T a, T b) {
  const T quotient = a / b;
  if constexpr (kRounding == Rounding::nearest) return quotient;
  if (std::isinf(a) || std::isinf(b) || b == 0 || std::isnan(quotient)) return quotient;
  using W = detail::Wider<T>;
  if (std::isinf(quotient)) return directed<kRounding>(quotient, quotient > 0 ? -1 : 1);
  const int rest = detail::sign_of<W>(static_cast<W>(a) - static_cast<W>(quotient) * static_cast<W>(b));
  return directed<kRounding>(quotient, b < 0 ? -rest : rest);
}

template <Rounding kRounding, std::floating_point T>
T sqrt_rounded(T a) {
  const T root = std::sqrt(a);
  if constexpr (kRounding == Rounding::nearest) return root;
  if (std::isinf(root) || std::isnan(root)) return root;
  using W = detail::Wider<T>;
  return directed<kRounding>(root, detail::sign_of<W>(static_cast<W>(a) - static_cast<W>(root) * static_cast<W>(root)));
}

/// A value of a wider format in a shorter one.
template <Rounding kRounding, std::floating_point T>
float narrow(T value) {
  const auto near = static_cast<float>(value);
  if constexpr (kRounding == Rounding::nearest) return near;
  if (std::isinf(value)) return near;
  return directed<kRounding>(near, detail::sign_of<T>(value - static_cast<T>(near)));
}

/// A 16-bit code rounded in a direction: the code that truncation keeps, or the next one away from zero.
template <Rounding kRounding, std::uint16_t (*kEncode)(float), float (*kDecode)(std::uint16_t)>
std::uint16_t encode_half(double value) {
  const std::uint16_t near = kEncode(float_to_odd(value));
  if (kRounding == Rounding::nearest || std::isnan(value)) return near;
  const auto back = static_cast<double>(kDecode(near));
  if (back == value) return near;
  const bool is_away = std::fabs(back) > std::fabs(value);
  const bool wants_away = kRounding != Rounding::zero && (kRounding == Rounding::up) == (value > 0);
  return static_cast<std::uint16_t>(near + (wants_away ? 1 : 0) - (is_away ? 1 : 0));
}

inline constexpr std::uint16_t kInfinityF16 = 0x7c00;
inline constexpr std::uint16_t kInfinityBf16 = 0x7f80;

/// .satfinite for 16-bit codes: infinity becomes the largest finite number of its sign.
inline std::uint16_t finite_half(std::uint16_t code, std::uint16_t infinity) {
  return (code & 0x7fffU) == infinity ? static_cast<std::uint16_t>(code - 1) : code;
}

}  // namespace moesaic::emulator
