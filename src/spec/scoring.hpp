#pragma once

#include <cstdint>

namespace moesaic {

/// How logits become a choice and weights.
enum class Scoring : std::uint8_t {
  softmax,         ///< softmax over all experts, then the top_k
  chosen_softmax,  ///< the top_k logits, then softmax over those
  sigmoid,         ///< sigmoid of each; the top_k of sigmoid + correction within the best groups
};

}  // namespace moesaic
