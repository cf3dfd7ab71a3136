#include "engine/selection.hpp"

#include <algorithm>
#include <cstdint>

#include "spec/error.hpp"

namespace moesaic::engine {
namespace {

/// Bytes that all tiles together read when the rows are spread evenly: every token tile reads its expert's weights once
/// and every feature tile reads the expert's rows once. Decode has one token tile for an expert, and the weights
/// decide.
double tile_bytes(const Config& config, const Problem& problem, int tokens, int top_k) {
  const std::int64_t rows = std::int64_t{std::max(tokens, 1)} * top_k;
  const std::int64_t experts = std::min<std::int64_t>(problem.experts, rows);
  const std::int64_t t_tiles = ceil_div<std::int64_t>(ceil_div(rows, experts), config.tile_t);
  const std::int64_t weight_rows = t_tiles * problem.n;
  const std::int64_t token_rows = ceil_div<std::int64_t>(problem.n, config.tile_f) * t_tiles * config.tile_t;
  return static_cast<double>(experts * (weight_rows + token_rows)) * problem.k;
}

Choice forced_choice(std::vector<Candidate> candidates, std::string_view forced) {
  for (const Candidate& candidate : candidates) {
    if (variant_name(candidate.config) != forced) continue;
    if (!candidate.rejected.empty()) {
      throw Error("variant " + std::string(forced) + " was asked for and cannot run: " + candidate.rejected);
    }
    return {candidate.config, "it was asked for", std::move(candidates)};
  }
  std::string known;
  for (const Candidate& candidate : candidates) known += (known.empty() ? "" : ", ") + variant_name(candidate.config);
  throw Error("variant " + std::string(forced) + " is not in this build; it has " + known);
}

}  // namespace

Choice choose(std::span<const Config> variants, const Problem& problem, int tokens, int top_k, const Device& device,
              std::string_view forced) {
  std::vector<Candidate> candidates;
  for (const Config& config : variants) {
    Candidate candidate{config, valid(config, problem, device), 0};
    if (candidate.rejected.empty()) candidate.cost_bytes = tile_bytes(config, problem, tokens, top_k);
    candidates.push_back(candidate);
  }
  if (!forced.empty()) return forced_choice(std::move(candidates), forced);

  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (!candidate.rejected.empty()) continue;
    if (best == nullptr || candidate.cost_bytes < best->cost_bytes) best = &candidate;
  }
  if (best == nullptr) {
    std::string reasons;
    for (const Candidate& candidate : candidates) {
      reasons += "\n  " + variant_name(candidate.config) + ": " + candidate.rejected;
    }
    throw Error("no variant of the grouped GEMM can run here:" + reasons);
  }
  return {best->config, "its tiles read the fewest bytes", std::move(candidates)};
}

}  // namespace moesaic::engine
