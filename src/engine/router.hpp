#pragma once

#include "spec/layer.hpp"

namespace moesaic::engine {

/// Throws Error when tokens.hidden is not the layer's, when there are not count * hidden values, or when a value is NaN
/// or infinite.
void check_tokens(const Layer& layer, const Tokens& tokens);

/// Chooses the experts of each token on the host: logits and what follows from them in double, weights rounded once to
/// f32; ties go to the lower index. Uses up to `threads` threads; 0: all cores. Throws as check_tokens() does.
Routing route(const Layer& layer, const Tokens& tokens, int threads = 0);

/// sigmoid(shared_gate . x) of each token, [count]; empty when the layer has no such gate.
std::vector<float> shared_weights(const Layer& layer, const Tokens& tokens, int threads = 0);

}  // namespace moesaic::engine
