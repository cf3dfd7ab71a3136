#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "engine/activation.hpp"
#include "engine/expand.hpp"
#include "engine/norm.hpp"
#include "engine/quantize.hpp"
#include "engine/router.hpp"
#include "random_operands.hpp"
#include "reference/activation.hpp"
#include "reference/gemm.hpp"
#include "reference/layer.hpp"
#include "spec/layer.hpp"

/// An engine whose GEMMs are the plainest f32 loops, for tests of the reference. It can be told to make a mistake, or
/// to be as wrong as the reference's bounds allow. What is not a sum it takes from the cpu engine.
namespace moesaic::test {

/// Exchanges what tells rows a and b apart in a GEMM besides their codes: their scales. Where inputs have none, the
/// scales of all neighbouring channels or groups of weights of one expert; where there are none at all, the weights of
/// two experts.
inline void swap_scales(Experts& w, Quantized& inputs, std::size_t rows, std::size_t a, std::size_t b,
                        std::size_t expert) {
  const auto at = [](auto& values, std::size_t pieces, std::size_t i) {
    return values.begin() + static_cast<std::ptrdiff_t>(values.size() / pieces * i);
  };
  const auto swap_pieces = [&](auto& values, std::size_t pieces, std::size_t i, std::size_t j) {
    std::swap_ranges(at(values, pieces, i), at(values, pieces, i + 1), at(values, pieces, j));
  };
  // Row b, or where by chance it has row a's scales, the next one that has not.
  const auto swap_rows = [&](auto& values) {
    const auto equal = [&](std::size_t i) {
      return std::equal(at(values, rows, a), at(values, rows, a + 1), at(values, rows, i));
    };
    while (equal(b)) b = (b + 1) % rows;
    swap_pieces(values, rows, a, b);
  };
  const auto experts = static_cast<std::size_t>(w.experts);
  const auto swap_neighbours = [&](auto& values) {
    for (auto v = at(values, experts, expert); v < at(values, experts, expert + 1) - 1; v += 2) std::swap(*v, *(v + 1));
  };
  if (!inputs.scales.empty()) {
    swap_rows(inputs.scales);
  } else if (!inputs.group_scales.empty()) {
    swap_rows(inputs.group_scales);
  } else if (!w.scales.empty()) {
    swap_neighbours(w.scales);
  } else if (!w.group_scales.empty()) {
    swap_neighbours(w.group_scales);
  } else {
    swap_pieces(w.codes, experts, expert, (expert + 1) % experts);
  }
}

struct Plain {
  int drop_gate_up = -1;     ///< in this row GEMM1 forgets k in [32, 64)
  int drop_down = -1;        ///< in this row GEMM2 does
  bool swap_x = false;       ///< GEMM1 takes the scales of two rows for each other's (swap_scales, rows_to_swap)
  bool swap_h = false;       ///< GEMM2 does
  Random* jitter = nullptr;  ///< moves sums and h by random fractions of what the layer allows

  /// The whole layer with the reference's own routing. Mistakes are made with the routed experts.
  Trace run(const Layer& layer, const Tokens& tokens) const {
    Trace trace;
    trace.routing = reference::route(layer, tokens);
    if (layer.norms) {
      trace.experts_input = engine::norm_tokens(tokens, layer.norms->before_experts, layer.epsilon, 1);
      trace.shared_input = engine::norm_tokens(tokens, layer.norms->before_dense, layer.epsilon, 1);
    }
    const auto hidden = static_cast<std::size_t>(tokens.hidden);
    const std::vector<std::uint16_t>& in = layer.norms ? trace.experts_input : tokens.values;
    std::vector<std::uint16_t> rows(trace.routing.row.size() * hidden);
    for (std::size_t pair = 0; pair < trace.routing.row.size(); ++pair) {
      const std::size_t token = pair / static_cast<std::size_t>(layer.shape.top_k);
      const auto row = static_cast<std::size_t>(trace.routing.row[pair]);
      std::copy_n(in.data() + token * hidden, hidden, rows.data() + row * hidden);
    }
    trace.experts = pass(layer, layer.gate_up, layer.down, trace.routing.first, rows, rows_to_swap(trace.routing));
    if (layer.shape.shared_width > 0) {
      trace.shared = pass(layer, layer.shared_gate_up, layer.shared_down, {0, tokens.count},
                          layer.norms ? trace.shared_input : tokens.values, std::nullopt);
      trace.shared_weight = engine::shared_weights(layer, tokens, 1);
    }
    combine(layer, trace);
    return trace;
  }

 private:
  using TwoRows = std::optional<std::pair<std::size_t, std::size_t>>;

  /// The row of the first token's best expert, and one of another token and another expert.
  static TwoRows rows_to_swap(const Routing& routing) {
    for (auto pair = static_cast<std::size_t>(routing.top_k); pair < routing.row.size(); ++pair) {
      if (routing.expert[pair] == routing.expert[0]) continue;
      return std::pair(static_cast<std::size_t>(routing.row[0]), static_cast<std::size_t>(routing.row[pair]));
    }
    return std::nullopt;
  }

  /// `swappable`: rows for swap_x and swap_h; none where no mistakes are to be made.
  Pass pass(const Layer& layer, const Experts& gate_up, const Experts& down, const std::vector<std::int32_t>& first,
            const std::vector<std::uint16_t>& values, const TwoRows& swappable) const {
    const auto rows = static_cast<std::size_t>(first.back());
    const auto width = static_cast<std::size_t>(down.cols);
    Pass out;
    out.x = quantize(gate_up, first, values);
    out.gate_up =
        multiply(gate_up, first, out.x, values, swappable ? drop_gate_up : -1, swap_x ? swappable : std::nullopt);
    out.h.resize(rows * width);
    for (std::size_t row = 0; row < rows; ++row) {
      std::uint16_t* h = out.h.data() + row * width;
      engine::activate_row(layer, out.gate_up.data() + row * 2 * width, down.cols, h);
      for (std::size_t i = 0; jitter != nullptr && i < width; ++i)
        jitter_h(layer, out.gate_up.data() + row * 2 * width, width, i, h);
    }
    out.h_quantized = quantize(down, first, out.h);
    out.down =
        multiply(down, first, out.h_quantized, out.h, swappable ? drop_down : -1, swap_h ? swappable : std::nullopt);
    return out;
  }

  /// Before its rounding, h is anywhere within most of its bound.
  void jitter_h(const Layer& layer, const float* gate, std::size_t width, std::size_t i, std::uint16_t* h) const {
    const auto g = static_cast<double>(gate[i]);
    const auto up = static_cast<double>(gate[width + i]);
    const reference::Range right = reference::activated(layer, {g, g}, {up, up});
    h[i] =
        encode_bf16(static_cast<float>(right.centre() + 0.7 * right.radius() * static_cast<double>(jitter->uniform())));
  }

  static Quantized quantize(const Experts& w, const std::vector<std::int32_t>& first,
                            const std::vector<std::uint16_t>& values) {
    const InputScheme scheme = w.scheme.inputs;
    Quantized out = engine::make_quantized(scheme, static_cast<std::size_t>(first.back()), w.cols);
    for (std::size_t e = 0; e + 1 < first.size(); ++e) {
      const float input_scale = has_static_scale(scheme) ? w.input_scales[e] : 1;
      for (auto row = static_cast<std::size_t>(first[e]); row < static_cast<std::size_t>(first[e + 1]); ++row) {
        engine::quantize_row(scheme, values.data() + row * static_cast<std::size_t>(w.cols), w.cols, input_scale, out,
                             row);
      }
    }
    return out;
  }

  std::vector<float> multiply(Experts w, const std::vector<std::int32_t>& first, Quantized inputs,
                              const std::vector<std::uint16_t>& values, int drop, const TwoRows& swapped) const {
    const auto rows = static_cast<std::size_t>(first.back());
    const auto cols = static_cast<std::size_t>(w.cols);
    const auto expert_of = [&](std::size_t row) {
      return static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), static_cast<int>(row)) -
                                      first.begin() - 1);
    };
    if (swapped) swap_scales(w, inputs, rows, swapped->first, swapped->second, expert_of(swapped->first));
    std::vector<float> out;
    std::vector<float> x(cols);
    std::vector<float> weights(cols);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t e = expert_of(row);
      engine::expand_inputs(w.scheme.inputs, inputs, values.data() + row * cols, row, w.cols, x.data());
      if (static_cast<int>(row) == drop) std::fill(x.begin() + 32, x.begin() + 64, 0.0F);
      for (int n = 0; n < w.rows; ++n) {
        const std::size_t channel = e * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(n);
        engine::expand_weights(w, channel, weights.data());
        float value = element(w, inputs, static_cast<int>(e), n, row, x, weights);
        const bool of_channel =
            w.scheme.weights == WeightScheme::fp8_channel || w.scheme.weights == WeightScheme::nvfp4;
        if (of_channel) value *= w.scales[channel];
        value *= static_cast<float>(reference::row_scale(w, inputs, row, static_cast<int>(e)));
        out.push_back(w.bias.empty() ? value : value + w.bias[channel]);
      }
    }
    return out;
  }

  float element(const Experts& w, const Quantized& inputs, int e, int n, std::size_t row, const std::vector<float>& x,
                const std::vector<float>& weights) const {
    const auto scales = [&](int k0) {
      return std::pair(reference::block_scale(w, e, n, k0), reference::group_scale(w, inputs, row, k0));
    };
    if (jitter != nullptr) {
      const std::vector<double> a(x.begin(), x.end());
      const std::vector<double> b(weights.begin(), weights.end());
      const reference::SumBound bound = reference::sum_over_k(
          w, reference::kStepLength,
          [&](reference::SumBound& to, int k0, int k1) {
            const auto [sum, size] = reference::dot(a.data(), b.data(), k0, k1);
            to.step(sum, size);
          },
          scales);
      return static_cast<float>(bound.value() + 0.99 * bound.error() * static_cast<double>(jitter->uniform()));
    }
    const int length = reference::is_blockwise(w.scheme) ? kBlockSide : w.cols;
    float total = 0;
    for (int k0 = 0; k0 < w.cols; k0 += length) {
      float sum = 0;
      for (int k = k0; k < std::min(k0 + length, w.cols); ++k) {
        sum += x[static_cast<std::size_t>(k)] * weights[static_cast<std::size_t>(k)];
      }
      const auto [w_scale, x_scale] = scales(k0);
      total += sum * static_cast<float>(w_scale) * static_cast<float>(x_scale);
    }
    return total;
  }

  static void combine(const Layer& layer, Trace& trace) {
    const auto hidden = static_cast<std::size_t>(layer.shape.hidden);
    const auto top_k = static_cast<std::size_t>(layer.shape.top_k);
    for (std::size_t token = 0; token < static_cast<std::size_t>(trace.routing.tokens); ++token) {
      std::vector<double> sum(hidden);
      for (std::size_t i = 0; i < hidden; ++i) {
        float routed = 0;
        for (std::size_t pair = token * top_k; pair < (token + 1) * top_k; ++pair) {
          routed += trace.routing.weight[pair] *
                    trace.experts.down[static_cast<std::size_t>(trace.routing.row[pair]) * hidden + i];
        }
        if (!trace.shared.down.empty() && !layer.norms) {
          routed +=
              (trace.shared_weight.empty() ? 1 : trace.shared_weight[token]) * trace.shared.down[token * hidden + i];
        }
        sum[i] = static_cast<double>(routed);
      }
      if (layer.norms) {
        const auto dense = trace.shared.down.begin() + static_cast<std::ptrdiff_t>(token * hidden);
        sum = engine::rms_norm(sum, layer.norms->after_experts, layer.epsilon);
        const std::vector<double> other = engine::rms_norm({dense, dense + static_cast<std::ptrdiff_t>(hidden)},
                                                           layer.norms->after_dense, layer.epsilon);
        for (std::size_t i = 0; i < hidden; ++i) sum[i] += other[i];
        sum = engine::rms_norm(sum, layer.norms->after, layer.epsilon);
      }
      for (const double value : sum) trace.output.push_back(static_cast<float>(value));
    }
  }
};

}  // namespace moesaic::test
