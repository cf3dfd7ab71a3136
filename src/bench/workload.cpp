#include "bench/workload.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "spec/split_mix.hpp"

namespace moesaic::bench {

std::vector<std::int32_t> random_routing(int experts, int top_k, int tokens, std::uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<int> order(static_cast<std::size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::int32_t> first(order.size() + 1);
  for (int token = 0; token < tokens; ++token) {
    // The first top_k of a shuffle; whatever order the last token left, it is as good a start.
    for (std::size_t i = 0; i < static_cast<std::size_t>(top_k); ++i) {
      std::swap(order[i], order[i + random.next() % (order.size() - i)]);
      ++first[static_cast<std::size_t>(order[i]) + 1];
    }
  }
  std::partial_sum(first.begin(), first.end(), first.begin());
  return first;
}

std::vector<std::int32_t> launch_routing(const Workload& workload, std::uint64_t seed, int launch) {
  const auto tokens = static_cast<std::uint64_t>(workload.tokens);
  SplitMix64 random(seed + tokens + (static_cast<std::uint64_t>(launch) << 32));
  return random_routing(workload.experts, workload.top_k, workload.tokens, random.next());
}

int touched_experts(const std::vector<std::int32_t>& first) {
  int touched = 0;
  for (std::size_t expert = 0; expert + 1 < first.size(); ++expert)
    touched += first[expert] < first[expert + 1] ? 1 : 0;
  return touched;
}

Cost cost(const Workload& workload, const std::vector<std::int32_t>& first, OutFormat out) {
  const auto rows = static_cast<double>(workload.rows());
  const auto n = static_cast<double>(workload.n);
  const auto k = static_cast<double>(workload.k);
  return {.bytes = touched_experts(first) * n * k + rows * k + rows * n * out_bytes(out),
          .operations = 2 * rows * n * k};
}

Floor floor_of(const Cost& cost, double stream_tb_per_s, double tera_ops) {
  constexpr double kPerMicrosecond = 1e6;  // of what is counted in units of 1e12 a second
  return {.bytes_us = stream_tb_per_s > 0 ? cost.bytes / stream_tb_per_s / kPerMicrosecond : 0,
          .operations_us = tera_ops > 0 ? cost.operations / tera_ops / kPerMicrosecond : 0};
}

int sets_needed(double touched_bytes, std::int64_t l2_bytes, int most) {
  const double needed = std::ceil(kL2Multiple * static_cast<double>(l2_bytes) / touched_bytes);
  return static_cast<int>(std::clamp(needed, 2.0, std::max(2.0, static_cast<double>(most))));
}

}  // namespace moesaic::bench
