#pragma once

#include <algorithm>
#include <cmath>
#include <iterator>

#include "reference/bounds.hpp"
#include "spec/layer.hpp"

/// What stands between the GEMMs (layer.hpp, step 4), exactly and as f32 arithmetic may give it.
namespace moesaic::reference {

inline double silu(double g) {
  return g / (1 + std::exp(-g));
}

/// silu over a range. It falls to its only minimum, where 1 + exp(-g) + g exp(-g) = 0, and rises from there.
inline Range silu(Range g) {
  constexpr double kLowestAt = -1.2784645427610738;
  const double a = silu(g.lo);
  const double b = silu(g.hi);
  const bool holds_minimum = g.lo < kLowestAt && kLowestAt < g.hi;
  return {holds_minimum ? silu(kLowestAt) : std::min(a, b), std::max(a, b)};
}

inline double gelu_tanh(double g) {
  constexpr double kRootTwoOverPi = 0.79788456080286536;
  return g / (1 + std::exp(-2 * kRootTwoOverPi * (g + 0.044715 * g * g * g)));  // g / 2 (1 + tanh(...))
}

/// gelu_tanh over a range; it has one minimum too.
inline Range gelu_tanh(Range g) {
  constexpr double kLowestAt = -0.7524614220710163;
  const double a = gelu_tanh(g.lo);
  const double b = gelu_tanh(g.hi);
  const bool holds_minimum = g.lo < kLowestAt && kLowestAt < g.hi;
  return {holds_minimum ? gelu_tanh(kLowestAt) : std::min(a, b), std::max(a, b)};
}

inline Range product(Range a, Range b) {
  const double products[] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
  const auto [lo, hi] = std::minmax_element(std::begin(products), std::end(products));
  return {*lo, *hi};
}

inline Range widened(Range r, double relative, double absolute) {
  return {r.lo - relative * std::abs(r.lo) - absolute, r.hi + relative * std::abs(r.hi) + absolute};
}

/// silu(gate) * up as f32 arithmetic may give it, before h is rounded to bf16.
///
/// Relative: 4 units in the last place of exp are 8 u, and silu is at most that sensitive to it; the addition, the
/// division and both products add u each: 12 u. Absolute: below -87 an exp may overflow, saturate or lose digits, and
/// silu be anywhere between 0 and g exp(-87), so |gate up| 2^-125; and the roundings of subnormal silu and h.
inline Range swiglu(Range gate, Range up) {
  const double tiny = gate.largest() * up.largest() * 0x1p-125 + kSmallest * (up.largest() + 1);
  return widened(product(silu(gate), up), 12 * kUnit * kSlack, tiny);
}

/// gelu_tanh(gate) * up likewise, whether it is computed by tanh or by exp.
///
/// z = sqrt(2 / pi) (g + 0.044715 g^3) is off by 6 u relative; tanh moves by at most 0.45 of that, 2.7 u, and is itself
/// off by 8 u; with the roundings of 1 + tanh and of g / 2, 13 u |g| / 2. By exp, sigmoid(2 z) moves less. The two
/// products add 2 u of the result. For g very negative exp may overflow, as for swiglu.
inline Range geglu_tanh(Range gate, Range up) {
  const double absolute = (7 * kUnit * kSlack + 0x1p-125) * gate.largest() * up.largest();
  return widened(product(gelu_tanh(gate), up), 2 * kUnit * kSlack, absolute + kSmallest * (up.largest() + 1));
}

/// (up + 1) * gate * sigmoid(alpha * gate) with gate <= limit and |up| <= limit likewise.
///
/// Relative: as swiglu, u more for up + 1, and the rounding of alpha * gate, to which the sigmoid is sensitive by
/// |alpha gate| at most.
inline Range swiglu_clamped(Range gate, Range up, double alpha, double limit) {
  const Range g{std::min(gate.lo, limit), std::min(gate.hi, limit)};
  const Range u{std::clamp(up.lo, -limit, limit) + 1, std::clamp(up.hi, -limit, limit) + 1};
  const Range s = silu(Range{alpha * g.lo, alpha * g.hi});
  const double tiny = g.largest() * u.largest() * 0x1p-125 + kSmallest * (u.largest() + 1);
  const double relative = (13 + std::abs(alpha) * g.largest()) * kUnit * kSlack;
  return widened(product({s.lo / alpha, s.hi / alpha}, u), relative, tiny);
}

/// h before it is rounded to bf16, as f32 arithmetic may give it.
inline Range activated(const Layer& layer, Range gate, Range up) {
  switch (layer.activation) {
    case Activation::swiglu:
      return swiglu(gate, up);
    case Activation::geglu_tanh:
      return geglu_tanh(gate, up);
    case Activation::swiglu_clamped:
      return swiglu_clamped(gate, up, static_cast<double>(layer.swiglu_alpha), static_cast<double>(layer.swiglu_limit));
  }
  return {};
}

/// h in double.
inline double activated(const Layer& layer, double gate, double up) {
  switch (layer.activation) {
    case Activation::swiglu:
      return silu(gate) * up;
    case Activation::geglu_tanh:
      return gelu_tanh(gate) * up;
    case Activation::swiglu_clamped: {
      const auto alpha = static_cast<double>(layer.swiglu_alpha);
      const auto limit = static_cast<double>(layer.swiglu_limit);
      return (std::clamp(up, -limit, limit) + 1) * silu(alpha * std::min(gate, limit)) / alpha;
    }
  }
  return 0;
}

}  // namespace moesaic::reference
