#include "reference/combination.hpp"

#include <cmath>
#include <cstddef>
#include <span>

#include "reference/norm.hpp"

namespace moesaic::reference {
namespace {

/// A sum of products of f32 values, each known within bounds, in any order.
class Products {
 public:
  void add(const Bounded& a, const Bounded& b) {
    const double largest = std::abs(b.value) + b.bound;
    sum_ += a.value * b.value;
    spread_ += std::abs(a.value) * b.bound + a.bound * largest;
    size_ += (std::abs(a.value) + a.bound) * largest;
    ++terms_;
  }
  Bounded value() const { return {sum_, spread_ + any_order_bound(terms_, size_)}; }

 private:
  int terms_ = 0;
  double sum_ = 0;
  double spread_ = 0;
  double size_ = 0;
};

Bounded sum_of(const Bounded& a, const Bounded& b) {
  const double value = a.value + b.value;
  const double spread = a.bound + b.bound;
  return {value, spread + kUnit * kSlack * (std::abs(value) + spread)};
}

/// Gemma 4's output of one token from what its experts and its dense MLP give.
std::vector<Bounded> normed(const Layer& layer, std::span<const Bounded> routed, std::span<const Bounded> dense) {
  std::vector<Bounded> sum = rms_norm(dense, layer.norms->after_dense, layer.epsilon);
  const std::vector<Bounded> other = rms_norm(routed, layer.norms->after_experts, layer.epsilon);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = sum_of(sum[i], other[i]);
  return rms_norm(sum, layer.norms->after, layer.epsilon);
}

}  // namespace

std::vector<Bounded> combine(const Layer& layer, const Routing& routing, const std::vector<Bounded>& weights,
                             const std::vector<Bounded>& down, const std::vector<Bounded>& shared_weights,
                             const std::vector<Bounded>& shared) {
  const auto hidden = static_cast<std::size_t>(layer.shape.hidden);
  const auto top_k = static_cast<std::size_t>(routing.top_k);
  std::vector<Bounded> out;
  out.reserve(static_cast<std::size_t>(routing.tokens) * hidden);
  for (std::size_t token = 0; token < static_cast<std::size_t>(routing.tokens); ++token) {
    std::vector<Bounded> of_token;
    for (std::size_t i = 0; i < hidden; ++i) {
      Products sum;
      for (std::size_t pair = token * top_k; pair < (token + 1) * top_k; ++pair) {
        sum.add(weights[pair], down[static_cast<std::size_t>(routing.row[pair]) * hidden + i]);
      }
      if (!shared.empty() && !layer.norms) sum.add(shared_weights[token], shared[token * hidden + i]);
      of_token.push_back(sum.value());
    }
    if (layer.norms) of_token = normed(layer, of_token, std::span(shared).subspan(token * hidden, hidden));
    out.insert(out.end(), of_token.begin(), of_token.end());
  }
  return out;
}

}  // namespace moesaic::reference
