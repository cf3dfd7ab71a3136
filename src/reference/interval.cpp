#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "reference/activation.hpp"
#include "reference/bounds.hpp"
#include "reference/combination.hpp"
#include "reference/gemm.hpp"
#include "reference/layer.hpp"
#include "reference/norm.hpp"
#include "reference/quantization.hpp"
#include "reference/router.hpp"
#include "reference/routing.hpp"
#include "spec/parallel.hpp"

namespace moesaic::reference {
namespace {

/// Which computation the interval is to hold.
struct Computation {
  bool quantized;  ///< an engine's (layer.hpp), else a float32 computation's: inputs as they are, sums in any order
  int step;        ///< of the engine's sums
};

/// A matrix of intervals [rows, cols]: values within `radius` of `centre`.
struct Uncertain {
  Uncertain(std::size_t row_count, int col_count)
      : cols(static_cast<std::size_t>(col_count)),
        centre(row_count * cols),
        radius(row_count * cols),
        scale(row_count, 1.0) {}

  void set(std::size_t row, std::size_t col, Range range) {
    centre[row * cols + col] = range.centre();
    radius[row * cols + col] = range.radius();
  }
  Range range(std::size_t row, std::size_t col) const {
    const std::size_t i = row * cols + col;
    return {centre[i] - radius[i], centre[i] + radius[i]};
  }
  std::vector<Bounded> bounded() const {
    std::vector<Bounded> all;
    for (std::size_t i = 0; i < centre.size(); ++i) all.push_back({centre[i], radius[i]});
    return all;
  }

  std::size_t cols;
  std::vector<double> centre;
  std::vector<double> radius;
  std::vector<double> scale;  ///< [rows]: the largest scale that the row's codes may have; it is within the values
};

/// A set of experts and the rows that pass through it: row r is token[r].
struct Rows {
  const Experts& gate_up;
  const Experts& down;
  std::vector<int> token;
  std::vector<std::int32_t> first;

  std::vector<int> experts() const {
    std::vector<int> of_row;
    for (std::size_t e = 0; e + 1 < first.size(); ++e) {
      of_row.insert(of_row.end(), static_cast<std::size_t>(first[e + 1] - first[e]), static_cast<int>(e));
    }
    return of_row;
  }
};

Rows routed_rows(const Layer& layer, const Routing& routing) {
  Rows rows{layer.gate_up, layer.down, std::vector<int>(routing.row.size()), routing.first};
  for (std::size_t pair = 0; pair < routing.row.size(); ++pair) {
    rows.token[static_cast<std::size_t>(routing.row[pair])] =
        static_cast<int>(pair / static_cast<std::size_t>(routing.top_k));
  }
  return rows;
}

Rows shared_rows(const Layer& layer, int tokens) {
  Rows rows{layer.shared_gate_up, layer.shared_down, {}, {0, tokens}};
  for (int token = 0; token < tokens; ++token) rows.token.push_back(token);
  return rows;
}

/// The values of a row as they enter a GEMM of expert e: quantized, or as they are.
QuantizedRanges entering(const Experts& w, int e, std::vector<Range> row, Computation how) {
  if (!how.quantized) return {std::move(row), 1};
  const double input_scale =
      has_static_scale(w.scheme.inputs) ? static_cast<double>(w.input_scales[static_cast<std::size_t>(e)]) : 1;
  return quantize_ranges(w.scheme.inputs, input_scale, row);
}

/// [R, hidden]: the rows that enter the first GEMM. `norm` is Gemma 4's, or null. A norm's result may be rounded to
/// bf16 in two ways; where there is none, quantization of known values is exact.
Uncertain inputs(const Layer& layer, const Tokens& tokens, const std::vector<float>* norm, const Rows& rows,
                 Computation how) {
  Uncertain out(rows.token.size(), layer.shape.hidden);
  const std::vector<int> expert = rows.experts();
  for (std::size_t r = 0; r < rows.token.size(); ++r) {
    std::vector<Range> row;
    if (norm == nullptr) {
      for (const Bounded& v : token_values(tokens, rows.token[r])) row.push_back({v.value, v.value});
    } else {
      for (const auto& [value, bound] : rms_norm(token_values(tokens, rows.token[r]), *norm, layer.epsilon)) {
        const Range range{value - bound, value + bound};
        row.push_back(how.quantized ? round_to_bf16(range) : range);
      }
    }
    const QuantizedRanges in = entering(rows.gate_up, expert[r], std::move(row), how);
    for (std::size_t k = 0; k < in.values.size(); ++k) out.set(r, k, in.values[k]);
    out.scale[r] = in.scale;
  }
  return out;
}

/// The weights of a channel with all their scales.
std::vector<double> full_weight_row(const Experts& w, int e, int n) {
  std::vector<double> weights = weight_row(w, e, n);
  const double scale = w.scheme.weights == WeightScheme::fp8_channel ? 1 : channel_scale(w, e, n);
  for (int k = 0; k < w.cols; ++k) weights[static_cast<std::size_t>(k)] *= scale * block_scale(w, e, n, k);
  return weights;
}

/// One element of a grouped GEMM: the row `r` of `in` with the channel's weights, which hold all scales but `w_scale`.
Range multiply(const Experts& w, const Uncertain& in, std::size_t r, const std::vector<double>& weights, double w_scale,
               double bias, Computation how) {
  const double* centre = in.centre.data() + r * in.cols;
  const double* radius = in.radius.data() + r * in.cols;
  const auto add_step = [&](SumBound& to, int k0, int k1) {
    double sum = 0;
    double size = 0;
    double spread = 0;
    for (int k = k0; k < k1; ++k) {
      const double weight = weights[static_cast<std::size_t>(k)];
      sum += centre[k] * weight;
      size += (std::abs(centre[k]) + radius[k]) * std::abs(weight);
      spread += radius[k] * std::abs(weight);
    }
    to.step(sum, size, spread);
  };
  const SumBound dot = sum_over_k(w, how.step, add_step, [](int) { return std::pair(1.0, 1.0); });
  // A float computation rounds the dequantized weight, twice where it has two scales, as well as the product.
  const double additions = how.quantized ? dot.error() : any_order_bound(w.cols + 2, dot.size());
  // The row's scale is in the values, where it changes no relative error; only a subnormal product tells the
  // difference.
  const Bounded out = biased(scaled(dot.value(), dot.spread() + additions, w_scale, 1), bias);
  const double bound = out.bound + kSmallest * in.scale[r];
  return {out.value - bound, out.value + bound};
}

/// The grouped GEMM in intervals: [R, w.rows].
Uncertain multiply(const Experts& w, const std::vector<std::int32_t>& first, const Uncertain& in, Computation how) {
  Uncertain out(in.scale.size(), w.rows);
  parallel_for(0, w.experts * w.rows, [&](int channel) {
    const int e = channel / w.rows;
    const int n = channel % w.rows;
    const auto [begin, end] = std::pair(first[static_cast<std::size_t>(e)], first[static_cast<std::size_t>(e) + 1]);
    if (begin == end) return;
    const std::vector<double> weights = full_weight_row(w, e, n);
    const double w_scale = w.scheme.weights == WeightScheme::fp8_channel ? channel_scale(w, e, n) : 1;
    for (auto r = static_cast<std::size_t>(begin); r < static_cast<std::size_t>(end); ++r) {
      out.set(r, static_cast<std::size_t>(n), multiply(w, in, r, weights, w_scale, bias_of(w, e, n), how));
    }
  });
  return out;
}

/// [R, width]: h as it enters the second GEMM.
Uncertain activate(const Layer& layer, const Rows& rows, const Uncertain& gate_up, Computation how) {
  const auto columns = static_cast<std::size_t>(rows.down.cols);
  Uncertain out(rows.token.size(), rows.down.cols);
  const std::vector<int> expert = rows.experts();
  for (std::size_t r = 0; r < rows.token.size(); ++r) {
    std::vector<Range> h;
    for (std::size_t i = 0; i < columns; ++i) {
      const Range value = activated(layer, gate_up.range(r, i), gate_up.range(r, columns + i));
      h.push_back(how.quantized ? round_to_bf16(value) : value);
    }
    const QuantizedRanges in = entering(rows.down, expert[r], std::move(h), how);
    for (std::size_t i = 0; i < columns; ++i) out.set(r, i, in.values[i]);
    out.scale[r] = in.scale;
  }
  return out;
}

/// [R, hidden]: what a set of experts gives.
std::vector<Bounded> pass(const Layer& layer, const Tokens& tokens, const std::vector<float>* norm, const Rows& rows,
                          Computation how) {
  const Uncertain x = inputs(layer, tokens, norm, rows, how);
  const Uncertain gate_up = multiply(rows.gate_up, rows.first, x, how);
  const Uncertain h = activate(layer, rows, gate_up, how);
  return multiply(rows.down, rows.first, h, how).bounded();
}

Interval interval(const Layer& layer, const Tokens& tokens, const Routing& routing, Computation how,
                  const std::vector<Bounded>& weights) {
  const BlockNorms* norms = layer.norms ? &*layer.norms : nullptr;
  const std::vector<Bounded> down =
      pass(layer, tokens, norms != nullptr ? &norms->before_experts : nullptr, routed_rows(layer, routing), how);
  std::vector<Bounded> shared;
  std::vector<Bounded> shared_weights;
  if (layer.shape.shared_width > 0) {
    shared =
        pass(layer, tokens, norms != nullptr ? &norms->before_dense : nullptr, shared_rows(layer, tokens.count), how);
    for (int token = 0; token < tokens.count; ++token) {
      const auto [value, bound] = shared_weight_of(layer, tokens, token, how.quantized ? Order::chains : Order::any);
      shared_weights.push_back({value, bound + kUnit * value});
    }
  }
  Interval out{.tokens = routing.tokens, .hidden = layer.shape.hidden, .centre = {}, .radius = {}};
  for (const auto& [value, bound] : combine(layer, routing, weights, down, shared_weights, shared)) {
    out.centre.push_back(value);
    out.radius.push_back(bound);
  }
  return out;
}

}  // namespace

Interval layer_interval(const Layer& layer, const Tokens& tokens, const Routing& routing, int step) {
  std::vector<Bounded> as_they_are;
  for (const float weight : routing.weight) as_they_are.push_back({static_cast<double>(weight), 0});
  return interval(layer, tokens, routing, {.quantized = true, .step = step}, as_they_are);
}

Interval unquantized_interval(const Layer& layer, const Tokens& tokens, const Routing& routing) {
  return interval(layer, tokens, routing, {.quantized = false, .step = kStepLength},
                  float_weights(layer, tokens, routing));
}

Interval hull(const Interval& a, const Interval& b) {
  Interval both{.tokens = a.tokens, .hidden = a.hidden, .centre = {}, .radius = {}};
  for (std::size_t i = 0; i < a.centre.size(); ++i) {
    const double lo = std::min(a.centre[i] - a.radius[i], b.centre[i] - b.radius[i]);
    const double hi = std::max(a.centre[i] + a.radius[i], b.centre[i] + b.radius[i]);
    both.centre.push_back((lo + hi) / 2);
    both.radius.push_back((hi - lo) / 2);
  }
  return both;
}

Stage judge_output(const Interval& interval, std::span<const float> output) {
  Stage stage("output");
  if (output.size() != interval.centre.size()) {
    stage.fail(fmt::format("there are {} output values, not {} x {}", output.size(), interval.tokens, interval.hidden));
    return stage;
  }
  for (std::size_t i = 0; i < output.size(); ++i) {
    const auto hidden = static_cast<std::size_t>(interval.hidden);
    stage.compare(static_cast<int>(i / hidden), static_cast<int>(i % hidden), static_cast<double>(output[i]),
                  interval.centre[i], interval.radius[i]);
  }
  return stage;
}

}  // namespace moesaic::reference
