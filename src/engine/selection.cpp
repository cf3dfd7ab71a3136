#include "engine/selection.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "spec/error.hpp"

namespace moesaic::engine {
namespace {

/// The candidate of that name, which must be able to run; `wish` says who named it.
const Candidate& require(const std::vector<Candidate>& candidates, const std::string& name, const std::string& wish) {
  std::string known;
  for (const Candidate& candidate : candidates) {
    const std::string of_candidate = variant_name(candidate.config);
    if (of_candidate != name) {
      known += (known.empty() ? "" : ", ") + of_candidate;
      continue;
    }
    if (candidate.rejected.empty()) return candidate;
    throw Error(fmt::format("variant {} was asked for by {} and cannot run: {}", name, wish, candidate.rejected));
  }
  throw Error(fmt::format("variant {} was asked for by {} and is not in this build; it has {}", name, wish, known));
}

/// The valid candidate of the least predicted time; the first of equal ones.
const Candidate& least_cost(const std::vector<Candidate>& candidates, const Device& device) {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (!candidate.rejected.empty()) continue;
    if (best == nullptr || candidate.cost.time_s < best->cost.time_s) best = &candidate;
  }
  if (best != nullptr) return *best;
  if (const std::string reason = why_no_code(device); !reason.empty()) {
    throw Error("no variant of the grouped GEMM can run here: " + reason);
  }
  std::string reasons;
  for (const Candidate& candidate : candidates) {
    reasons += fmt::format("\n  {}: {}", variant_name(candidate.config), candidate.rejected);
  }
  throw Error("no variant of the grouped GEMM can run here:" + reasons);
}

}  // namespace

const Candidate& Choice::chosen() const {
  const std::string name = variant_name(config);
  return *std::find_if(candidates.begin(), candidates.end(),
                       [&](const Candidate& candidate) { return variant_name(candidate.config) == name; });
}

std::vector<Candidate> weigh(std::span<const Config> variants, const Work& work, const Device& device,
                             const CostNumbers& numbers) {
  const Rows rows = expect_rows(work);
  std::vector<Candidate> candidates;
  for (const Config& config : variants) {
    Candidate candidate{config, valid(config, work.problem, device), {}};
    if (candidate.rejected.empty()) candidate.cost = predict(config, work, rows, device, numbers);
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

Choice choose(std::span<const Config> variants, const Work& work, const Device& device, const Wishes& wishes) {
  Choice choice;
  choice.candidates = weigh(variants, work, device);
  if (!wishes.variant.empty()) {
    choice.config = require(choice.candidates, wishes.variant, wishes.wished_by).config;
    choice.decided_by = DecidedBy::user;
    choice.reason = fmt::format("it was asked for by {}", wishes.wished_by);
    return choice;
  }
  if (const TunedEntry* entry = wishes.tuned.find(work, device)) {
    const std::string wish = "the tuned table " + wishes.tuned.file();
    choice.config = require(choice.candidates, entry->variant, wish).config;
    choice.decided_by = DecidedBy::tuned_table;
    choice.reason =
        fmt::format("{} has it for {} to {} tokens on {}", wish, entry->least_tokens, entry->most_tokens, entry->card);
    return choice;
  }
  const Candidate& best = least_cost(choice.candidates, device);
  choice.config = best.config;
  choice.reason =
      fmt::format("the cost model predicts {:.4g} us for it, the least of {} that can run", best.cost.time_s * 1e6,
                  std::count_if(choice.candidates.begin(), choice.candidates.end(),
                                [](const Candidate& candidate) { return candidate.rejected.empty(); }));
  return choice;
}

}  // namespace moesaic::engine
