#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <mutex>
#include <utility>

#include "reference/bounds.hpp"
#include "reference/decode.hpp"
#include "reference/layer.hpp"
#include "spec/parallel.hpp"

namespace moesaic::reference {
namespace {

constexpr int kColumnsAtOnce = 16;

/// The sum of products of two rows of e4m3 values. Each product is exact in f32. The sum is exact in double, in any
/// order: all are multiples of 2^-18 below 2^18, so 2^17 of them stay within 53 digits.
SumBound dot(const float* a, const float* b, int count) {
  SumBound total;
  for (int k0 = 0; k0 < count; k0 += kStepLength) {
    double sum = 0;
    double size = 0;
    for (int k = k0; k < std::min(k0 + kStepLength, count); ++k) {
      const auto product = static_cast<double>(a[k] * b[k]);
      sum += product;
      size += std::abs(product);
    }
    total.step(sum, size);
  }
  return total;
}

/// Judges a run. Rows are those of the grouped GEMMs, R in number.
class Judge {
 public:
  Judge(const Layer& layer, const Tokens& tokens, const Trace& trace) : layer_(layer), tokens_(tokens), trace_(trace) {}

  Judgement run() {
    Judgement judgement{judge_routing(layer_, tokens_, trace_.routing)};
    if (judgement.stages.size() < 2) return judgement;
    const auto pairs = trace_.routing.row.size();
    token_of_.resize(pairs);
    for (std::size_t i = 0; i < pairs; ++i) {
      token_of_[static_cast<std::size_t>(trace_.routing.row[i])] = static_cast<int>(i) / layer_.shape.top_k;
    }
    for (auto stages :
         {&Judge::quantized_tokens, &Judge::gate_up, &Judge::h, &Judge::quantized_h, &Judge::down, &Judge::output}) {
      for (Stage& stage : (this->*stages)()) judgement.stages.push_back(std::move(stage));
      if (!judgement.stages.back().problem.empty()) break;
    }
    return judgement;
  }

 private:
  using Stages = std::vector<Stage>;

  int rows() const { return static_cast<int>(token_of_.size()); }

  /// Whether a field of the trace has the number of values it should; if not, the stage fails with the reason.
  static bool complete(Stage& stage, std::size_t have, std::size_t count, int of) {
    const std::size_t want = count * static_cast<std::size_t>(of);
    if (have == want) return true;
    stage.fail(fmt::format("the trace holds {} values of {}, not {}", have, stage.name, want));
    return false;
  }

  /// Judges scales and codes of rows of bf16 values, bit for bit. `values(row)`: where the row starts.
  template <typename RowValues>
  Stages quantization(Stage scales, Stage codes, int cols, const std::vector<float>& got_scales,
                      const std::vector<std::uint8_t>& got_codes, const RowValues& values) const {
    const std::size_t count = token_of_.size();
    if (!complete(scales, got_scales.size(), count, 1)) return {scales};
    if (!complete(codes, got_codes.size(), count, cols)) return {codes};
    for (int row = 0; row < rows(); ++row) {
      const std::uint16_t* in = values(row);
      double largest = 0;
      for (int k = 0; k < cols; ++k) {
        const auto size = std::abs(static_cast<double>(decode_bf16(in[k])));
        if (!std::isfinite(size)) {
          scales.fail(fmt::format("row {} to be quantized is not finite in column {}", row, k));
          return {scales};
        }
        largest = std::max(largest, size);
      }
      const double scale = quantization_scale(largest);
      scales.compare(row, 0, static_cast<double>(got_scales[static_cast<std::size_t>(row)]), scale, 0);
      for (int k = 0; k < cols; ++k) {
        const double value = quantize(static_cast<double>(decode_bf16(in[k])), scale);
        const std::uint8_t got =
            got_codes[static_cast<std::size_t>(row) * static_cast<std::size_t>(cols) + static_cast<std::size_t>(k)];
        codes.compare(row, k, got, e4m3_code(value), 0);
      }
    }
    return {scales, codes};
  }

  Stages quantized_tokens() {
    return quantization(Stage("x_scales"), Stage("x_codes"), layer_.shape.hidden, trace_.experts.x.scales,
                        trace_.experts.x.codes, [&](int row) {
                          const auto token = static_cast<std::ptrdiff_t>(token_of_[static_cast<std::size_t>(row)]);
                          return tokens_.values.data() + token * layer_.shape.hidden;
                        });
  }

  Stages quantized_h() {
    return quantization(Stage("h_scales"), Stage("h_codes"), layer_.shape.width, trace_.experts.h_quantized.scales,
                        trace_.experts.h_quantized.codes, [&](int row) {
                          return trace_.experts.h.data() + static_cast<std::ptrdiff_t>(row) * layer_.shape.width;
                        });
  }

  Stages gate_up() {
    return gemm("gate_up", layer_.gate_up, trace_.experts.x.codes, trace_.experts.x.scales, trace_.experts.gate_up);
  }
  Stages down() {
    return gemm("down", layer_.down, trace_.experts.h_quantized.codes, trace_.experts.h_quantized.scales,
                trace_.experts.down);
  }

  /// Judges a grouped GEMM from the codes and scales of its rows: got[r, n] for the rows r of each expert.
  Stages gemm(const char* name, const Experts& w, const std::vector<std::uint8_t>& codes,
              const std::vector<float>& scales, const std::vector<float>& got) const {
    Stage all(name);
    if (!complete(all, got.size(), token_of_.size(), w.rows)) return {all};
    const std::vector<float> rows_in = decode(codes);
    const std::vector<std::int32_t>& first = trace_.routing.first;
    const int blocks = (w.rows + kColumnsAtOnce - 1) / kColumnsAtOnce;
    std::mutex merging;
    parallel_for(0, w.experts * blocks, [&](int part) {
      const auto e = static_cast<std::size_t>(part / blocks);
      const int n0 = part % blocks * kColumnsAtOnce;
      if (first[e] == first[e + 1]) return;
      Stage stage(name);
      for (int n = n0; n < std::min(n0 + kColumnsAtOnce, w.rows); ++n) {
        const std::size_t channel = e * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(n);
        const auto cols = static_cast<std::size_t>(w.cols);
        const std::vector<float> weights = decode(std::span(w.codes).subspan(channel * cols, cols));
        for (int row = first[e]; row < first[e + 1]; ++row) {
          const auto r = static_cast<std::size_t>(row);
          const SumBound sum = dot(rows_in.data() + r * cols, weights.data(), w.cols);
          const Bounded want =
              scaled(sum.value(), sum.error(), static_cast<double>(w.scales[channel]), static_cast<double>(scales[r]));
          const float value = got[r * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(n)];
          stage.compare(row, n, static_cast<double>(value), want.value, want.bound);
        }
      }
      const std::scoped_lock lock(merging);
      all.merge(stage);
    });
    return {all};
  }

  /// h from the engine's own gate and up. What is judged is the value that was rounded to bf16: of all that round to
  /// the engine's h the one nearest to the exact value, against the bound of the f32 arithmetic.
  Stages h() {
    Stage stage("h");
    const int width = layer_.shape.width;
    if (!complete(stage, trace_.experts.h.size(), token_of_.size(), width)) return {stage};
    for (int row = 0; row < rows(); ++row) {
      const float* gate = trace_.experts.gate_up.data() + static_cast<std::ptrdiff_t>(row) * 2 * width;
      const std::uint16_t* got = trace_.experts.h.data() + static_cast<std::ptrdiff_t>(row) * width;
      for (int i = 0; i < width; ++i) {
        const auto g = static_cast<double>(gate[i]);
        const auto up = static_cast<double>(gate[width + i]);
        const double exact = silu(g) * up;
        const Range right = swiglu(Range{g, g}, Range{up, up});
        auto value = static_cast<double>(decode_bf16(got[i]));
        if (std::isfinite(value)) {
          const Range rounded = rounding_to_bf16(got[i]);
          value = std::clamp(exact, rounded.lo, rounded.hi);
        }
        stage.compare(row, i, value, exact, value > exact ? right.hi - exact : exact - right.lo);
      }
    }
    return {stage};
  }

  Stages output() {
    Stage stage("output");
    const auto hidden = static_cast<std::size_t>(layer_.shape.hidden);
    const Routing& routing = trace_.routing;
    if (!complete(stage, trace_.output.size(), static_cast<std::size_t>(tokens_.count), layer_.shape.hidden)) {
      return {stage};
    }
    for (std::size_t token = 0; token < static_cast<std::size_t>(tokens_.count); ++token) {
      for (std::size_t i = 0; i < hidden; ++i) {
        double sum = 0;
        double size = 0;
        for (std::size_t j = 0; j < static_cast<std::size_t>(routing.top_k); ++j) {
          const std::size_t pair = token * static_cast<std::size_t>(routing.top_k) + j;
          const float value = trace_.experts.down[static_cast<std::size_t>(routing.row[pair]) * hidden + i];
          const double product = static_cast<double>(routing.weight[pair]) * static_cast<double>(value);
          sum += product;
          size += std::abs(product);
        }
        stage.compare(static_cast<int>(token), static_cast<int>(i),
                      static_cast<double>(trace_.output[token * hidden + i]), sum,
                      any_order_bound(routing.top_k, size));
      }
    }
    return {stage};
  }

  const Layer& layer_;
  const Tokens& tokens_;
  const Trace& trace_;
  std::vector<int> token_of_;  ///< [R]
};

}  // namespace

Judgement judge(const Layer& layer, const Tokens& tokens, const Trace& trace) {
  return Judge(layer, tokens, trace).run();
}

}  // namespace moesaic::reference
