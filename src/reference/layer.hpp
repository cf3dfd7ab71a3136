#pragma once

#include <span>
#include <vector>

#include "reference/judgement.hpp"
#include "spec/layer.hpp"

/// What is right, in double precision, with an error bound for each value. The reference shares no arithmetic with an
/// engine beyond the decoding of formats.
///
/// The layer, as every engine computes it. Roundings are to nearest, ties to even, subnormals are kept; u = 2^-24.
///
/// 1. Router. logits[t, e] = sum_h x[t, h] * router[e, h] in f32 or better, the sum as in step 3 and the same for every
///    expert, so that equal rows of the router tie. The top_k largest logits are chosen, largest first, the lower index
///    first among equals. weight = softmax over all experts, divided by the sum of the chosen ones if
///    layer.renormalize. Rows are (token, slot) pairs as Routing says.
/// 2. Quantization of a row of bf16 values (x, later h), as vLLM's dynamic_per_token_scaled_fp8_quant without an upper
///    bound does (vllm-project/vllm, csrc/quantization/w8a8/fp8/common.cu at
///    cda1b348585db9eada9405af6f4a38756371ef9b): scale = max(largest magnitude / 448, 1 / (448 * 512)) in f32;
///    code = e4m3(value / scale), saturating. It divides by the scale; it does not multiply by its reciprocal, which
///    its static kernel does. An all-zero row gets the floor as its scale and zeros, with their signs, as its codes.
/// 3. GEMM1. acc = sum_k x_code * w_code in f32: k in ascending steps of 32, within a step (the products and the sum so
///    far) any order, each addition rounded or as a tensor core adds (bounds.hpp). Then
///    gate_up[r, n] = (acc * w_scale[e, n]) * x_scale[r], each product rounded to f32: the order of vLLM's scaled
///    epilogue (csrc/cutlass_extensions/epilogue/scaled_mm_epilogues_c3x.hpp at
///    00c11f4df1e6aa6312e2374e63be41a8c78f1d66).
/// 4. h = bf16(silu(gate) * up) in f32, silu(g) = g / (1 + exp(-g)), exp within 4 units in the last place; then
///    quantized as in 2.
/// 5. GEMM2. down[r, n] from h's codes and scale as in 3.
/// 6. output[t, :] = sum over the slots j of weight[t, j] * down[row[t, j], :], in f32, products rounded or fused.
///
/// It is defined where all of these are finite: an infinity or a NaN anywhere fails.
namespace moesaic::reference {

/// The routing that an exact router chooses: logits and softmax in double, weights rounded once to f32. Here and below
/// hidden states are finite and fit the layer.
Routing route(const Layer& layer, const Tokens& tokens);

/// Whether a routing is admissible within the error of the logits. Stages: "routing" (row = token, column = slot; got =
/// the logit chosen, want = the largest one left) and "weights" (row = token, column = slot).
std::vector<Stage> judge_routing(const Layer& layer, const Tokens& tokens, const Routing& routing);

/// Judges a run stage by stage, each from the engine's own values of the stage before, so that each bound charges one
/// step only. Stages, in order: routing, weights, x_scales, x_codes, gate_up, h, h_scales, h_codes, down, output.
/// Scales and codes are compared bit for bit. Stops after the first stage whose values are missing or no routing.
Judgement judge(const Layer& layer, const Tokens& tokens, const Trace& trace);

/// What the outputs of a layer may be: [tokens, hidden] each.
struct Interval {
  int tokens = 0;
  int hidden = 0;
  std::vector<double> centre;
  std::vector<double> radius;
};

/// Every output that an engine may compute with this routing, its weights taken as they are. The radius charges the
/// arithmetic, and of the quantization of h only what can round differently within it.
Interval layer_interval(const Layer& layer, const Tokens& tokens, const Routing& routing, int step = 128);

/// Every output that a float32 computation without quantized activations may give: the weights dequantized, x as it is,
/// h neither rounded to bf16 nor quantized, sums in any order, the router too. That is what transformers' own block
/// computes on a dequantized checkpoint; that it lies inside shows that the checkpoint was read rightly. Of the routing
/// only the choice of experts counts. The centre is the layer in double precision.
Interval unquantized_interval(const Layer& layer, const Tokens& tokens, const Routing& routing);

/// The smallest interval that contains both: with layer_interval and unquantized_interval it holds an engine and a
/// float computation at once, since it charges the effect that quantization has on this input, and no more.
Interval hull(const Interval& a, const Interval& b);

/// The stage "output" (row = token, column = hidden) for outputs of which nothing else is known: [tokens, hidden].
Stage judge_output(const Interval& interval, std::span<const float> output);

}  // namespace moesaic::reference
