#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "reference/bounds.hpp"
#include "reference/layer.hpp"
#include "reference/router.hpp"
#include "reference/routing.hpp"
#include "spec/parallel.hpp"

namespace moesaic::reference {
namespace {

/// Whether two experts have the same logit and score whatever the token, so that they tie.
bool are_twins(const Layer& layer, int a, int b) {
  const Router& router = layer.router;
  const auto hidden = static_cast<std::ptrdiff_t>(layer.shape.hidden);
  const auto row = router.weight.begin();
  const auto equal_in = [&](const std::vector<float>& values) {
    return values.empty() || values[static_cast<std::size_t>(a)] == values[static_cast<std::size_t>(b)];
  };
  return std::equal(row + a * hidden, row + (a + 1) * hidden, row + b * hidden) && equal_in(router.bias) &&
         equal_in(router.correction);
}

/// Sets row and first from the experts.
void sort_rows(Routing& routing, int experts) {
  routing.first.assign(static_cast<std::size_t>(experts) + 1, 0);
  for (const std::int32_t e : routing.expert) ++routing.first[static_cast<std::size_t>(e) + 1];
  std::partial_sum(routing.first.begin(), routing.first.end(), routing.first.begin());
  std::vector<std::int32_t> next = routing.first;
  routing.row.clear();
  for (const std::int32_t e : routing.expert) routing.row.push_back(next[static_cast<std::size_t>(e)]++);
}

/// Why the routing is none for these tokens, or empty.
std::string inconsistency(const Layer& layer, const Tokens& tokens, const Routing& routing) {
  const int experts = layer.shape.experts;
  const int top_k = layer.shape.top_k;
  const std::size_t pairs = static_cast<std::size_t>(tokens.count) * static_cast<std::size_t>(top_k);
  if (routing.tokens != tokens.count || routing.top_k != top_k) {
    return fmt::format("is for {} tokens and top-{}, not {} and top-{}", routing.tokens, routing.top_k, tokens.count,
                       top_k);
  }
  if (routing.expert.size() != pairs || routing.weight.size() != pairs) {
    return fmt::format("has {} experts and {} weights for {} pairs of token and slot", routing.expert.size(),
                       routing.weight.size(), pairs);
  }
  for (std::size_t i = 0; i < pairs; ++i) {
    const std::int32_t e = routing.expert[i];
    const auto token = i / static_cast<std::size_t>(top_k);
    if (e < 0 || e >= experts) return fmt::format("sends token {} to expert {} of {}", token, e, experts);
    const auto begin = routing.expert.begin() + static_cast<std::ptrdiff_t>(token) * top_k;
    if (std::count(begin, begin + top_k, e) != 1) return fmt::format("sends token {} to expert {} twice", token, e);
  }
  Routing sorted = routing;
  sort_rows(sorted, experts);
  if (sorted.first != routing.first) return "has a `first` that does not count the rows of each expert";
  if (sorted.row != routing.row) return "has rows that are not sorted by expert and, within an expert, by token";
  return "";
}

/// [experts]: who certainly could have been chosen, for the experts of groups that lose are out. A group that an expert
/// was chosen from stays; it must not certainly lose against top_groups others.
std::vector<bool> who_may_be_left(const Layer& layer, const std::vector<Bounded>& scores, const std::int32_t* chosen,
                                  int token, Stage& stage) {
  std::vector<bool> may(scores.size(), true);
  const std::vector<Bounded> groups = group_scores_of(layer.router, scores);
  if (groups.empty()) return may;
  const std::size_t size = scores.size() / groups.size();
  int taken = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto of_group = [&](std::int32_t e) { return static_cast<std::size_t>(e) / size == g; };
    const auto certainly_better = [&](const Bounded& other) {
      return other.value - other.bound > groups[g].value + groups[g].bound;
    };
    const auto perhaps_as_good = [&](const Bounded& other) {
      return other.value + other.bound >= groups[g].value - groups[g].bound;
    };
    const bool has_chosen = std::any_of(chosen, chosen + layer.shape.top_k, of_group);
    taken += has_chosen ? 1 : 0;
    if (has_chosen && std::count_if(groups.begin(), groups.end(), certainly_better) >= layer.router.top_groups) {
      stage.fail(fmt::format("token {}: an expert of group {} was chosen, which is not among the best {}", token, g,
                             layer.router.top_groups));
    }
    // The group itself is among those that are perhaps as good.
    const bool stays =
        has_chosen || std::count_if(groups.begin(), groups.end(), perhaps_as_good) <= layer.router.top_groups;
    std::fill_n(may.begin() + static_cast<std::ptrdiff_t>(g * size), size, stays);
  }
  if (taken > layer.router.top_groups) {
    stage.fail(
        fmt::format("token {}: experts of {} groups were chosen, not of {}", token, taken, layer.router.top_groups));
  }
  return may;
}

/// The choice of one token: no expert left over may have a score above the chosen one's by more than both bounds, nor,
/// with a lower index, an equal one.
void judge_choice(const Layer& layer, const std::vector<Bounded>& scores, const std::int32_t* chosen, int token,
                  Stage& stage) {
  const std::vector<bool> may = who_may_be_left(layer, scores, chosen, token, stage);
  for (int j = 0; j < layer.shape.top_k; ++j) {
    const int e = chosen[j];
    const Bounded& mine = scores[static_cast<std::size_t>(e)];
    Bounded best = mine;
    bool tie_lost = false;
    for (int f = 0; f < layer.shape.experts; ++f) {
      if (!may[static_cast<std::size_t>(f)] || std::find(chosen, chosen + j + 1, f) != chosen + j + 1) continue;
      const Bounded& other = scores[static_cast<std::size_t>(f)];
      tie_lost |= f < e && other.value == mine.value && (other.bound + mine.bound == 0 || are_twins(layer, f, e));
      if (other.value - other.bound > best.value - best.bound && other.value > mine.value) best = other;
    }
    const double allowed = best.value > mine.value ? best.bound + mine.bound : 0;
    stage.compare(token, j, mine.value, best.value, allowed);
    if (tie_lost) stage.fail(fmt::format("token {} slot {}: expert {} ties with a lower one left over", token, j, e));
  }
}

/// The experts with the largest scores, largest first, the lower index first among equals.
std::vector<std::int32_t> best_of(const std::vector<double>& scores) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  return order;
}

std::vector<double> values_of(const std::vector<Bounded>& bounded) {
  std::vector<double> values;
  values.reserve(bounded.size());
  for (const Bounded& b : bounded) values.push_back(b.value);
  return values;
}

/// The experts of one token, best first, those of losing groups last.
std::vector<std::int32_t> choose(const Layer& layer, const std::vector<Bounded>& bounded) {
  std::vector<double> scores = values_of(bounded);
  const std::vector<std::int32_t> groups = best_of(values_of(group_scores_of(layer.router, bounded)));
  for (std::size_t i = static_cast<std::size_t>(layer.router.top_groups); i < groups.size(); ++i) {
    const auto size = static_cast<std::ptrdiff_t>(scores.size() / groups.size());
    std::fill_n(scores.begin() + groups[i] * size, size, -std::numeric_limits<double>::infinity());
  }
  return best_of(scores);
}

}  // namespace

Routing route(const Layer& layer, const Tokens& tokens) {
  const auto top_k = static_cast<std::size_t>(layer.shape.top_k);
  Routing routing;
  routing.tokens = tokens.count;
  routing.top_k = layer.shape.top_k;
  routing.expert.resize(static_cast<std::size_t>(tokens.count) * top_k);
  routing.weight.resize(routing.expert.size());
  parallel_for(0, tokens.count, [&](int token) {
    const std::vector<Bounded> logits = logits_of(layer, tokens, token, Order::chains);
    const std::vector<std::int32_t> order = choose(layer, scores_of(layer.router, logits));
    const std::vector<Bounded> weights = weights_of(layer, logits, order.data());
    for (std::size_t j = 0; j < top_k; ++j) {
      routing.expert[static_cast<std::size_t>(token) * top_k + j] = order[j];
      routing.weight[static_cast<std::size_t>(token) * top_k + j] = static_cast<float>(weights[j].value);
    }
  });
  sort_rows(routing, layer.shape.experts);
  return routing;
}

std::vector<Stage> judge_routing(const Layer& layer, const Tokens& tokens, const Routing& routing,
                                 std::span<const float> own_logits) {
  Stage logit("logits");
  Stage choice("routing");
  Stage weight("weights");
  const auto experts = static_cast<std::size_t>(layer.shape.experts);
  const bool has_logits = !own_logits.empty();
  if (has_logits && own_logits.size() != static_cast<std::size_t>(tokens.count) * experts) {
    logit.fail(fmt::format("the trace holds {} logits for {} tokens and {} experts", own_logits.size(), tokens.count,
                           experts));
    return {logit};
  }
  if (const std::string why = inconsistency(layer, tokens, routing); !why.empty()) {
    choice.fail("the routing " + why);
    return {choice};
  }
  for (int token = 0; token < tokens.count; ++token) {
    std::vector<Bounded> logits = logits_of(layer, tokens, token, Order::chains);
    for (std::size_t e = 0; has_logits && e < experts; ++e) {
      const auto got = static_cast<double>(own_logits[static_cast<std::size_t>(token) * experts + e]);
      logit.compare(token, static_cast<int>(e), got, logits[e].value, logits[e].bound);
      logits[e] = {got, 0};
    }
    const auto begin = static_cast<std::ptrdiff_t>(token) * routing.top_k;
    judge_choice(layer, scores_of(layer.router, logits), routing.expert.data() + begin, token, choice);
    const std::vector<Bounded> weights = weights_of(layer, logits, routing.expert.data() + begin);
    for (int j = 0; j < routing.top_k; ++j) {
      const Bounded& want = weights[static_cast<std::size_t>(j)];
      weight.compare(token, j, static_cast<double>(routing.weight[static_cast<std::size_t>(begin + j)]), want.value,
                     want.bound);
    }
  }
  if (has_logits) return {logit, choice, weight};
  return {choice, weight};
}

std::vector<Bounded> float_weights(const Layer& layer, const Tokens& tokens, const Routing& routing) {
  std::vector<Bounded> weights;
  for (int token = 0; token < tokens.count; ++token) {
    const std::int32_t* chosen = routing.expert.data() + static_cast<std::ptrdiff_t>(token) * routing.top_k;
    const std::vector<Bounded> some = weights_of(layer, logits_of(layer, tokens, token, Order::any), chosen);
    weights.insert(weights.end(), some.begin(), some.end());
  }
  return weights;
}

}  // namespace moesaic::reference
