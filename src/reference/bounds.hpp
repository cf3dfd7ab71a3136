#pragma once

#include <algorithm>
#include <cmath>

#include "reference/judgement.hpp"
#include "reference/rounding.hpp"

/// How far f32 arithmetic may be from exact arithmetic, for each step of the layer (layer.hpp). The method is that of
/// Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, chapters 2 to 4.
namespace moesaic::reference {

inline constexpr double kUnit = 0x1p-24;       ///< u: relative error of one rounding to f32
inline constexpr double kSmallest = 0x1p-149;  ///< a subnormal result is off by at most half of this
/// Covers the terms of order u^2 below (at most 129 u relative to the first order), and that the reference itself works
/// in double: at most K 2^-53 |A||B|, against 32 u |A||B| in the bound.
inline constexpr double kSlack = 1 + 0x1p-16;
/// k in a step of a tensor core's sum.
inline constexpr int kStepLength = 32;
/// A router's sum: so many chains, each of runs of so many h (layer.hpp, step 1).
inline constexpr int kRouterChains = 32;
inline constexpr int kRouterRun = 8;

/// The bound of a sum over k in ascending steps of `length`, each step adding its products to the sum so far.
///
/// Let C be the sum so far, p_i the exact products of the step, P = sum |p_i|. Each way to add them that the layer
/// allows is off by at most length u (|C| + P), to first order:
///  - f32 additions in any order: each term passes at most `length` of them. Products of two values of at most 12 bits
///    each (bf16, e4m3, e2m1 times ue4m3, all times powers of two) are exact in f32 unless they are subnormal.
///  - for 32: one fused sum of 32 products and C, as the tensor core of RTX Blackwell computes it: every term truncated
///    to 25 fractional bits below the largest exponent, so off by less than 2^-25 M = u M / 2 with M = max(|C|, |p_i|);
///    33 terms of them, and the result truncated to f32, off by at most 2 u (|C| + P): 18.5 u (|C| + P) together. The
///    exponent of a product is the sum of its factors', so with a subnormal factor 2^exponent may exceed M; but it is
///    then at most 2^(8 - 6) = 2^2, the last place kept 2^-23, and all that is added is a multiple of 2^-18: nothing is
///    lost.
///  - for 32: Hopper's form, two fused sums of 16 products from zero, one on top of the other, then C added with
///    rounding: (16 + 17) u P / 2 + 2 * 2 u P + u (|C| + P) <= 21.5 u (|C| + P).
///  - for 32: both operands widened to f16, two fused sums of 16 products and the sum so far: twice 17 terms of at most
///    u M / 2 and a truncation, 2 (8.5 + 2) u (|C| + P) = 21 u (|C| + P). A subnormal e4m3 is a normal f16.
/// The engine's own C differs from the exact one by the bound so far.
class SumBound {
 public:
  explicit SumBound(int length = kStepLength) : length_(length) {}

  /// Adds a step of at most `length` products with this sum, and this sum of magnitudes. `spread`: how far the sum of
  /// the factors that the engine really has may be from `sum`, if they are known as intervals; then `size` is the
  /// largest.
  void step(double sum, double size, double spread = 0) {
    error_ += length_ * kUnit * kSlack * (std::abs(value_) + spread_ + error_ + size);
    if (size > 0) error_ += length_ * kSmallest;  // products that are subnormal
    value_ += sum;
    size_ += size;
    spread_ += spread;
  }

  /// Adds the sum of a block, begun at zero, times two scales: two roundings of the product and one of the addition.
  void add(const SumBound& block, double w_scale, double x_scale) {
    const double scale = std::abs(w_scale * x_scale);
    const double error = block.error_ * scale;
    const double largest = std::abs(block.value_) * scale + block.spread_ * scale + error;
    const double subnormal = kSmallest * (std::abs(w_scale) + std::abs(x_scale) + std::abs(block.value_) + 1);
    const double product_error = error + 2 * kUnit * kSlack * largest + subnormal;
    error_ += product_error + kUnit * kSlack * (std::abs(value_) + spread_ + error_ + largest + product_error);
    value_ += block.value_ * w_scale * x_scale;
    size_ += block.size_ * scale;
    spread_ += block.spread_ * scale;
  }

  /// Adds another sum: one rounding.
  void add(const SumBound& other) {
    value_ += other.value_;
    size_ += other.size_;
    spread_ += other.spread_;
    error_ += other.error_;
    error_ += kUnit * kSlack * (std::abs(value_) + spread_ + error_);
  }

  double value() const { return value_; }
  double size() const { return size_; }      ///< |A||B|
  double spread() const { return spread_; }  ///< from the factors' intervals
  double error() const { return error_; }    ///< from the additions

 private:
  int length_;
  double value_ = 0;
  double size_ = 0;
  double spread_ = 0;
  double error_ = 0;
};

/// The bound of a sum of `terms` products of f32 factors in any order: each product may be rounded, and passes at most
/// terms - 1 additions.
inline double any_order_bound(int terms, double size) {
  const double n = terms * kUnit;
  return size * n / (1 - n) * kSlack + terms * kSmallest;
}

/// A value and how far a right one may be from it.
struct Bounded {
  double value = 0;
  double bound = 0;
};

/// (acc * w_scale) * x_scale with two roundings, for a sum known to within `error`. If the first product is subnormal,
/// its error is absolute and multiplied by x_scale.
inline Bounded scaled(double sum, double error, double w_scale, double x_scale) {
  const double scale = w_scale * x_scale;
  const double value = sum * scale;
  const double spread = error * std::abs(scale);
  return {value, (spread + 2 * kUnit * (std::abs(value) + spread)) * kSlack + kSmallest * (std::abs(x_scale) + 1)};
}

/// value + bias, rounded: a bias of 0 changes nothing.
inline Bounded biased(Bounded sum, double bias) {
  if (bias == 0) return sum;
  const double value = sum.value + bias;
  return {value, sum.bound + kUnit * kSlack * (std::abs(value) + sum.bound)};
}

/// The interval of a value that is not known exactly.
struct Range {
  double lo = 0;
  double hi = 0;

  double centre() const { return (lo + hi) / 2; }
  double radius() const { return (hi - lo) / 2; }
  double largest() const { return std::max(std::abs(lo), std::abs(hi)); }                            ///< magnitude
  double smallest() const { return lo <= 0 && hi >= 0 ? 0 : std::min(std::abs(lo), std::abs(hi)); }  ///< magnitude
};

/// A range after rounding to bf16: rounding is monotone, so the ends' roundings are the ends.
inline Range round_to_bf16(Range r) {
  return {round_to_bf16(r.lo), round_to_bf16(r.hi)};
}

/// The values that round to this finite bf16 code: halfway to its neighbours, both ends included.
inline Range rounding_to_bf16(std::uint16_t code) {
  const auto magnitude = [](std::uint32_t m) {
    return m == 0x7f80 ? 0x1p128 : static_cast<double>(decode_bf16(static_cast<std::uint16_t>(m)));
  };
  const std::uint32_t m = code & 0x7fffU;
  const double below = m == 0 ? -magnitude(1) : magnitude(m - 1);
  const Range r{(below + magnitude(m)) / 2, (magnitude(m) + magnitude(m + 1)) / 2};
  return (code & 0x8000U) != 0 ? Range{-r.hi, -r.lo} : r;
}

/// Compares a value that was rounded to bf16: of all that round to `got` the one nearest to the exact value, against
/// the range that is right before rounding.
inline void compare_rounded_to_bf16(Stage& stage, int row, int column, std::uint16_t got, double exact, Range right) {
  auto value = static_cast<double>(decode_bf16(got));
  if (std::isfinite(value)) {
    const Range rounded = rounding_to_bf16(got);
    value = std::clamp(exact, rounded.lo, rounded.hi);
  }
  stage.compare(row, column, value, exact, value > exact ? right.hi - exact : exact - right.lo);
}

}  // namespace moesaic::reference
