#pragma once

#include <cstdint>
#include <vector>

#include "reference/bounds.hpp"
#include "spec/layer.hpp"

/// The router's arithmetic (layer.hpp, step 1) in double, and how far f32 may be from it.
namespace moesaic::reference {

/// In which order a router adds its products.
enum class Order {
  chains,  ///< in kRouterChains chains, as layer.hpp asks of an engine
  any,
};

/// Row `token` of the tokens: known exactly.
std::vector<Bounded> token_values(const Tokens& tokens, int token);

/// [experts]: the logits of one token.
std::vector<Bounded> logits_of(const Layer& layer, const Tokens& tokens, int token, Order order);

/// [experts]: what the choice goes by, from the logits: the logits themselves, or sigmoids with their correction.
std::vector<Bounded> scores_of(const Router& router, const std::vector<Bounded>& logits);

/// [groups]: the sum of each group's best two scores; empty when all groups stay.
std::vector<Bounded> group_scores_of(const Router& router, const std::vector<Bounded>& scores);

/// [top_k]: the weights of the chosen experts.
std::vector<Bounded> weights_of(const Layer& layer, const std::vector<Bounded>& logits, const std::int32_t* chosen);

/// sigmoid(shared_gate . x) of one token; 1 when the layer has no such gate.
Bounded shared_weight_of(const Layer& layer, const Tokens& tokens, int token, Order order);

}  // namespace moesaic::reference
