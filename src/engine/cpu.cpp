#include <cblas.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include "engine/activation.hpp"
#include "engine/engine.hpp"
#include "engine/expand.hpp"
#include "engine/norm.hpp"
#include "engine/quantize.hpp"
#include "engine/router.hpp"
#include "spec/config.hpp"
#include "spec/parallel.hpp"

namespace moesaic::engine {
namespace {

/// k that one call of the BLAS adds, and Trace::step: a side of block FP8's blocks, and enough work to outweigh the
/// call.
constexpr int kStep = kBlockSide;
/// Weights that are expanded to float at once, whole rows of them, so that they are read in long runs: 512 KiB of
/// floats stay in an L2 cache until they have been multiplied.
constexpr int kTileFloats = 128 * 1024;

/// Output channels of a tile.
int tile_channels(const Experts& w) {
  constexpr int kUnit = 16;
  return std::clamp(kTileFloats / w.cols / kUnit * kUnit, kUnit, 128);
}

/// Rows that pass through one set of experts, sorted by expert. Row r reads token[r] of `values`.
struct Rows {
  const std::vector<std::uint16_t>& values;  ///< [tokens, hidden] bf16
  std::vector<std::int32_t> token;           ///< [R]
  std::vector<std::int32_t> first;           ///< [experts + 1]

  std::size_t count() const { return token.size(); }
  std::vector<std::size_t> experts() const {
    std::vector<std::size_t> of_row;
    for (std::size_t e = 0; e + 1 < first.size(); ++e) {
      of_row.insert(of_row.end(), static_cast<std::size_t>(first[e + 1] - first[e]), e);
    }
    return of_row;
  }
};

/// A tile of a grouped GEMM: rows [row0, row0 + rows) of one expert times its channels [n0, n0 + channels).
struct Tile {
  std::size_t expert;
  std::size_t row0;
  int rows;
  int n0;
  int channels;
};

/// out[rows, channels] (+)= in[rows, count] * weights[channels, count]^T; the leading dimension of `in` and `weights`
/// is `cols`, that of `out` is `out_cols`.
void multiply(const Tile& tile, int count, const float* in, const float* weights, int cols, bool add, float* out,
              int out_cols) {
  const float keep = add ? 1.0F : 0.0F;
  if (tile.rows == 1) {
    cblas_sgemv(CblasRowMajor, CblasNoTrans, tile.channels, count, 1.0F, weights, cols, in, 1, keep, out, 1);
  } else {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tile.rows, tile.channels, count, 1.0F, in, cols, weights, cols,
                keep, out, out_cols);
  }
}

/// One grouped GEMM of reference/layer.hpp, step 3: out [R, N] from inputs [R, K].
class Gemm {
 public:
  /// `in`: the inputs as expand_inputs() gives them.
  Gemm(const Experts& w, const Quantized& quantized, const std::vector<float>& in, std::vector<float>& out)
      : w_(w), quantized_(quantized), in_(in), out_(out) {}

  void run(const Tile& tile) const {
    const auto k = static_cast<std::size_t>(w_.cols);
    const float* in = in_.data() + tile.row0 * k;
    float* out = out_.data() + tile.row0 * static_cast<std::size_t>(w_.rows) + tile.n0;
    const std::size_t channel0 = tile.expert * static_cast<std::size_t>(w_.rows) + static_cast<std::size_t>(tile.n0);
    std::vector<float> weights(static_cast<std::size_t>(tile.channels) * k);
    for (std::size_t n = 0; n < static_cast<std::size_t>(tile.channels); ++n) {
      expand_weights(w_, channel0 + n, weights.data() + n * k);
    }
    std::vector<float> block(blockwise() ? static_cast<std::size_t>(tile.rows * tile.channels) : 0);
    for (int k0 = 0; k0 < w_.cols; k0 += kStep) {
      const int count = std::min(kStep, w_.cols - k0);
      if (blockwise()) {
        multiply(tile, count, in + k0, weights.data() + k0, w_.cols, false, block.data(), tile.channels);
        add_block(tile, k0, block, out);
      } else {
        multiply(tile, count, in + k0, weights.data() + k0, w_.cols, k0 != 0, out, w_.rows);
      }
    }
    finish(tile, channel0, out);
  }

 private:
  bool blockwise() const {
    return w_.scheme.weights == WeightScheme::fp8_block || w_.scheme.inputs == InputScheme::fp8_group;
  }

  /// out += block * the block's scale * each row's scale for these k.
  void add_block(const Tile& tile, int k0, const std::vector<float>& block, float* out) const {
    const auto channels = static_cast<std::size_t>(tile.channels);
    const auto groups = static_cast<std::size_t>(ceil_div(w_.cols, kBlockSide));
    std::vector<float> w_scales(channels, 1.0F);
    if (w_.scheme.weights == WeightScheme::fp8_block) {
      for (int n = 0; n < tile.channels; ++n) {
        w_scales[static_cast<std::size_t>(n)] =
            w_.scales[w_.block_index(static_cast<int>(tile.expert), tile.n0 + n, k0)];
      }
    }
    for (std::size_t r = 0; r < static_cast<std::size_t>(tile.rows); ++r) {
      const std::size_t group = (tile.row0 + r) * groups + static_cast<std::size_t>(k0 / kBlockSide);
      const float x_scale = w_.scheme.inputs == InputScheme::fp8_group ? quantized_.scales[group] : 1.0F;
      const float* sums = block.data() + r * channels;
      float* row = out + r * static_cast<std::size_t>(w_.rows);
      if (k0 == 0) std::fill_n(row, channels, 0.0F);
      for (std::size_t n = 0; n < channels; ++n) row[n] += sums[n] * w_scales[n] * x_scale;
    }
  }

  /// The scales of channels and rows, and the bias.
  void finish(const Tile& tile, std::size_t channel0, float* out) const {
    const auto channels = static_cast<std::size_t>(tile.channels);
    const bool of_channel = w_.scheme.weights == WeightScheme::fp8_channel || w_.scheme.weights == WeightScheme::nvfp4;
    for (std::size_t r = 0; r < static_cast<std::size_t>(tile.rows); ++r) {
      float* row = out + r * static_cast<std::size_t>(w_.rows);
      const float x_scale = row_scale(tile, r);
      if (of_channel) {
        const float* w_scales = w_.scales.data() + channel0;
        for (std::size_t n = 0; n < channels; ++n) row[n] *= w_scales[n];
      }
      if (x_scale != 1.0F) {
        for (std::size_t n = 0; n < channels; ++n) row[n] *= x_scale;
      }
      if (!w_.bias.empty()) {
        const float* bias = w_.bias.data() + channel0;
        for (std::size_t n = 0; n < channels; ++n) row[n] += bias[n];
      }
    }
  }

  float row_scale(const Tile& tile, std::size_t row) const {
    switch (w_.scheme.inputs) {
      case InputScheme::fp8_static:
      case InputScheme::fp8_token:
        return quantized_.scales[tile.row0 + row];
      case InputScheme::nvfp4:
        return w_.input_scales[tile.expert];
      case InputScheme::bf16:
      case InputScheme::fp8_group:
      case InputScheme::mxfp8:
        return 1.0F;
    }
    return 1.0F;
  }

  const Experts& w_;
  const Quantized& quantized_;
  const std::vector<float>& in_;
  std::vector<float>& out_;
};

class CpuEngine final : public Engine {
 public:
  CpuEngine(const Layer& layer, int threads)
      : layer_(layer),
        threads_(threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {
    openblas_set_num_threads(1);  // each call of it comes from a thread of our own
  }

  std::string place() const override { return fmt::format("cpu ({} thread{})", threads_, threads_ == 1 ? "" : "s"); }

  Trace run(const Tokens& tokens, Keep keep) override {
    Trace trace;
    trace.step = kStep;
    trace.routing = route(layer_, tokens, threads_);
    if (layer_.norms) {
      trace.experts_input = norm_tokens(tokens, layer_.norms->before_experts, layer_.epsilon, threads_);
      trace.shared_input = norm_tokens(tokens, layer_.norms->before_dense, layer_.epsilon, threads_);
    }
    pass(routed_rows(layer_.norms ? trace.experts_input : tokens.values, trace.routing), layer_.gate_up, layer_.down,
         trace.experts);
    if (layer_.shape.shared_width > 0) {
      trace.shared_weight = shared_weights(layer_, tokens, threads_);
      pass(shared_rows(layer_.norms ? trace.shared_input : tokens.values, tokens.count), layer_.shared_gate_up,
           layer_.shared_down, trace.shared);
    }
    combine(trace);
    if (keep == Keep::trace) return trace;
    Trace kept;
    kept.step = trace.step;
    kept.routing = std::move(trace.routing);
    kept.output = std::move(trace.output);
    return kept;
  }

 private:
  static Rows routed_rows(const std::vector<std::uint16_t>& values, const Routing& routing) {
    Rows rows{values, std::vector<std::int32_t>(routing.row.size()), routing.first};
    for (std::size_t pair = 0; pair < routing.row.size(); ++pair) {
      rows.token[static_cast<std::size_t>(routing.row[pair])] =
          static_cast<std::int32_t>(pair / static_cast<std::size_t>(routing.top_k));
    }
    return rows;
  }

  static Rows shared_rows(const std::vector<std::uint16_t>& values, int tokens) {
    Rows rows{values, {}, {0, tokens}};
    for (int token = 0; token < tokens; ++token) rows.token.push_back(token);
    return rows;
  }

  /// Rows through both GEMMs of a set of experts.
  void pass(const Rows& rows, const Experts& gate_up, const Experts& down, Pass& out) const {
    const auto hidden = static_cast<std::size_t>(gate_up.cols);
    const auto width = static_cast<std::size_t>(down.cols);
    const std::vector<std::size_t> expert = rows.experts();
    out.gate_up = gemm(rows, expert, gate_up, out.x, [&](std::size_t r) {
      return rows.values.data() + static_cast<std::size_t>(rows.token[r]) * hidden;
    });
    out.h.resize(rows.count() * width);
    parallel_for(threads_, static_cast<int>(rows.count()), [&](int row) {
      const auto r = static_cast<std::size_t>(row);
      activate_row(layer_, out.gate_up.data() + r * 2 * width, down.cols, out.h.data() + r * width);
    });
    out.down = gemm(rows, expert, down, out.h_quantized, [&](std::size_t r) { return out.h.data() + r * width; });
  }

  /// Quantizes the inputs, whose row r begins at values(r), and multiplies.
  template <typename Values>
  std::vector<float> gemm(const Rows& rows, const std::vector<std::size_t>& expert, const Experts& w,
                          Quantized& quantized, const Values& values) const {
    const InputScheme scheme = w.scheme.inputs;
    const auto cols = static_cast<std::size_t>(w.cols);
    quantized = make_quantized(scheme, rows.count(), w.cols);
    std::vector<float> in(rows.count() * cols);
    parallel_for(threads_, static_cast<int>(rows.count()), [&](int row) {
      const auto r = static_cast<std::size_t>(row);
      quantize_row(scheme, values(r), w.cols, has_static_scale(scheme) ? w.input_scales[expert[r]] : 1.0F, quantized,
                   r);
      expand_inputs(scheme, quantized, values(r), r, w.cols, in.data() + r * cols);
    });
    std::vector<float> out(rows.count() * static_cast<std::size_t>(w.rows));
    const Gemm gemm(w, quantized, in, out);
    const int channels = tile_channels(w);
    const int tiles = ceil_div(w.rows, channels);
    parallel_for(threads_, w.experts * tiles, [&](int index) {
      const auto e = static_cast<std::size_t>(index / tiles);
      const int n0 = index % tiles * channels;
      const int count = rows.first[e + 1] - rows.first[e];
      if (count == 0) return;
      gemm.run({e, static_cast<std::size_t>(rows.first[e]), count, n0, std::min(channels, w.rows - n0)});
    });
    return out;
  }

  void combine(Trace& trace) const {
    const auto hidden = static_cast<std::size_t>(layer_.shape.hidden);
    const auto top_k = static_cast<std::size_t>(layer_.shape.top_k);
    trace.output.assign(static_cast<std::size_t>(trace.routing.tokens) * hidden, 0.0F);
    parallel_for(threads_, trace.routing.tokens, [&](int index) {
      const auto token = static_cast<std::size_t>(index);
      float* output = trace.output.data() + token * hidden;
      for (std::size_t pair = token * top_k; pair < (token + 1) * top_k; ++pair) {
        const float weight = trace.routing.weight[pair];
        const float* row = trace.experts.down.data() + static_cast<std::size_t>(trace.routing.row[pair]) * hidden;
        for (std::size_t i = 0; i < hidden; ++i) output[i] += weight * row[i];
      }
      if (trace.shared.down.empty()) return;
      const float* shared = trace.shared.down.data() + token * hidden;
      if (layer_.norms) return add_normed(shared, output);
      const float weight = trace.shared_weight.empty() ? 1.0F : trace.shared_weight[token];
      for (std::size_t i = 0; i < hidden; ++i) output[i] += weight * shared[i];
    });
  }

  /// Gemma 4: output = after(after_dense(dense) + after_experts(output)).
  void add_normed(const float* dense, float* output) const {
    const auto hidden = static_cast<std::size_t>(layer_.shape.hidden);
    const BlockNorms& norms = *layer_.norms;
    std::vector<double> sum = rms_norm({dense, dense + hidden}, norms.after_dense, layer_.epsilon);
    const std::vector<double> routed = rms_norm({output, output + hidden}, norms.after_experts, layer_.epsilon);
    for (std::size_t i = 0; i < hidden; ++i) sum[i] += routed[i];
    sum = rms_norm(sum, norms.after, layer_.epsilon);
    std::transform(sum.begin(), sum.end(), output, [](double value) { return static_cast<float>(value); });
  }

  const Layer& layer_;
  int threads_;
};

}  // namespace

std::unique_ptr<Engine> make_cpu_engine(const Layer& layer, int threads) {
  return std::make_unique<CpuEngine>(layer, threads);
}

}  // namespace moesaic::engine
