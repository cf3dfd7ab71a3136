#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "random_operands.hpp"
#include "reference/bounds.hpp"
#include "reference/layer.hpp"
#include "spec/layer.hpp"

/// An engine in the plainest f32 loops, for tests of the reference. It can be told to make a mistake, or to be as wrong
/// as the reference's bounds allow.
namespace moesaic::test {

struct Plain {
  int drop_gate_up = -1;     ///< in this row GEMM1 forgets k in [32, 64)
  int drop_down = -1;        ///< in this row GEMM2 does
  bool swap_x = false;       ///< GEMM1 takes the scales of the first and last token's rows for each other's
  bool swap_h = false;       ///< GEMM2 does
  Random* jitter = nullptr;  ///< moves sums and h by random fractions of what the layer allows

  /// The whole layer with the reference's own routing.
  Trace run(const Layer& layer, const Tokens& tokens) const {
    Trace trace;
    trace.routing = reference::route(layer, tokens);
    const auto hidden = static_cast<std::size_t>(tokens.hidden);
    const auto top_k = static_cast<std::size_t>(layer.shape.top_k);
    const std::size_t rows = trace.routing.row.size();
    std::vector<std::uint16_t> x(rows * hidden);
    for (std::size_t pair = 0; pair < rows; ++pair) {
      const auto row = static_cast<std::size_t>(trace.routing.row[pair]);
      std::copy_n(tokens.values.data() + pair / top_k * hidden, hidden, x.data() + row * hidden);
    }
    quantize(x, rows, trace.experts.x.codes, trace.experts.x.scales);
    trace.experts.gate_up =
        multiply(layer.gate_up, trace.routing, trace.experts.x.codes, trace.experts.x.scales, drop_gate_up, swap_x);
    activate(layer.shape.width, rows, trace);
    quantize(trace.experts.h, rows, trace.experts.h_quantized.codes, trace.experts.h_quantized.scales);
    trace.experts.down = multiply(layer.down, trace.routing, trace.experts.h_quantized.codes,
                                  trace.experts.h_quantized.scales, drop_down, swap_h);
    trace.output.assign(tokens.values.size(), 0.0F);
    for (std::size_t pair = 0; pair < rows; ++pair) {
      const float* row = trace.experts.down.data() + static_cast<std::size_t>(trace.routing.row[pair]) * hidden;
      for (std::size_t i = 0; i < hidden; ++i) {
        trace.output[pair / top_k * hidden + i] += trace.routing.weight[pair] * row[i];
      }
    }
    return trace;
  }

 private:
  static void quantize(const std::vector<std::uint16_t>& values, std::size_t rows, std::vector<std::uint8_t>& codes,
                       std::vector<float>& scales) {
    const std::size_t cols = rows == 0 ? 0 : values.size() / rows;
    for (std::size_t row = 0; row < rows; ++row) {
      float largest = 0;
      for (std::size_t k = 0; k < cols; ++k) {
        largest = std::max(largest, std::abs(decode_bf16(values[row * cols + k])));
      }
      scales.push_back(std::max(largest / 448.0F, 1.0F / (448.0F * 512.0F)));
      for (std::size_t k = 0; k < cols; ++k) {
        codes.push_back(encode_e4m3(decode_bf16(values[row * cols + k]) / scales[row]));
      }
    }
  }

  std::vector<float> multiply(const Experts& w, const Routing& routing, const std::vector<std::uint8_t>& codes,
                              std::vector<float> scales, int drop, bool swap) const {
    const auto cols = static_cast<std::size_t>(w.cols);
    if (swap) {
      std::swap(scales[static_cast<std::size_t>(routing.row.front())],
                scales[static_cast<std::size_t>(routing.row.back())]);
    }
    std::vector<float> out;
    for (std::size_t e = 0; e < static_cast<std::size_t>(w.experts); ++e) {
      for (auto row = static_cast<std::size_t>(routing.first[e]); row < static_cast<std::size_t>(routing.first[e + 1]);
           ++row) {
        for (std::size_t n = 0; n < static_cast<std::size_t>(w.rows); ++n) {
          const std::size_t channel = e * static_cast<std::size_t>(w.rows) + n;
          const float sum =
              dot(codes.data() + row * cols, w.codes.data() + channel * cols, w.cols, static_cast<int>(row) == drop);
          out.push_back(sum * w.scales[channel] * scales[row]);
        }
      }
    }
    return out;
  }

  float dot(const std::uint8_t* a, const std::uint8_t* b, int count, bool drop) const {
    float sum = 0;
    reference::SumBound bound;
    for (int k0 = 0; k0 < count; k0 += reference::kStepLength) {
      double step = 0;
      double size = 0;
      for (int k = k0; k < std::min(k0 + reference::kStepLength, count); ++k) {
        if (drop && k0 == 32) continue;
        const float product = decode_e4m3(a[k]) * decode_e4m3(b[k]);
        sum += product;
        step += static_cast<double>(product);
        size += static_cast<double>(std::abs(product));
      }
      bound.step(step, size);
    }
    if (jitter == nullptr) return sum;
    return static_cast<float>(bound.value() + 0.99 * bound.error() * static_cast<double>(jitter->uniform()));
  }

  void activate(int width, std::size_t rows, Trace& trace) const {
    const auto columns = static_cast<std::size_t>(width);
    for (std::size_t row = 0; row < rows; ++row) {
      const float* gate = trace.experts.gate_up.data() + row * 2 * columns;
      for (std::size_t i = 0; i < columns; ++i) {
        float h = gate[i] / (1.0F + std::exp(-gate[i])) * gate[columns + i];
        if (jitter != nullptr) h *= 1.0F + 8 * 0x1p-24F * jitter->uniform();
        trace.experts.h.push_back(encode_bf16(h));
      }
    }
  }
};

}  // namespace moesaic::test
