#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec/config.hpp"

/// Which variant runs a grouped GEMM, and why: candidates, then valid(), then cost. Nothing is dropped in silence.
namespace moesaic::engine {

/// A variant that was looked at.
struct Candidate {
  Config config;
  std::string rejected;   ///< why it cannot run; empty when it can
  double cost_bytes = 0;  ///< bytes that its tiles read, when it can run
};

struct Choice {
  Config config;
  std::string reason;                 ///< one sentence
  std::vector<Candidate> candidates;  ///< all of them, the chosen one included
};

/// Chooses for `tokens` tokens that go to `top_k` experts each. The choice depends on the sizes alone, never on a
/// routing, so that it can be made before the routing is known. `forced` names a variant that must run ("" for none).
/// Throws Error when no variant is valid, and when the forced one is unknown or is not valid, with the reasons.
Choice choose(std::span<const Config> variants, const Problem& problem, int tokens, int top_k, const Device& device,
              std::string_view forced);

}  // namespace moesaic::engine
