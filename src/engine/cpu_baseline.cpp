#include "engine/cpu_baseline.hpp"

#include <cblas.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <numeric>

#include "engine/expand.hpp"
#include "spec/parallel.hpp"

namespace moesaic::engine {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::uint64_t busy_experts(const Routing& routing) {
  std::uint64_t busy = 0;
  for (std::size_t e = 0; e + 1 < routing.first.size(); ++e) busy += routing.first[e + 1] > routing.first[e] ? 1 : 0;
  return busy;
}

/// Bytes of one expert of a set.
std::uint64_t expert_bytes(const Experts& experts) {
  if (experts.experts == 0) return 0;
  const std::size_t floats = experts.scales.size() + experts.input_scales.size() + experts.bias.size();
  return (experts.codes.size() + experts.group_scales.size() + floats * sizeof(float)) /
         static_cast<std::size_t>(experts.experts);
}

}  // namespace

FloatGemms::FloatGemms(const Layer& layer, const Routing& routing, int threads) : threads_(threads) {
  for (const Experts* experts : {&layer.gate_up, &layer.down}) add(*experts, routing.first);
  if (layer.shape.shared_width > 0) {
    for (const Experts* experts : {&layer.shared_gate_up, &layer.shared_down}) add(*experts, {0, routing.tokens});
  }
  std::size_t in = 0;
  for (const Product& p : products_) {
    in = std::max(in, static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.k));
  }
  in_.resize(in);
  for (std::size_t i = 0; i < in; ++i) in_[i] = static_cast<float>(i % 17) - 8;
  std::array<double, 2> best{};
  for (const bool each : {false, true}) {
    run(each);
    best[each ? 1 : 0] = std::min(run(each), run(each));
  }
  each_by_itself_ = best[1] < best[0];
}

void FloatGemms::add(const Experts& experts, const std::vector<std::int32_t>& first) {
  const auto n = static_cast<std::size_t>(experts.rows);
  const auto k = static_cast<std::size_t>(experts.cols);
  for (std::size_t e = 0; e + 1 < first.size(); ++e) {
    const int rows = first[e + 1] - first[e];
    if (rows == 0) continue;
    Product product{std::vector<float>(n * k), std::vector<float>(n * static_cast<std::size_t>(rows)), rows,
                    experts.rows, experts.cols};
    parallel_for(threads_, experts.rows, [&](int channel) {
      const auto c = static_cast<std::size_t>(channel);
      expand_weights(experts, e * n + c, product.weights.data() + c * k);
    });
    products_.push_back(std::move(product));
  }
}

void FloatGemms::multiply(Product& p) const {
  if (p.rows == 1) {
    cblas_sgemv(CblasRowMajor, CblasNoTrans, p.n, p.k, 1.0F, p.weights.data(), p.k, in_.data(), 1, 0.0F, p.out.data(),
                1);
  } else {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, p.rows, p.n, p.k, 1.0F, in_.data(), p.k, p.weights.data(), p.k,
                0.0F, p.out.data(), p.n);
  }
}

double FloatGemms::run(bool each_by_itself) {
  openblas_set_num_threads(each_by_itself ? 1 : threads_);
  const auto start = std::chrono::steady_clock::now();
  parallel_for(each_by_itself ? threads_ : 1, static_cast<int>(products_.size()),
               [&](int i) { multiply(products_[static_cast<std::size_t>(i)]); });
  const double seconds = seconds_since(start);
  openblas_set_num_threads(1);  // as the cpu engine wants it
  return seconds;
}

std::uint64_t float_bytes(const Layer& layer, const Routing& routing) {
  const auto floats = [](const Experts& experts) {
    return static_cast<std::uint64_t>(experts.rows) * static_cast<std::uint64_t>(experts.cols) * sizeof(float);
  };
  const std::uint64_t shared = routing.tokens == 0 ? 0 : floats(layer.shared_gate_up) + floats(layer.shared_down);
  return busy_experts(routing) * (floats(layer.gate_up) + floats(layer.down)) + shared;
}

std::uint64_t bytes_read(const Layer& layer, const Routing& routing) {
  const std::uint64_t shared = routing.tokens == 0 ? 0 : 1;
  return busy_experts(routing) * (expert_bytes(layer.gate_up) + expert_bytes(layer.down)) +
         shared * (expert_bytes(layer.shared_gate_up) + expert_bytes(layer.shared_down));
}

double measure_stream(int threads) {
  constexpr std::size_t kWords = std::size_t{48} << 20;  // 384 MiB
  constexpr int kPieces = 64;
  constexpr int kPasses = 5;
  const std::vector<std::uint64_t> buffer(kWords, 1);
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::atomic<std::uint64_t> total{0};
    const auto start = std::chrono::steady_clock::now();
    parallel_for(threads, kPieces, [&](int piece) {
      const auto first = buffer.begin() + static_cast<std::ptrdiff_t>(kWords / kPieces) * piece;
      total += std::accumulate(first, first + static_cast<std::ptrdiff_t>(kWords / kPieces), std::uint64_t{0});
    });
    const double seconds = seconds_since(start);
    // The sum is used, so that it is computed.
    if (total == kWords) best = std::max(best, static_cast<double>(kWords * sizeof(std::uint64_t)) / seconds);
  }
  return best;
}

}  // namespace moesaic::engine
