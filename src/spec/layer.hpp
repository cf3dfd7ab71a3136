#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spec/formats.hpp"

/// An MoE layer in memory, and what is known of one run through it. Plain data: checkpoint fills a Layer, engines read
/// it and fill a Trace, reference judges the Trace. All matrices are dense and row-major, the last dimension
/// contiguous.
namespace moesaic {

/// The dimensions of a layer.
struct Shape {
  int experts = 0;
  int top_k = 0;   ///< experts chosen for each token
  int hidden = 0;  ///< H: width of a token
  int width = 0;   ///< I: width of one expert
};

/// Expert matrices in FP8 with one scale per output channel: w[e, n, k] = decode_e4m3(codes[e, n, k]) * scales[e, n].
struct Fp8Experts {
  int experts = 0;
  int rows = 0;                     ///< N: output channels
  int cols = 0;                     ///< K: input channels, contiguous
  std::vector<std::uint8_t> codes;  ///< [experts, rows, cols] e4m3
  std::vector<float> scales;        ///< [experts, rows]
};

/// A Qwen3-MoE block: softmax router, top-k, SwiGLU experts; FP8 channel weights, dynamic per-token FP8 activations.
struct Layer {
  std::string name;  ///< as in the checkpoint, for instance "model.layers.0.mlp"
  Shape shape;
  bool renormalize = true;            ///< the chosen weights are divided by their sum (norm_topk_prob)
  std::vector<std::uint16_t> router;  ///< [experts, hidden] bf16
  Fp8Experts gate_up;                 ///< [experts, 2 * width, hidden], gate rows first
  Fp8Experts down;                    ///< [experts, hidden, width]
};

/// Hidden states that enter a layer: [tokens, hidden] bf16.
struct Tokens {
  int count = 0;
  int hidden = 0;
  std::vector<std::uint16_t> values;
};

/// Which experts each token goes to. `slot` j of a token is its j-th best expert; ties go to the lower index.
struct Routing {
  int tokens = 0;
  int top_k = 0;
  std::vector<std::int32_t> expert;  ///< [tokens, top_k]
  std::vector<float> weight;         ///< [tokens, top_k]
  /// Rows of the grouped GEMMs are (token, slot) pairs sorted by expert, within an expert by token.
  std::vector<std::int32_t> row;    ///< [tokens, top_k]: the row of each pair
  std::vector<std::int32_t> first;  ///< [experts + 1]: rows of expert e are [first[e], first[e + 1])
};

/// Every intermediate value of one run, as the engine computed it, for the reference to judge stage by stage.
/// R = tokens * top_k rows, sorted as Routing says.
struct Trace {
  Routing routing;
  std::vector<std::uint8_t> x_codes;  ///< [R, hidden] e4m3: the quantized tokens
  std::vector<float> x_scales;        ///< [R]
  std::vector<float> gate_up;         ///< [R, 2 * width]: GEMM1, scaled
  std::vector<std::uint16_t> h;       ///< [R, width] bf16: silu(gate) * up
  std::vector<std::uint8_t> h_codes;  ///< [R, width] e4m3
  std::vector<float> h_scales;        ///< [R]
  std::vector<float> down;            ///< [R, hidden]: GEMM2, scaled
  std::vector<float> output;          ///< [tokens, hidden]: the rows of a token, weighted and added in slot order
};

}  // namespace moesaic
