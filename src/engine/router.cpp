#include "engine/router.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "engine/norm.hpp"
#include "spec/error.hpp"
#include "spec/parallel.hpp"

namespace moesaic::engine {
namespace {

/// What the router sees of a token: x itself, or Gemma 4's norm of it.
std::vector<double> router_input(const Layer& layer, const Tokens& tokens, int token) {
  std::vector<double> x = token_values(tokens, token);
  if (layer.router.input_scale.empty()) return x;
  x = rms_norm(x, layer.router.input_scale, layer.epsilon);
  const double root = std::sqrt(static_cast<double>(x.size()));
  for (double& value : x) value /= root;
  return x;
}

/// [experts]: the logits of one token. Each is one sum in ascending h, so that equal rows of the router tie; eight of
/// them at a time, since one would wait for its own last addition.
std::vector<double> logits_of(const Layer& layer, const std::vector<double>& x) {
  constexpr std::size_t kTogether = 8;
  const auto experts = static_cast<std::size_t>(layer.shape.experts);
  std::vector<double> logits;
  for (std::size_t e = 0; e < experts; e += kTogether) {
    std::array<double, kTogether> sums{};
    const std::size_t count = std::min(kTogether, experts - e);
    const float* rows = layer.router.weight.data() + e * x.size();
    if (count == kTogether) {
      for (std::size_t h = 0; h < x.size(); ++h) {
        for (std::size_t i = 0; i < kTogether; ++i) sums[i] += x[h] * static_cast<double>(rows[i * x.size() + h]);
      }
    } else {
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t h = 0; h < x.size(); ++h) sums[i] += x[h] * static_cast<double>(rows[i * x.size() + h]);
      }
    }
    logits.insert(logits.end(), sums.begin(), sums.begin() + static_cast<std::ptrdiff_t>(count));
  }
  for (std::size_t e = 0; e < layer.router.bias.size(); ++e) logits[e] += static_cast<double>(layer.router.bias[e]);
  return logits;
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

/// The `count` indices with the largest values, best first, ties to the lower index.
std::vector<std::int32_t> best_of(const std::vector<double>& values, int count) {
  std::vector<std::int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](std::int32_t i) { return values[static_cast<std::size_t>(i)]; };
  std::partial_sort(order.begin(), order.begin() + count, order.end(),
                    [&](auto a, auto b) { return value(a) > value(b) || (value(a) == value(b) && a < b); });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

/// Takes the experts of the groups that lose out of the choice.
void keep_best_groups(const Router& router, std::vector<double>& choice) {
  if (router.top_groups == router.groups) return;
  const std::size_t size = choice.size() / static_cast<std::size_t>(router.groups);
  std::vector<double> scores;
  for (std::size_t first = 0; first < choice.size(); first += size) {
    double best = choice[first];
    double second = size == 1 ? 0 : -std::numeric_limits<double>::infinity();
    for (std::size_t e = first + 1; e < first + size; ++e) {
      second = std::max(second, std::min(best, choice[e]));
      best = std::max(best, choice[e]);
    }
    scores.push_back(best + second);
  }
  const std::vector<std::int32_t> staying = best_of(scores, router.top_groups);
  for (std::size_t e = 0; e < choice.size(); ++e) {
    const bool stays = std::find(staying.begin(), staying.end(), static_cast<std::int32_t>(e / size)) != staying.end();
    if (!stays) choice[e] = -std::numeric_limits<double>::infinity();
  }
}

/// Writes the top_k experts of one token, best first, and their weights.
void choose(const Layer& layer, const std::vector<double>& logits, std::int32_t* expert, float* weight) {
  const Router& router = layer.router;
  std::vector<double> shares(logits.size());  // what the weights are made of, by expert
  std::vector<double> choice = logits;
  const double largest = *std::max_element(logits.begin(), logits.end());
  if (router.scoring == Scoring::sigmoid) {
    std::transform(logits.begin(), logits.end(), shares.begin(), sigmoid);
    choice = shares;
    for (std::size_t e = 0; e < router.correction.size(); ++e) choice[e] += static_cast<double>(router.correction[e]);
    keep_best_groups(router, choice);
  } else {
    std::transform(logits.begin(), logits.end(), shares.begin(), [&](double l) { return std::exp(l - largest); });
  }
  const std::vector<std::int32_t> chosen = best_of(choice, layer.shape.top_k);
  const auto share = [&](std::int32_t e) { return shares[static_cast<std::size_t>(e)]; };
  double sum = std::transform_reduce(chosen.begin(), chosen.end(), 0.0, std::plus<>(), share);
  if (router.scoring == Scoring::sigmoid) {
    sum = router.renormalize ? sum + 1e-20 : 1;
  } else if (router.scoring == Scoring::softmax && !router.renormalize) {
    sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  }
  for (std::size_t j = 0; j < chosen.size(); ++j) {
    const auto e = static_cast<std::size_t>(chosen[j]);
    const double of_expert = router.expert_scale.empty() ? 1.0 : static_cast<double>(router.expert_scale[e]);
    expert[j] = chosen[j];
    weight[j] = static_cast<float>(shares[e] / sum * static_cast<double>(router.scale) * of_expert);
  }
}

/// Sets row and first from the experts: a counting sort, stable, so that an expert's rows are in order of tokens.
void sort_rows(Routing& routing, int experts) {
  routing.first.assign(static_cast<std::size_t>(experts) + 1, 0);
  for (const std::int32_t e : routing.expert) ++routing.first[static_cast<std::size_t>(e) + 1];
  std::partial_sum(routing.first.begin(), routing.first.end(), routing.first.begin());
  std::vector<std::int32_t> next(routing.first.begin(), routing.first.end() - 1);
  routing.row.reserve(routing.expert.size());
  for (const std::int32_t e : routing.expert) routing.row.push_back(next[static_cast<std::size_t>(e)]++);
}

}  // namespace

void check_tokens(const Layer& layer, const Tokens& tokens) {
  if (tokens.hidden != layer.shape.hidden) {
    throw Error(
        fmt::format("the hidden states have width {}, but {} takes {}", tokens.hidden, layer.name, layer.shape.hidden));
  }
  const std::size_t want = static_cast<std::size_t>(tokens.count) * static_cast<std::size_t>(tokens.hidden);
  if (tokens.count < 0 || tokens.values.size() != want) {
    throw Error(fmt::format("there are {} hidden values for {} tokens of width {}; there should be {} x {}",
                            tokens.values.size(), tokens.count, tokens.hidden, tokens.count, tokens.hidden));
  }
  constexpr std::uint16_t kExponent = 0x7f80;
  const auto bad = std::find_if(tokens.values.begin(), tokens.values.end(),
                                [](std::uint16_t code) { return (code & kExponent) == kExponent; });
  if (bad == tokens.values.end()) return;
  const auto at = bad - tokens.values.begin();
  throw Error(fmt::format("hidden state {} of token {} is {}; hidden states must be finite", at % tokens.hidden,
                          at / tokens.hidden, decode_bf16(*bad)));
}

Routing route(const Layer& layer, const Tokens& tokens, int threads) {
  check_tokens(layer, tokens);
  Routing routing;
  routing.tokens = tokens.count;
  routing.top_k = layer.shape.top_k;
  routing.expert.resize(static_cast<std::size_t>(tokens.count) * static_cast<std::size_t>(routing.top_k));
  routing.weight.resize(routing.expert.size());
  parallel_for(threads, tokens.count, [&](int token) {
    const auto pair = static_cast<std::ptrdiff_t>(token) * routing.top_k;
    choose(layer, logits_of(layer, router_input(layer, tokens, token)), routing.expert.data() + pair,
           routing.weight.data() + pair);
  });
  sort_rows(routing, layer.shape.experts);
  return routing;
}

std::vector<float> shared_weights(const Layer& layer, const Tokens& tokens, int threads) {
  if (layer.shared_gate.empty()) return {};
  std::vector<float> weights(static_cast<std::size_t>(tokens.count));
  parallel_for(threads, tokens.count, [&](int token) {
    const std::vector<double> x = token_values(tokens, token);
    double sum = 0;
    for (std::size_t h = 0; h < x.size(); ++h) sum += x[h] * static_cast<double>(layer.shared_gate[h]);
    weights[static_cast<std::size_t>(token)] = static_cast<float>(sigmoid(sum));
  });
  return weights;
}

}  // namespace moesaic::engine
