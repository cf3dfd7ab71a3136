#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spec/formats.hpp"
#include "spec/scheme.hpp"
#include "spec/scoring.hpp"

/// An MoE layer in memory, and what is known of one run through it. Plain data: checkpoint fills a Layer, engines read
/// it and fill a Trace, reference judges the Trace. All matrices are dense and row-major, the last dimension
/// contiguous.
namespace moesaic {

/// The dimensions of a layer.
struct Shape {
  int experts = 0;
  int top_k = 0;         ///< experts chosen for each token
  int hidden = 0;        ///< H: width of a token
  int width = 0;         ///< I: width of one expert
  int shared_width = 0;  ///< width of the shared expert, or of Gemma 4's dense MLP; 0: there is none
};

/// One projection of all experts: out[r, n] = sum_k x[r, k] * w[e, n, k] + bias[e, n].
///
/// gate_up has two parts, the rows of gate and then those of up; down has one. Blocks of fp8_block begin anew with each
/// part, so each part of N / parts rows has ceil(N / parts / 128) of them.
struct Experts {
  int experts = 0;
  int rows = 0;   ///< N: output channels, of all parts
  int cols = 0;   ///< K: input channels, contiguous
  int parts = 1;  ///< matrices that stand on top of each other in the N rows
  Scheme scheme{};
  /// [experts, rows, row_bytes()]: bf16 little-endian, e4m3, or two e2m1 in a byte, the even column in the low bits.
  std::vector<std::uint8_t> codes;
  /// fp8_channel, nvfp4: [experts, rows]; fp8_block: [experts, parts * part_blocks(), ceil(cols / 128)]; else empty.
  std::vector<float> scales;
  /// nvfp4: ue4m3 [experts, rows, cols / 16]; mxfp4: ue8m0 [experts, rows, cols / 32]; else empty.
  std::vector<std::uint8_t> group_scales;
  /// fp8_static, nvfp4 inputs: [experts]; the largest where the parts differ. Else empty.
  std::vector<float> input_scales;
  std::vector<float> bias;  ///< [experts, rows], or empty

  std::size_t row_bytes() const {
    return static_cast<std::size_t>(cols) * static_cast<std::size_t>(weight_bits(scheme.weights)) / 8;
  }
  /// Rows of blocks in one part, for fp8_block.
  int part_blocks() const { return (rows / parts + kBlockSide - 1) / kBlockSide; }
  /// Index in `scales` of the block that holds (n, k) of expert e, for fp8_block.
  std::size_t block_index(int e, int n, int k) const {
    const int part_rows = rows / parts;
    const int block = n / part_rows * part_blocks() + n % part_rows / kBlockSide;
    const int across = (cols + kBlockSide - 1) / kBlockSide;
    return (static_cast<std::size_t>(e) * static_cast<std::size_t>(parts * part_blocks()) +
            static_cast<std::size_t>(block)) *
               static_cast<std::size_t>(across) +
           static_cast<std::size_t>(k / kBlockSide);
  }
};

/// What stands between the GEMMs: h = f(gate) * up, in f32 from the sums of the first.
enum class Activation : std::uint8_t {
  swiglu,          ///< silu(gate) * up
  geglu_tanh,      ///< gelu by tanh (gate) * up
  swiglu_clamped,  ///< gate <= limit, up in [-limit, limit]: (up + 1) * gate * sigmoid(alpha * gate)
};

/// The router: logits[t, e] = sum_h x[t, h] * weight[e, h] + bias[e].
struct Router {
  Scoring scoring = Scoring::softmax;
  std::vector<float> weight;        ///< [experts, hidden]; exact in bf16 unless the checkpoint has f32
  std::vector<float> bias;          ///< [experts], or empty
  bool renormalize = true;          ///< the chosen weights are divided by their sum (sigmoid: by the sum + 1e-20)
  std::vector<float> correction;    ///< [experts], or empty: counts for the choice, not for the weights
  int groups = 1;                   ///< experts / groups of them each; a group's score is the sum of its best 2
  int top_groups = 1;               ///< groups that stay
  float scale = 1;                  ///< multiplies every weight (routed_scaling_factor)
  std::vector<float> expert_scale;  ///< [experts], or empty: multiplies the expert's weight after renormalising
  /// [hidden], or empty. Gemma 4: the router sees x / rms(x) * input_scale[h] * hidden^-1/2.
  std::vector<float> input_scale;
};

/// The norms around Gemma 4's feed-forward: x / sqrt(mean(x^2) + epsilon) * weight. Each [hidden].
///   dense = shared expert of before_dense(x), routed = experts of before_experts(x)
///   output = after(after_dense(dense) + after_experts(routed))
struct BlockNorms {
  std::vector<float> before_dense;
  std::vector<float> before_experts;
  std::vector<float> after_dense;
  std::vector<float> after_experts;
  std::vector<float> after;
};

/// One MoE block of a model.
struct Layer {
  std::string name;  ///< as in the checkpoint, for instance "model.layers.0.mlp"
  Shape shape;
  Activation activation = Activation::swiglu;
  float swiglu_alpha = 1.702F;  ///< of swiglu_clamped
  float swiglu_limit = 7.0F;    ///< of swiglu_clamped
  float epsilon = 1e-6F;        ///< of the norms and of the router's
  Router router;
  Experts gate_up;  ///< [experts, 2 * width, hidden], two parts
  Experts down;     ///< [experts, hidden, width]
  /// The shared expert as an Experts with one expert; experts 0 when shape.shared_width is 0. It is added unscaled, or
  /// times sigmoid(shared_gate . x) when shared_gate is not empty.
  Experts shared_gate_up;
  Experts shared_down;
  std::vector<float> shared_gate;  ///< [hidden], or empty
  std::optional<BlockNorms> norms;
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

/// Activations as they enter a GEMM, R rows of K values, in the form that an InputScheme says.
struct Quantized {
  std::vector<std::uint8_t> codes;         ///< [R, K] e4m3; nvfp4: [R, K / 2]; bf16: empty
  std::vector<float> scales;               ///< fp8_static, fp8_token: [R]; fp8_group: [R, ceil(K / 128)]; else empty
  std::vector<std::uint8_t> group_scales;  ///< nvfp4: ue4m3 [R, K / 16]; mxfp8: ue8m0 [R, K / 32]; else empty
};

/// What passes through one set of experts: R rows, for the routed ones tokens * top_k sorted as Routing says, for the
/// shared one the tokens.
struct Pass {
  Quantized x;                   ///< [R, hidden]
  std::vector<float> gate_up;    ///< [R, 2 * width]: GEMM1, scaled, with its bias
  std::vector<std::uint16_t> h;  ///< [R, width] bf16
  Quantized h_quantized;         ///< [R, width]
  std::vector<float> down;       ///< [R, hidden]: GEMM2, scaled, with its bias
};

/// Every intermediate value of one run, as the engine computed it, for the reference to judge stage by stage.
struct Trace {
  /// How many k the engine's GEMMs add in any order at a time (reference/layer.hpp, step 3): 32 in a tensor core.
  int step = 32;
  /// What the experts' and the shared expert's norms made of the tokens, [tokens, hidden] bf16; empty
  /// when the layer has none: they then see the tokens.
  std::vector<std::uint16_t> experts_input;
  std::vector<std::uint16_t> shared_input;
  Routing routing;
  std::vector<float> logits;  ///< [tokens, experts], what the routing was chosen by; empty when the engine has them not
                              ///< in f32: then a routing is right if it is admissible within the error of the logits
  Pass experts;
  Pass shared;                       ///< empty when the layer has no shared expert
  std::vector<float> shared_weight;  ///< [tokens]: sigmoid(shared_gate . x); empty without a gate
  std::vector<float> output;         ///< [tokens, hidden]: the rows of a token, weighted and added in slot order, then
                                     ///< the shared expert's
};

}  // namespace moesaic
