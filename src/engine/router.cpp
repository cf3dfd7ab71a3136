#include "engine/router.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <thread>
#include <vector>

#include "spec/error.hpp"
#include "spec/parallel.hpp"

namespace moesaic::engine {
namespace {

void check(const Layer& layer, const Tokens& tokens) {
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

/// [experts]: the logits of one token, x: [hidden].
std::vector<double> logits_of(const Layer& layer, const std::vector<float>& router, const std::vector<double>& x) {
  std::vector<double> logits;
  for (std::size_t e = 0; e < static_cast<std::size_t>(layer.shape.experts); ++e) {
    double sum = 0;
    for (std::size_t h = 0; h < x.size(); ++h) sum += x[h] * static_cast<double>(router[e * x.size() + h]);
    logits.push_back(sum);
  }
  return logits;
}

/// Writes the top_k experts of one token, best first, and their weights.
void choose(const Layer& layer, const std::vector<double>& logits, std::int32_t* expert, float* weight) {
  const auto top_k = static_cast<std::size_t>(layer.shape.top_k);
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](std::int32_t e) { return logits[static_cast<std::size_t>(e)]; };
  std::partial_sort(order.begin(), order.begin() + layer.shape.top_k, order.end(),
                    [&](auto a, auto b) { return logit(a) > logit(b) || (logit(a) == logit(b) && a < b); });
  const auto share = [&](std::int32_t e) { return std::exp(logit(e) - logit(order[0])); };
  const auto last = layer.router.renormalize ? order.begin() + layer.shape.top_k : order.end();
  const double all = std::transform_reduce(order.begin(), last, 0.0, std::plus<>(), share);
  for (std::size_t j = 0; j < top_k; ++j) {
    expert[j] = order[j];
    weight[j] = static_cast<float>(share(order[j]) / all);
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

Routing route(const Layer& layer, const Tokens& tokens, int threads) {
  check(layer, tokens);
  if (threads == 0) threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const std::vector<float>& router = layer.router.weight;
  Routing routing;
  routing.tokens = tokens.count;
  routing.top_k = layer.shape.top_k;
  routing.expert.resize(static_cast<std::size_t>(tokens.count) * static_cast<std::size_t>(routing.top_k));
  routing.weight.resize(routing.expert.size());
  parallel_for(threads, tokens.count, [&](int token) {
    const auto values = tokens.values.begin() + static_cast<std::ptrdiff_t>(token) * tokens.hidden;
    std::vector<double> x(static_cast<std::size_t>(tokens.hidden));
    std::transform(values, values + tokens.hidden, x.begin(), decode_bf16);
    const auto pair = static_cast<std::ptrdiff_t>(token) * routing.top_k;
    choose(layer, logits_of(layer, router, x), routing.expert.data() + pair, routing.weight.data() + pair);
  });
  sort_rows(routing, layer.shape.experts);
  return routing;
}

}  // namespace moesaic::engine
