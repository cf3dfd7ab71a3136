#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "reference/bounds.hpp"

namespace moesaic::reference {

/// x / sqrt(mean(x^2) + epsilon) * weight in f32, for x that are themselves known within bounds; an empty weight is all
/// ones.
///
/// The sum of squares, in any order, and its division, epsilon and root: count + 6 roundings under the root, so half as
/// many after it. How far the root may be off for the x's own bounds is found at its ends. Then a division or a
/// reciprocal and a product, and the weight: 4 u.
inline std::vector<Bounded> rms_norm(std::span<const Bounded> x, std::span<const float> weight, float epsilon) {
  double squares = 0;
  double spread = 0;
  for (const Bounded& v : x) {
    squares += v.value * v.value;
    spread += (2 * std::abs(v.value) + v.bound) * v.bound;
  }
  const auto count = static_cast<double>(x.size());
  const double roundings = (count + 6) * kUnit * kSlack;
  const auto inverse_root = [&](double sum) { return 1 / std::sqrt(sum / count + static_cast<double>(epsilon)); };
  const double exact = inverse_root(squares);
  const double smallest = inverse_root((squares + spread) * (1 + roundings)) * (1 - 6 * kUnit);
  const double largest = inverse_root(std::max(0.0, squares - spread) * (1 - roundings)) * (1 + 6 * kUnit);
  const double off = std::max(exact - smallest, largest - exact);
  std::vector<Bounded> out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double w = weight.empty() ? 1 : static_cast<double>(weight[i]);
    const double size = std::abs(x[i].value) + x[i].bound;
    const double bound = size * off + x[i].bound * exact + 4 * kUnit * kSlack * size * largest;
    out.push_back({x[i].value * exact * w, std::abs(w) * bound + kSmallest * (std::abs(w) + 1)});
  }
  return out;
}

}  // namespace moesaic::reference
