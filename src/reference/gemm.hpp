#pragma once

#include <algorithm>
#include <utility>

#include "reference/bounds.hpp"
#include "reference/operands.hpp"

namespace moesaic::reference {

/// The sum of one element of a GEMM (layer.hpp, step 3). add_step(sum, k0, k1) adds the products of k in [k0, k1) to
/// `sum`; scales(k0) are the block's, of weights and of inputs, where sums are taken over blocks.
template <typename AddStep, typename Scales>
SumBound sum_over_k(const Experts& w, int step, const AddStep& add_step, const Scales& scales) {
  const auto add_range = [&](SumBound& sum, int begin, int end) {
    for (int k0 = begin; k0 < end; k0 += step) add_step(sum, k0, std::min(k0 + step, end));
  };
  SumBound total(step);
  if (!is_blockwise(w.scheme)) {
    add_range(total, 0, w.cols);
    return total;
  }
  for (int k0 = 0; k0 < w.cols; k0 += kBlockSide) {
    SumBound block(step);
    add_range(block, k0, std::min(k0 + kBlockSide, w.cols));
    const auto [w_scale, x_scale] = scales(k0);
    total.add(block, w_scale, x_scale);
  }
  return total;
}

/// The exact sum and the sum of magnitudes of a[k] * b[k] for k in [k0, k1), in several chains at once.
inline std::pair<double, double> dot(const double* a, const double* b, int k0, int k1) {
  constexpr int kChains = 4;
  double sums[kChains] = {};
  double sizes[kChains] = {};
  int k = k0;
  for (; k + kChains <= k1; k += kChains) {
    for (int i = 0; i < kChains; ++i) {
      const double product = a[k + i] * b[k + i];
      sums[i] += product;
      sizes[i] += std::abs(product);
    }
  }
  for (; k < k1; ++k) {
    sums[0] += a[k] * b[k];
    sizes[0] += std::abs(a[k] * b[k]);
  }
  return {(sums[0] + sums[1]) + (sums[2] + sums[3]), (sizes[0] + sizes[1]) + (sizes[2] + sizes[3])};
}

/// The element before its bias: the sum times the channel's and the row's scale, where the scheme has them.
inline Bounded scaled_element(const Experts& w, double sum, double error, double w_scale, double x_scale) {
  const bool of_channel = w.scheme.weights == WeightScheme::fp8_channel || w.scheme.weights == WeightScheme::nvfp4;
  const bool of_row = w.scheme.inputs == InputScheme::fp8_static || w.scheme.inputs == InputScheme::fp8_token ||
                      w.scheme.inputs == InputScheme::nvfp4;
  if (!of_channel && !of_row) return {sum, error};
  return scaled(sum, error, w_scale, x_scale);
}

inline double bias_of(const Experts& w, int e, int n) {
  if (w.bias.empty()) return 0;
  return static_cast<double>(
      w.bias[static_cast<std::size_t>(e) * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(n)]);
}

}  // namespace moesaic::reference
