#pragma once

#include <vector>

#include "spec/layer.hpp"

namespace moesaic::engine {

/// x / sqrt(mean(x^2) + epsilon) * weight in double, for a row; an empty weight is all ones.
std::vector<double> rms_norm(const std::vector<double>& x, const std::vector<float>& weight, float epsilon);

/// The norm of each token, rounded once to bf16: [count, hidden].
std::vector<std::uint16_t> norm_tokens(const Tokens& tokens, const std::vector<float>& weight, float epsilon,
                                       int threads);

/// Row `index` of the tokens, in double.
std::vector<double> token_values(const Tokens& tokens, int index);

}  // namespace moesaic::engine
