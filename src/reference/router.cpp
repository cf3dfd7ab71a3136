#include "reference/router.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

#include "reference/norm.hpp"

namespace moesaic::reference {
namespace {

/// A logit: the sum of x[h] * w[h]. Products of bf16 are exact; those of f32 weights, or of a norm's results, may be
/// rounded.
Bounded dot(const std::vector<Bounded>& x, std::span<const float> w, Order order) {
  const auto count = static_cast<int>(x.size());
  std::array<SumBound, kRouterChains> chains;
  chains.fill(SumBound(kRouterRun));
  for (int run = 0; run * kRouterRun < count; ++run) {
    double sum = 0;
    double size = 0;
    double spread = 0;
    for (int k = run * kRouterRun; k < std::min((run + 1) * kRouterRun, count); ++k) {
      const auto i = static_cast<std::size_t>(k);
      const auto weight = static_cast<double>(w[i]);
      sum += x[i].value * weight;
      size += (std::abs(x[i].value) + x[i].bound) * std::abs(weight);
      spread += x[i].bound * std::abs(weight);
    }
    chains[static_cast<std::size_t>(run % kRouterChains)].step(sum, size, spread);
  }
  for (std::size_t apart = kRouterChains / 2; apart > 0; apart /= 2) {
    for (std::size_t i = 0; i < apart; ++i) chains[i].add(chains[i + apart]);
  }
  const SumBound& total = chains[0];
  if (total.size() == 0) return {0, 0};
  const double additions = order == Order::chains ? total.error() : any_order_bound(count, total.size());
  return {total.value(), additions + total.spread() + kUnit * kSlack * total.size()};
}

/// What the router sees: x itself, or Gemma 4's norm of it.
std::vector<Bounded> router_input(const Layer& layer, const Tokens& tokens, int token) {
  std::vector<Bounded> x = token_values(tokens, token);
  if (layer.router.input_scale.empty()) return x;
  x = rms_norm(x, layer.router.input_scale, layer.epsilon);
  const double root = std::sqrt(static_cast<double>(x.size()));
  for (Bounded& v : x) {
    const double value = v.value / root;
    v = {value, v.bound / root + 2 * kUnit * kSlack * (std::abs(value) + v.bound / root)};
  }
  return x;
}

/// The sigmoid at the ends of the argument's interval; 4 units in the last place of exp (8 u), the addition and the
/// division; where exp overflows, anything below 2^-125.
Bounded sigmoid(Bounded x) {
  const auto at = [](double v) { return 1 / (1 + std::exp(-v)); };
  const double value = at(x.value);
  const double off = std::max(at(x.value + x.bound) - value, value - at(x.value - x.bound));
  return {value, off + 10 * kUnit * kSlack * (value + off) + 0x1p-125};
}

/// Relative error: logits off by d move each exponential by at most exp(d), and the sum likewise; u |logit - largest|
/// from the subtraction before exp; exp within 4 units in the last place (8 u) above and below the line; a sum of
/// `experts` terms and one of top_k, two divisions, two scales, one rounding of the result.
std::vector<Bounded> softmax_weights(const Layer& layer, const std::vector<Bounded>& logits,
                                     std::span<const std::int32_t> chosen) {
  const bool over_chosen = layer.router.scoring == Scoring::chosen_softmax || layer.router.renormalize;
  double largest = logits[0].value;
  for (const Bounded& logit : logits) largest = std::max(largest, logit.value);
  double sum = 0;
  double off = 0;
  const auto add = [&](const Bounded& logit) {
    sum += std::exp(logit.value - largest);
    off = std::max(off, logit.bound);
  };
  if (over_chosen) {
    for (const std::int32_t e : chosen) add(logits[static_cast<std::size_t>(e)]);
  } else {
    for (const Bounded& logit : logits) add(logit);
  }
  std::vector<Bounded> weights;
  for (const std::int32_t e : chosen) {
    const double below = largest - logits[static_cast<std::size_t>(e)].value;
    const double weight = std::exp(-below) / sum;
    // No weight is above 1, however far off the logits may be.
    const double moved = off < 1 ? weight * std::expm1(2 * off) : std::min(1.0, std::exp(2 * off - below) / sum);
    const double roundings = static_cast<double>(logits.size() + chosen.size()) + 22 + below + 1;
    weights.push_back({weight, (moved + weight * roundings * kUnit) * kSlack + 0x1p-126});
  }
  return weights;
}

std::vector<Bounded> sigmoid_weights(const Layer& layer, const std::vector<Bounded>& logits,
                                     std::span<const std::int32_t> chosen) {
  std::vector<Bounded> shares;
  double sum = layer.router.renormalize ? 1e-20 : 1;
  double off = 0;
  for (const std::int32_t e : chosen) {
    shares.push_back(sigmoid(logits[static_cast<std::size_t>(e)]));
    if (!layer.router.renormalize) continue;
    sum += shares.back().value;
    off += shares.back().bound;
  }
  const double least = sum - off;
  std::vector<Bounded> weights;
  for (const Bounded& share : shares) {
    const double weight = share.value / sum;
    const double hi = least > 0 ? (share.value + share.bound) / least : 1;
    const double lo = std::max(0.0, share.value - share.bound) / (sum + off);
    const double roundings = (static_cast<double>(chosen.size()) + 5) * kUnit * kSlack;
    weights.push_back({weight, std::max(hi - weight, weight - lo) + roundings * std::max(hi, weight) + 0x1p-126});
  }
  return weights;
}

}  // namespace

std::vector<Bounded> token_values(const Tokens& tokens, int token) {
  const auto first = tokens.values.begin() + static_cast<std::ptrdiff_t>(token) * tokens.hidden;
  std::vector<Bounded> values;
  std::transform(first, first + tokens.hidden, std::back_inserter(values), [](std::uint16_t code) {
    return Bounded{static_cast<double>(decode_bf16(code)), 0};
  });
  return values;
}

std::vector<Bounded> logits_of(const Layer& layer, const Tokens& tokens, int token, Order order) {
  const std::vector<Bounded> x = router_input(layer, tokens, token);
  std::vector<Bounded> logits;
  for (std::size_t e = 0; e < static_cast<std::size_t>(layer.shape.experts); ++e) {
    const Bounded logit = dot(x, std::span(layer.router.weight).subspan(e * x.size(), x.size()), order);
    logits.push_back(biased(logit, layer.router.bias.empty() ? 0 : static_cast<double>(layer.router.bias[e])));
  }
  return logits;
}

std::vector<Bounded> scores_of(const Router& router, const std::vector<Bounded>& logits) {
  if (router.scoring != Scoring::sigmoid) return logits;
  std::vector<Bounded> scores;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    scores.push_back(
        biased(sigmoid(logits[e]), router.correction.empty() ? 0 : static_cast<double>(router.correction[e])));
  }
  return scores;
}

std::vector<Bounded> group_scores_of(const Router& router, const std::vector<Bounded>& scores) {
  std::vector<Bounded> groups;
  if (router.scoring != Scoring::sigmoid || router.groups == router.top_groups) return groups;
  const std::size_t size = scores.size() / static_cast<std::size_t>(router.groups);
  for (std::size_t first = 0; first < scores.size(); first += size) {
    std::vector<double> values;
    double bound = 0;
    for (std::size_t e = first; e < first + size; ++e) {
      values.push_back(scores[e].value);
      bound = std::max(bound, scores[e].bound);
    }
    std::sort(values.begin(), values.end(), std::greater<>());
    const double score = values[0] + (size > 1 ? values[1] : 0);
    groups.push_back({score, 2 * bound + kUnit * kSlack * (std::abs(score) + 2 * bound)});
  }
  return groups;
}

std::vector<Bounded> weights_of(const Layer& layer, const std::vector<Bounded>& logits, const std::int32_t* chosen) {
  const std::span<const std::int32_t> experts(chosen, static_cast<std::size_t>(layer.shape.top_k));
  const Router& router = layer.router;
  std::vector<Bounded> weights = router.scoring == Scoring::sigmoid ? sigmoid_weights(layer, logits, experts)
                                                                    : softmax_weights(layer, logits, experts);
  for (std::size_t j = 0; j < weights.size(); ++j) {
    const auto e = static_cast<std::size_t>(experts[j]);
    const double factor = static_cast<double>(router.scale) *
                          (router.expert_scale.empty() ? 1.0 : static_cast<double>(router.expert_scale[e]));
    weights[j] = {weights[j].value * factor, weights[j].bound * std::abs(factor)};
  }
  return weights;
}

Bounded shared_weight_of(const Layer& layer, const Tokens& tokens, int token, Order order) {
  if (layer.shared_gate.empty()) return {1, 0};
  return sigmoid(dot(token_values(tokens, token), layer.shared_gate, order));
}

}  // namespace moesaic::reference
