#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "reference/bounds.hpp"
#include "reference/layer.hpp"
#include "reference/routing.hpp"
#include "spec/parallel.hpp"

namespace moesaic::reference {
namespace {

enum class Order { steps, any };

/// The logits of one token, and how far those of a router with this order of sums may be from them.
std::vector<Bounded> logits_of(const Layer& layer, const Tokens& tokens, int token, Order order = Order::steps) {
  const int hidden = layer.shape.hidden;
  const std::uint16_t* x = tokens.values.data() + static_cast<std::ptrdiff_t>(token) * hidden;
  std::vector<Bounded> logits;
  for (int e = 0; e < layer.shape.experts; ++e) {
    const float* w = layer.router.weight.data() + static_cast<std::ptrdiff_t>(e) * hidden;
    SumBound dot;
    for (int k0 = 0; k0 < hidden; k0 += kStepLength) {
      double sum = 0;
      double size = 0;
      for (int k = k0; k < std::min(k0 + kStepLength, hidden); ++k) {
        const double product = static_cast<double>(decode_bf16(x[k])) * static_cast<double>(w[k]);
        sum += product;
        size += std::abs(product);
      }
      dot.step(sum, size);
    }
    const double subnormal_products = dot.size() == 0 ? 0 : hidden * kSmallest;
    const double additions = order == Order::steps ? dot.error() : any_order_bound(hidden, dot.size());
    logits.push_back({dot.value(), additions + subnormal_products});
  }
  return logits;
}

bool same_router_row(const Layer& layer, int a, int b) {
  const auto hidden = static_cast<std::ptrdiff_t>(layer.shape.hidden);
  const auto row = layer.router.weight.begin();
  return std::equal(row + a * hidden, row + (a + 1) * hidden, row + b * hidden);
}

/// The weights of a token's chosen experts. Relative error: logits off by d move each exponential by at most exp(d),
/// and the sum likewise; u |logit - largest| from the subtraction before exp; exp within 4 units in the last place (8
/// u) above and below the line; a sum of `experts` terms and one of top_k, two divisions, one rounding of the result.
std::vector<Bounded> weights_of(const Layer& layer, const std::vector<Bounded>& logits, const std::int32_t* chosen) {
  const int top_k = layer.shape.top_k;
  double largest = logits[0].value;
  double all_off = 0;
  for (const Bounded& logit : logits) {
    largest = std::max(largest, logit.value);
    all_off = std::max(all_off, logit.bound);
  }
  double sum = 0;
  for (const Bounded& logit : logits) sum += std::exp(logit.value - largest);
  double chosen_sum = 0;
  double chosen_off = 0;
  for (int j = 0; j < top_k; ++j) {
    const Bounded& logit = logits[static_cast<std::size_t>(chosen[j])];
    chosen_sum += std::exp(logit.value - largest);
    chosen_off = std::max(chosen_off, logit.bound);
  }
  std::vector<Bounded> weights;
  for (int j = 0; j < top_k; ++j) {
    const double below = largest - logits[static_cast<std::size_t>(chosen[j])].value;
    const double weight = std::exp(-below) / (layer.router.renormalize ? chosen_sum : sum);
    const double off = layer.router.renormalize ? chosen_off : all_off;
    const double roundings = layer.shape.experts + top_k + 20 + below + 1;
    weights.push_back({weight, weight * (std::expm1(2 * off) + roundings * kUnit) * kSlack + 0x1p-126});
  }
  return weights;
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

/// The choice of one token: no expert left over may have a logit above the chosen one's by more than both bounds, nor,
/// with a lower index, an equal one.
void judge_choice(const Layer& layer, const std::vector<Bounded>& logits, const std::int32_t* chosen, int token,
                  Stage& stage) {
  const int top_k = layer.shape.top_k;
  for (int j = 0; j < top_k; ++j) {
    const int e = chosen[j];
    const Bounded& mine = logits[static_cast<std::size_t>(e)];
    Bounded best = mine;
    bool tie_lost = false;
    for (int f = 0; f < layer.shape.experts; ++f) {
      if (std::find(chosen, chosen + j + 1, f) != chosen + j + 1) continue;
      const Bounded& other = logits[static_cast<std::size_t>(f)];
      tie_lost |= f < e && other.value == mine.value && (other.bound + mine.bound == 0 || same_router_row(layer, f, e));
      if (other.value - other.bound > best.value - best.bound && other.value > mine.value) best = other;
    }
    const double allowed = best.value > mine.value ? best.bound + mine.bound : 0;
    stage.compare(token, j, mine.value, best.value, allowed);
    if (tie_lost) stage.fail(fmt::format("token {} slot {}: expert {} ties with a lower one left over", token, j, e));
  }
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
    const std::vector<Bounded> logits = logits_of(layer, tokens, token);
    std::vector<std::int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      return logits[static_cast<std::size_t>(a)].value > logits[static_cast<std::size_t>(b)].value;
    });
    const std::vector<Bounded> weights = weights_of(layer, logits, order.data());
    for (std::size_t j = 0; j < top_k; ++j) {
      routing.expert[static_cast<std::size_t>(token) * top_k + j] = order[j];
      routing.weight[static_cast<std::size_t>(token) * top_k + j] = static_cast<float>(weights[j].value);
    }
  });
  sort_rows(routing, layer.shape.experts);
  return routing;
}

std::vector<Stage> judge_routing(const Layer& layer, const Tokens& tokens, const Routing& routing) {
  Stage choice("routing");
  Stage weight("weights");
  if (const std::string why = inconsistency(layer, tokens, routing); !why.empty()) {
    choice.fail("the routing " + why);
    return {choice};
  }
  for (int token = 0; token < tokens.count; ++token) {
    const std::vector<Bounded> logits = logits_of(layer, tokens, token);
    const auto begin = static_cast<std::ptrdiff_t>(token) * routing.top_k;
    judge_choice(layer, logits, routing.expert.data() + begin, token, choice);
    const std::vector<Bounded> weights = weights_of(layer, logits, routing.expert.data() + begin);
    for (int j = 0; j < routing.top_k; ++j) {
      const Bounded& want = weights[static_cast<std::size_t>(j)];
      weight.compare(token, j, static_cast<double>(routing.weight[static_cast<std::size_t>(begin + j)]), want.value,
                     want.bound);
    }
  }
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
