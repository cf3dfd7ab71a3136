#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spec/gemm.hpp"

/// What is measured: the sizes of one grouped GEMM of a model, routings for it, and the least that it costs.
namespace moesaic::bench {

/// One of the two GEMMs of an MoE layer.
struct Workload {
  std::string model;
  std::string gemm;  ///< "gate_up" or "down"
  int experts = 0;
  int top_k = 0;
  int n = 0;  ///< output channels
  int k = 0;  ///< input channels
  int tokens = 0;

  int rows() const { return tokens * top_k; }
};

/// Rows of expert e are [first[e], first[e + 1]): every token has top_k distinct experts, each equally likely.
std::vector<std::int32_t> random_routing(int experts, int top_k, int tokens, std::uint64_t seed);

/// The routing of one launch of a workload: new for each launch, the same for a seed. bench/routing.py draws it too.
std::vector<std::int32_t> launch_routing(const Workload& workload, std::uint64_t seed, int launch);

/// Experts that have rows.
int touched_experts(const std::vector<std::int32_t>& first);

/// What one launch must at least do: touched weights and token rows read once, results written once; scales and routing
/// are not counted.
struct Cost {
  double bytes = 0;
  double operations = 0;  ///< two for each multiplication with its addition
};
Cost cost(const Workload& workload, const std::vector<std::int32_t>& first, OutFormat out);

/// What the cost takes at the card's limits, in microseconds.
struct Floor {
  double bytes_us = 0;
  double operations_us = 0;

  double us() const { return bytes_us > operations_us ? bytes_us : operations_us; }
};
Floor floor_of(const Cost& cost, double stream_tb_per_s, double tera_ops);

/// Sets of weights to rotate among so that what one launch has read has left an L2 of `l2_bytes` before it is read
/// again: the bytes that the sets' launches touch are kL2Multiple of it. At least 2, at most `most`.
int sets_needed(double touched_bytes, std::int64_t l2_bytes, int most);
inline constexpr int kL2Multiple = 5;

}  // namespace moesaic::bench
