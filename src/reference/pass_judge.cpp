#include "reference/pass_judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <mutex>
#include <utility>

#include "reference/activation.hpp"
#include "reference/gemm.hpp"
#include "reference/quantization.hpp"
#include "reference/rounding.hpp"
#include "spec/parallel.hpp"

namespace moesaic::reference {
namespace {

constexpr int kColumnsAtOnce = 16;

using Stages = std::vector<Stage>;

std::size_t pieces(int cols, int length) {
  return static_cast<std::size_t>((cols + length - 1) / length);
}

/// Whether a field of the trace has the number of values it should; if not, the stage fails with the reason.
bool complete(Stage& stage, std::size_t have, std::size_t rows, std::size_t of) {
  if (have == rows * of) return true;
  stage.fail(fmt::format("the trace holds {} values of {}, not {}", have, stage.name, rows * of));
  return false;
}

/// Judges the quantization of rows [R, cols] of bf16 values, bit for bit.
class QuantizationJudge {
 public:
  QuantizationJudge(const PassInput& input, const std::string& name, const Experts& w)
      : input_(input),
        w_(w),
        scales_(input.prefix + name + "_scales"),
        group_scales_(input.prefix + name + "_group_scales"),
        codes_(input.prefix + name + "_codes") {}

  Stages run(const std::vector<std::uint16_t>& values, const Quantized& got) {
    const InputScheme scheme = w_.scheme.inputs;
    if (scheme == InputScheme::bf16) return {};
    const bool fp4 = scheme == InputScheme::nvfp4;
    const bool groups = fp4 || scheme == InputScheme::mxfp8;
    const QuantizationRule any(scheme, 1);
    const std::size_t scales = pieces(w_.cols, any.group_length(w_.cols));
    Stage& of_scales = groups ? group_scales_ : scales_;
    if (!complete(of_scales, groups ? got.group_scales.size() : got.scales.size(), input_.rows(), scales)) {
      return {of_scales};
    }
    if (!complete(codes_, got.codes.size(), input_.rows(), fp4 ? pieces(w_.cols, 2) : pieces(w_.cols, 1))) {
      return {codes_};
    }
    for (std::size_t e = 0; e + 1 < input_.first.size(); ++e) {
      const QuantizationRule rule(scheme, has_static_scale(scheme) ? static_cast<double>(w_.input_scales[e]) : 1.0);
      for (int row = input_.first[e]; row < input_.first[e + 1]; ++row) {
        if (!judge_row(rule, row, values.data() + static_cast<std::ptrdiff_t>(row) * w_.cols, got)) return {of_scales};
      }
    }
    return {of_scales, codes_};
  }

 private:
  /// False when a value is not finite.
  bool judge_row(const QuantizationRule& rule, int row, const std::uint16_t* in, const Quantized& got) {
    const int length = rule.group_length(w_.cols);
    for (int k0 = 0; k0 < w_.cols; k0 += length) {
      const int end = std::min(k0 + length, w_.cols);
      double largest = 0;
      for (int k = k0; k < end; ++k) {
        const auto size = std::abs(static_cast<double>(decode_bf16(in[k])));
        if (!std::isfinite(size)) {
          (uses_groups() ? group_scales_ : scales_)
              .fail(fmt::format("row {} to be quantized is not finite in column {}", row, k));
          return false;
        }
        largest = std::max(largest, size);
      }
      const double scale = rule.scale(largest);
      judge_scale(row, k0 / length, static_cast<std::size_t>(row) * pieces(w_.cols, length), scale, got);
      for (int k = k0; k < end; ++k) {
        judge_code(row, k, rule.quantize(static_cast<double>(decode_bf16(in[k])), scale), got);
      }
    }
    return true;
  }

  bool uses_groups() const { return w_.scheme.inputs == InputScheme::nvfp4 || w_.scheme.inputs == InputScheme::mxfp8; }

  void judge_scale(int row, int group, std::size_t row_begin, double want, const Quantized& got) {
    const std::size_t at = row_begin + static_cast<std::size_t>(group);
    if (w_.scheme.inputs == InputScheme::nvfp4) {
      group_scales_.compare(row, group, got.group_scales[at], e4m3_code(want), 0);
    } else if (w_.scheme.inputs == InputScheme::mxfp8) {
      group_scales_.compare(row, group, got.group_scales[at], std::ilogb(want) + 127, 0);
    } else {
      scales_.compare(row, group, static_cast<double>(got.scales[at]), want, 0);
    }
  }

  void judge_code(int row, int k, double want, const Quantized& got) {
    const auto r = static_cast<std::size_t>(row);
    if (w_.scheme.inputs == InputScheme::nvfp4) {
      const std::uint8_t byte = got.codes[r * pieces(w_.cols, 2) + static_cast<std::size_t>(k / 2)];
      codes_.compare(row, k, byte >> (k % 2 * 4) & 15, e2m1_code(want), 0);
    } else {
      const std::size_t at = r * static_cast<std::size_t>(w_.cols) + static_cast<std::size_t>(k);
      codes_.compare(row, k, got.codes[at], e4m3_code(want), 0);
    }
  }

  const PassInput& input_;
  const Experts& w_;
  Stage scales_;
  Stage group_scales_;
  Stage codes_;
};

/// Judges a grouped GEMM from the engine's own inputs: got[r, n] for the rows r of each expert.
Stages judge_gemm(const PassInput& input, const char* name, const Experts& w, const Quantized& quantized,
                  const std::vector<std::uint16_t>& values, const std::vector<float>& got) {
  Stage all(input.prefix + name);
  if (!complete(all, got.size(), input.rows(), static_cast<std::size_t>(w.rows))) return {all};
  const std::vector<double> rows_in = input_rows(w.scheme.inputs, quantized, values, input.rows(), w.cols);
  const int blocks = (w.rows + kColumnsAtOnce - 1) / kColumnsAtOnce;
  std::mutex merging;
  parallel_for(0, w.experts * blocks, [&](int part) {
    const int e = part / blocks;
    const int begin = input.first[static_cast<std::size_t>(e)];
    const int end = input.first[static_cast<std::size_t>(e) + 1];
    if (begin == end) return;
    Stage stage(all.name);
    const int n0 = part % blocks * kColumnsAtOnce;
    for (int n = n0; n < std::min(n0 + kColumnsAtOnce, w.rows); ++n) {
      const std::vector<double> weights = weight_row(w, e, n);
      for (int row = begin; row < end; ++row) {
        const auto r = static_cast<std::size_t>(row);
        const double* x = rows_in.data() + r * static_cast<std::size_t>(w.cols);
        const SumBound sum = sum_over_k(
            w, input.step,
            [&](SumBound& to, int k0, int k1) {
              const auto [value, size] = dot(x, weights.data(), k0, k1);
              to.step(value, size);
            },
            [&](int k0) { return std::pair(block_scale(w, e, n, k0), group_scale(w, quantized, r, k0)); });
        const Bounded want =
            biased(scaled_element(w, sum.value(), sum.error(), channel_scale(w, e, n), row_scale(w, quantized, r, e)),
                   bias_of(w, e, n));
        const float value = got[r * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(n)];
        stage.compare(row, n, static_cast<double>(value), want.value, want.bound);
      }
    }
    const std::scoped_lock lock(merging);
    all.merge(stage);
  });
  return {all};
}

/// h from the engine's own gate and up. What is judged is the value that was rounded to bf16: of all that round to the
/// engine's h the one nearest to the exact value, against the bound of the f32 arithmetic.
Stages judge_h(const Layer& layer, const PassInput& input, const Pass& pass) {
  Stage stage(input.prefix + "h");
  const int width = input.down.cols;
  if (!complete(stage, pass.h.size(), input.rows(), static_cast<std::size_t>(width))) return {stage};
  for (int row = 0; row < static_cast<int>(input.rows()); ++row) {
    const float* gate = pass.gate_up.data() + static_cast<std::ptrdiff_t>(row) * 2 * width;
    const std::uint16_t* got = pass.h.data() + static_cast<std::ptrdiff_t>(row) * width;
    for (int i = 0; i < width; ++i) {
      const auto g = static_cast<double>(gate[i]);
      const auto up = static_cast<double>(gate[width + i]);
      const double exact = activated(layer, g, up);
      compare_rounded_to_bf16(stage, row, i, got[i], exact, activated(layer, Range{g, g}, Range{up, up}));
    }
  }
  return {stage};
}

}  // namespace

Stages judge_pass(const Layer& layer, const PassInput& input, const Pass& pass) {
  Stages all;
  // False when what the next part is judged from is missing.
  const auto add = [&](const Stages& part) {
    all.insert(all.end(), part.begin(), part.end());
    return part.empty() || part.back().problem.empty();
  };
  if (!add(QuantizationJudge(input, "x", input.gate_up).run(input.values, pass.x))) return all;
  if (!add(judge_gemm(input, "gate_up", input.gate_up, pass.x, input.values, pass.gate_up))) return all;
  if (!add(judge_h(layer, input, pass))) return all;
  if (!add(QuantizationJudge(input, "h", input.down).run(pass.h, pass.h_quantized))) return all;
  add(judge_gemm(input, "down", input.down, pass.h_quantized, pass.h, pass.down));
  return all;
}

}  // namespace moesaic::reference
