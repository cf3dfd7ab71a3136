#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "reference/bounds.hpp"
#include "reference/decode.hpp"
#include "reference/layer.hpp"
#include "reference/routing.hpp"
#include "spec/parallel.hpp"

namespace moesaic::reference {
namespace {

/// Which computation the interval is to hold.
enum class Activations {
  quantized,    ///< an engine's (layer.hpp): e4m3 codes, sums in steps of 32
  unquantized,  ///< a float32 computation's: as they are, sums in any order
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

  std::size_t cols;
  std::vector<double> centre;
  std::vector<double> radius;
  std::vector<double> scale;  ///< [rows]: the largest scale that the row's codes may have; it is within the values
};

double bf16(std::uint16_t code) {
  return static_cast<double>(decode_bf16(code));
}

/// The rows that the experts read: exact either way, since quantization of a known value is exact.
Uncertain expert_rows(const Layer& layer, const Tokens& tokens, const Routing& routing, Activations activations) {
  const auto hidden = static_cast<std::size_t>(layer.shape.hidden);
  Uncertain rows(routing.row.size(), layer.shape.hidden);
  for (std::size_t pair = 0; pair < routing.row.size(); ++pair) {
    const std::uint16_t* x = tokens.values.data() + pair / static_cast<std::size_t>(routing.top_k) * hidden;
    double* out = rows.centre.data() + static_cast<std::size_t>(routing.row[pair]) * hidden;
    double largest = 0;
    for (std::size_t k = 0; k < hidden; ++k) largest = std::max(largest, std::abs(bf16(x[k])));
    const double scale = quantization_scale(largest);
    if (activations == Activations::quantized) rows.scale[static_cast<std::size_t>(routing.row[pair])] = scale;
    for (std::size_t k = 0; k < hidden; ++k) {
      out[k] = activations == Activations::quantized ? quantize(bf16(x[k]), scale) * scale : bf16(x[k]);
    }
  }
  return rows;
}

/// One element of a grouped GEMM: the row `r` of `in` with the channel's weights.
Range multiply(const Uncertain& in, std::size_t r, const std::vector<float>& weights, double w_scale,
               Activations activations) {
  const double* centre = in.centre.data() + r * in.cols;
  const double* radius = in.radius.data() + r * in.cols;
  SumBound dot;
  for (std::size_t k0 = 0; k0 < in.cols; k0 += kStepLength) {
    double sum = 0;
    double size = 0;
    double spread = 0;
    for (std::size_t k = k0; k < std::min(k0 + kStepLength, in.cols); ++k) {
      const auto weight = static_cast<double>(weights[k]);
      sum += centre[k] * weight;
      size += (std::abs(centre[k]) + radius[k]) * std::abs(weight);
      spread += radius[k] * std::abs(weight);
    }
    dot.step(sum, size, spread);
  }
  // A float computation rounds the dequantized weight (a normal number) as well as the product.
  const double additions =
      activations == Activations::quantized ? dot.error() : any_order_bound(static_cast<int>(in.cols) + 1, dot.size());
  // The row's scale is in the values, where it changes no relative error; only a subnormal product tells the
  // difference.
  const Bounded out = scaled(dot.value(), dot.spread() + additions, w_scale, 1);
  const double bound = out.bound + kSmallest * in.scale[r];
  return {out.value - bound, out.value + bound};
}

/// The grouped GEMM in intervals: [R, w.rows].
Uncertain multiply(const Experts& w, const Routing& routing, const Uncertain& in, Activations activations) {
  Uncertain out(routing.row.size(), w.rows);
  parallel_for(0, w.experts * w.rows, [&](int index) {
    const auto channel = static_cast<std::size_t>(index);
    const std::size_t e = channel / static_cast<std::size_t>(w.rows);
    const std::size_t n = channel % static_cast<std::size_t>(w.rows);
    if (routing.first[e] == routing.first[e + 1]) return;
    const std::vector<float> weights = decode(std::span(w.codes).subspan(channel * in.cols, in.cols));
    for (int r = routing.first[e]; r < routing.first[e + 1]; ++r) {
      const auto row = static_cast<std::size_t>(r);
      out.set(row, n, multiply(in, row, weights, static_cast<double>(w.scales[channel]), activations));
    }
  });
  return out;
}

struct QuantizedRow {
  std::vector<Range> values;
  double scale = 0;  ///< the largest
};

/// What a row of h, each value between two bf16 values, may be quantized to: code times scale. The scale follows from
/// the largest magnitude; a larger scale makes each code smaller or leaves it, and so does a value nearer to zero.
QuantizedRow quantized(const std::vector<Range>& h) {
  double at_least = 0;
  double at_most = 0;
  for (const Range& value : h) {
    at_least = std::max(at_least, value.smallest());
    at_most = std::max(at_most, value.largest());
  }
  const Range scale{quantization_scale(at_least), quantization_scale(at_most)};
  QuantizedRow out{.values = {}, .scale = scale.hi};
  for (const Range& value : h) {
    const double lo = quantize(value.lo, value.lo < 0 ? scale.lo : scale.hi);
    const double hi = quantize(value.hi, value.hi < 0 ? scale.hi : scale.lo);
    out.values.push_back({lo * (lo < 0 ? scale.hi : scale.lo), hi * (hi < 0 ? scale.lo : scale.hi)});
  }
  return out;
}

Uncertain activate(const Uncertain& gate_up, int width, Activations activations) {
  const auto columns = static_cast<std::size_t>(width);
  const std::size_t rows = gate_up.centre.size() / gate_up.cols;
  Uncertain out(rows, width);
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<Range> h;
    for (std::size_t i = 0; i < columns; ++i) {
      const Range value = swiglu(gate_up.range(r, i), gate_up.range(r, columns + i));
      h.push_back(activations == Activations::quantized ? round_to_bf16(value) : value);
    }
    if (activations == Activations::quantized) {
      QuantizedRow row = quantized(h);
      h = std::move(row.values);
      out.scale[r] = row.scale;
    }
    for (std::size_t i = 0; i < columns; ++i) out.set(r, i, h[i]);
  }
  return out;
}

/// A weighted sum of the rows of each token. `weights`: [tokens, top_k].
Interval combine(const Layer& layer, const Routing& routing, const Uncertain& down,
                 const std::vector<Bounded>& weights) {
  const auto hidden = static_cast<std::size_t>(layer.shape.hidden);
  const auto top_k = static_cast<std::size_t>(routing.top_k);
  Interval out{.tokens = routing.tokens, .hidden = layer.shape.hidden, .centre = {}, .radius = {}};
  for (std::size_t token = 0; token < static_cast<std::size_t>(routing.tokens); ++token) {
    for (std::size_t i = 0; i < hidden; ++i) {
      double sum = 0;
      double size = 0;
      double spread = 0;
      for (std::size_t pair = token * top_k; pair < (token + 1) * top_k; ++pair) {
        const auto [weight, off] = weights[pair];
        const std::size_t at = static_cast<std::size_t>(routing.row[pair]) * hidden + i;
        const double largest = std::abs(down.centre[at]) + down.radius[at];
        sum += weight * down.centre[at];
        spread += std::abs(weight) * down.radius[at] + off * largest;
        size += (std::abs(weight) + off) * largest;
      }
      out.centre.push_back(sum);
      out.radius.push_back(spread + any_order_bound(routing.top_k, size));
    }
  }
  return out;
}

Interval interval(const Layer& layer, const Tokens& tokens, const Routing& routing, Activations activations,
                  const std::vector<Bounded>& weights) {
  const Uncertain x = expert_rows(layer, tokens, routing, activations);
  const Uncertain gate_up = multiply(layer.gate_up, routing, x, activations);
  const Uncertain h = activate(gate_up, layer.shape.width, activations);
  const Uncertain down = multiply(layer.down, routing, h, activations);
  return combine(layer, routing, down, weights);
}

}  // namespace

Interval layer_interval(const Layer& layer, const Tokens& tokens, const Routing& routing) {
  std::vector<Bounded> as_they_are;
  for (const float weight : routing.weight) as_they_are.push_back({static_cast<double>(weight), 0});
  return interval(layer, tokens, routing, Activations::quantized, as_they_are);
}

Interval unquantized_interval(const Layer& layer, const Tokens& tokens, const Routing& routing) {
  return interval(layer, tokens, routing, Activations::unquantized, float_weights(layer, tokens, routing));
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
