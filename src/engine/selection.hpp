#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/cost.hpp"
#include "engine/tuned.hpp"

/// Which variant runs a grouped GEMM, and why: candidates, then valid(), then the one asked for, the tuned table or the
/// cost model. Nothing is dropped in silence.
namespace moesaic::engine {

/// A variant that was looked at.
struct Candidate {
  Config config;
  std::string rejected;  ///< why it cannot run; empty when it can
  Cost cost;             ///< what it is thought to take, when it can run
};

/// Who spoke.
enum class DecidedBy { user, tuned_table, cost_model };

struct Choice {
  Config config;
  DecidedBy decided_by = DecidedBy::cost_model;
  std::string reason;                 ///< one sentence
  std::vector<Candidate> candidates;  ///< all of them in the order of the table, the chosen one included

  const Candidate& chosen() const;
};

/// What is wished of a choice.
struct Wishes {
  std::string variant{};                 ///< full name of the one that must run; empty: none
  std::string wished_by = "the caller";  ///< who names it, in words: "--variant"
  TunedTable tuned{};
};

/// Every variant with the reason why it cannot run, or with its cost.
std::vector<Candidate> weigh(std::span<const Config> variants, const Work& work, const Device& device,
                             const CostNumbers& numbers = {});

/// The choice depends on the sizes alone, never on a routing, so that it can be made before the routing is known.
/// Throws Error with the reasons: when no variant is valid, and when the one that must run, or the one that the tuned
/// table names for this case, is unknown or not valid.
Choice choose(std::span<const Config> variants, const Work& work, const Device& device, const Wishes& wishes = {});

}  // namespace moesaic::engine
