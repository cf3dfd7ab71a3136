#include "engine/norm.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "spec/parallel.hpp"

namespace moesaic::engine {

std::vector<double> token_values(const Tokens& tokens, int index) {
  const auto first = tokens.values.begin() + static_cast<std::ptrdiff_t>(index) * tokens.hidden;
  std::vector<double> values(static_cast<std::size_t>(tokens.hidden));
  std::transform(first, first + tokens.hidden, values.begin(), decode_bf16);
  return values;
}

std::vector<double> rms_norm(const std::vector<double>& x, const std::vector<float>& weight, float epsilon) {
  const double squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
  const double root = std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(epsilon));
  std::vector<double> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = x[i] / root * (weight.empty() ? 1.0 : static_cast<double>(weight[i]));
  }
  return out;
}

std::vector<std::uint16_t> norm_tokens(const Tokens& tokens, const std::vector<float>& weight, float epsilon,
                                       int threads) {
  std::vector<std::uint16_t> out(tokens.values.size());
  parallel_for(threads, tokens.count, [&](int token) {
    const std::vector<double> row = rms_norm(token_values(tokens, token), weight, epsilon);
    std::transform(row.begin(), row.end(), out.begin() + static_cast<std::ptrdiff_t>(token) * tokens.hidden,
                   [](double value) { return encode_bf16(static_cast<float>(value)); });
  });
  return out;
}

}  // namespace moesaic::engine
