#include <cblas.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.hpp"
#include "engine/quantize.hpp"
#include "engine/router.hpp"
#include "spec/parallel.hpp"

namespace moesaic::engine {
namespace {

constexpr int kTileRows = 64;    // output channels expanded to float at once: 64 x 4096 floats fit in an L2 cache
constexpr int kStepLength = 32;  // k is added in ascending steps of this length, as the tensor core's m16n8k32 does

std::array<float, 256> e4m3_values() {
  std::array<float, 256> values{};
  for (std::size_t code = 0; code < values.size(); ++code) values[code] = decode_e4m3(static_cast<std::uint8_t>(code));
  return values;
}

void expand(const std::uint8_t* codes, std::size_t count, float* values) {
  static const std::array<float, 256> kValues = e4m3_values();
  for (std::size_t i = 0; i < count; ++i) values[i] = kValues[codes[i]];
}

class CpuEngine final : public Engine {
 public:
  CpuEngine(const Layer& layer, int threads)
      : layer_(layer),
        threads_(threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {
    openblas_set_num_threads(1);  // each call below comes from a thread of our own
  }

  std::string place() const override { return fmt::format("cpu ({} thread{})", threads_, threads_ == 1 ? "" : "s"); }

  Trace run(const Tokens& tokens, Keep keep) override {
    Trace trace;
    trace.routing = route(layer_, tokens, threads_);
    quantize_tokens(tokens, trace);
    multiply(layer_.gate_up, trace.routing, trace.experts.x.codes, trace.experts.x.scales, trace.experts.gate_up);
    activate(trace);
    multiply(layer_.down, trace.routing, trace.experts.h_quantized.codes, trace.experts.h_quantized.scales,
             trace.experts.down);
    combine(trace);
    if (keep == Keep::trace) return trace;
    Trace kept;
    kept.routing = std::move(trace.routing);
    kept.output = std::move(trace.output);
    return kept;
  }

 private:
  void quantize_tokens(const Tokens& tokens, Trace& trace) const {
    const auto hidden = static_cast<std::size_t>(tokens.hidden);
    const auto top_k = static_cast<std::size_t>(layer_.shape.top_k);
    const std::size_t rows = trace.routing.row.size();
    trace.experts.x.codes.resize(rows * hidden);
    trace.experts.x.scales.resize(rows);
    parallel_for(threads_, tokens.count, [&](int index) {
      const auto token = static_cast<std::size_t>(index);
      std::vector<std::uint8_t> codes(hidden);
      const float scale = quantize_row(tokens.values.data() + token * hidden, tokens.hidden, codes.data());
      for (std::size_t j = 0; j < top_k; ++j) {
        const auto row = static_cast<std::size_t>(trace.routing.row[token * top_k + j]);
        std::copy(codes.begin(), codes.end(), trace.experts.x.codes.data() + row * hidden);
        trace.experts.x.scales[row] = scale;
      }
    });
  }

  /// The grouped GEMM: out[r, n] = (sum_k codes[r, k] * w[e, n, k]) * w_scales[e, n] * scales[r] for the rows r of e.
  void multiply(const Experts& w, const Routing& routing, const std::vector<std::uint8_t>& codes,
                const std::vector<float>& scales, std::vector<float>& out) const {
    const auto cols = static_cast<std::size_t>(w.cols);
    out.resize(scales.size() * static_cast<std::size_t>(w.rows));
    std::vector<float> in(codes.size());
    expand(codes.data(), codes.size(), in.data());
    const int tiles = (w.rows + kTileRows - 1) / kTileRows;
    parallel_for(threads_, w.experts * tiles, [&](int index) {
      const auto expert = static_cast<std::size_t>(index / tiles);
      const auto row0 = static_cast<std::size_t>(routing.first[expert]);
      const int rows = routing.first[expert + 1] - routing.first[expert];
      if (rows == 0) return;
      const int n0 = index % tiles * kTileRows;
      const int channels = std::min(kTileRows, w.rows - n0);
      const std::size_t channel0 = expert * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(n0);
      std::vector<float> tile(static_cast<std::size_t>(channels) * cols);
      expand(w.codes.data() + channel0 * cols, tile.size(), tile.data());
      float* result = out.data() + row0 * static_cast<std::size_t>(w.rows) + n0;
      for (int k0 = 0; k0 < w.cols; k0 += kStepLength) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, channels, std::min(kStepLength, w.cols - k0), 1.0F,
                    in.data() + row0 * cols + k0, w.cols, tile.data() + k0, w.cols, k0 == 0 ? 0.0F : 1.0F, result,
                    w.rows);
      }
      for (int r = 0; r < rows; ++r) {
        float* values = result + static_cast<std::ptrdiff_t>(r) * w.rows;
        const float row_scale = scales[row0 + static_cast<std::size_t>(r)];
        for (int n = 0; n < channels; ++n) {
          values[n] = values[n] * w.scales[channel0 + static_cast<std::size_t>(n)] * row_scale;
        }
      }
    });
  }

  /// h = bf16(silu(gate) * up), and its quantization.
  void activate(Trace& trace) const {
    const int width = layer_.shape.width;
    const auto columns = static_cast<std::size_t>(width);
    const std::size_t rows = trace.routing.row.size();
    trace.experts.h.resize(rows * columns);
    trace.experts.h_quantized.codes.resize(rows * columns);
    trace.experts.h_quantized.scales.resize(rows);
    parallel_for(threads_, static_cast<int>(rows), [&](int index) {
      const auto row = static_cast<std::size_t>(index);
      const float* gate = trace.experts.gate_up.data() + row * 2 * columns;
      const float* up = gate + columns;
      std::uint16_t* h = trace.experts.h.data() + row * columns;
      for (std::size_t i = 0; i < columns; ++i) h[i] = encode_bf16(gate[i] / (1.0F + std::exp(-gate[i])) * up[i]);
      trace.experts.h_quantized.scales[row] =
          quantize_row(h, width, trace.experts.h_quantized.codes.data() + row * columns);
    });
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
    });
  }

  const Layer& layer_;
  int threads_;
};

}  // namespace

std::unique_ptr<Engine> make_cpu_engine(const Layer& layer, int threads) {
  return std::make_unique<CpuEngine>(layer, threads);
}

}  // namespace moesaic::engine
