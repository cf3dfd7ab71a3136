#pragma once

#include "spec/layer.hpp"

namespace moesaic::engine {

/// Chooses the experts of each token on the host: logits and softmax in double, weights rounded once to f32; the top_k
/// largest logits, ties to the lower index. Shared by all engines for now. Uses up to `threads` threads; 0: all cores.
/// Throws Error when tokens.hidden is not the layer's, when there are not count * hidden values, or when a value is NaN
/// or infinite.
Routing route(const Layer& layer, const Tokens& tokens, int threads = 0);

}  // namespace moesaic::engine
