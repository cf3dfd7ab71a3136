#include "engine/activation.hpp"

#include <algorithm>
#include <cmath>

namespace moesaic::engine {
namespace {

float sigmoid(float x) {
  return 1.0F / (1.0F + std::exp(-x));
}

/// x / 2 * (1 + tanh(z)) is x * sigmoid(2 z), where nothing cancels.
float gelu_tanh(float x) {
  constexpr float kTwoRootTwoOverPi = 1.5957691F;  // 2 sqrt(2 / pi)
  return x * sigmoid(kTwoRootTwoOverPi * (x + 0.044715F * x * x * x));
}

template <typename Function>
void each(const float* gate_up, int width, std::uint16_t* h, const Function& function) {
  for (int i = 0; i < width; ++i) h[i] = encode_bf16(function(gate_up[i], gate_up[width + i]));
}

}  // namespace

void activate_row(const Layer& layer, const float* gate_up, int width, std::uint16_t* h) {
  switch (layer.activation) {
    case Activation::swiglu:
      return each(gate_up, width, h, [](float gate, float up) { return gate / (1.0F + std::exp(-gate)) * up; });
    case Activation::geglu_tanh:
      return each(gate_up, width, h, [](float gate, float up) { return gelu_tanh(gate) * up; });
    case Activation::swiglu_clamped: {
      const float alpha = layer.swiglu_alpha;
      const float limit = layer.swiglu_limit;
      return each(gate_up, width, h, [alpha, limit](float gate, float up) {
        const float g = std::min(gate, limit);
        return (std::clamp(up, -limit, limit) + 1.0F) * (g * sigmoid(alpha * g));
      });
    }
  }
}

}  // namespace moesaic::engine
