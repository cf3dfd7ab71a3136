#pragma once

#include <span>
#include <vector>

#include "reference/judgement.hpp"
#include "spec/layer.hpp"

/// What is right, in double precision, with an error bound for each value. The reference shares no arithmetic with an
/// engine beyond the decoding of formats.
///
/// The layer, as every engine computes it. Roundings are to nearest, ties to even, subnormals are kept; u = 2^-24. What
/// stored weights mean is said in spec/scheme.hpp; scales per tensor have become scales per channel, exactly.
///
/// 0. Norms (Gemma 4). norm(x) = x / sqrt(mean(x^2) + epsilon) * weight in f32 or better. What the experts and the
/// dense
///    MLP (the layer's shared expert) take is rounded to bf16, since the model hands bf16 tensors from module to
///    module: Trace::experts_input and shared_input. Without norms both take x. The router, and a shared expert's gate,
///    take x.
/// 1. Router. logits[t, e] = sum_h x[t, h] * weight[e, h] + bias[e] in f32 or better, products rounded or fused.
///    The sum is one of 32 chains: chain c adds, from zero and in ascending h, the runs of 8 h whose number h / 8 is c
///    mod 32, each run in any order; then the chains are added in pairs, c and c + 16, then c + 8, c + 4, c + 2, c + 1.
///    It is the same for every expert, so that equal rows of the router tie. With input_scale the router takes norm(x)
///    with that weight, divided by sqrt(hidden), not rounded to bf16. An expert's score is its logit; with
///    Scoring::sigmoid it is sigmoid(logit) + correction[e], and only the experts of the top_groups groups stay whose
///    best two scores have the largest sums. The top_k largest scores are chosen, largest first, the lower index (of
///    groups too) first among equals. weight = softmax over all experts, divided by the sum of the chosen ones if
///    `renormalize`; chosen_softmax: softmax over the chosen; sigmoid: sigmoid(logit), divided by the sum of the chosen
///    ones + 1e-20 if `renormalize`. All times `scale` and expert_scale[e]. Rows are (token, slot) pairs as Routing
///    says.
/// 2. Quantization of a row of bf16 values (x, later h), each operation rounded to f32, as vLLM does
///    (vllm-project/vllm, files under csrc/quantization). `largest` is the largest magnitude of the row or group; codes
///    saturate. A reciprocal is rounded to nearest: vLLM's NVFP4 kernel takes an approximate one, within 1 unit in the
///    last place of it.
///    - fp8_token: scale = max(largest / 448, 1 / (448 * 512)), code = e4m3(value / scale): it divides
///      (w8a8/fp8/common.cu, dynamic_per_token_scaled_fp8_quant at cda1b348585db9eada9405af6f4a38756371ef9b, without an
///      upper bound). An all-zero row gets the floor as its scale and zeros, with their signs, as its codes.
///    - fp8_static: code = e4m3(value * (1 / scale)): it multiplies by the reciprocal (the same file,
///      static_scaled_fp8_quant). scale = input_scales[e]; for gate and up the checkpoint's larger one.
///    - fp8_group: each 128 values, the last group of a row may be shorter: scale = max(largest, 1e-10) / 448, code =
///      e4m3(value / scale) (w8a8/fp8/per_token_group_quant.cu at e3b7e36d225b7b19e2993acd163c07ff082816af, with the
///      eps of per_token_group_quant_fp8).
///    - nvfp4: g = 1 / input_scales[e]; each 16 values: scale = ue4m3(g * (largest * (1 / 6))), code = e2m1(value * (1
///    /
///      (scale * (1 / g)))), zeros with their signs where scale is 0 (fp4/nvfp4_utils.cuh, cvt_warp_fp16_to_fp4 at
///      07c13c7bdc2a7adcf48a45361392854c50aca466). input_scales[e] = 1 / input_global_scale (compressed-tensors) or
///      input_scale (ModelOpt).
///    - mxfp8: each 32 values: scale = ue8m0, up, of largest * (1 / 448); code = e4m3(value / scale), which is exact
///      before e4m3 (vLLM calls FlashInfer's mxfp8_quantize: csrc/nv_internal/tensorrt_llm/kernels/
///      quantization_utils.cuh at b40f2fa91a1efc1368e0977a29fbbc66a9fcbcb7 of flashinfer-ai/flashinfer).
/// 3. GEMM1. acc = sum_k x * w in f32, where x and w are values without their f32 scales: codes, times the ue4m3 or
/// ue8m0
///    scale of their group. k in ascending steps of Trace::step (32 in a tensor core, 128 on the cpu); within a step
///    (the products and the sum so far) any order, each addition rounded or fused or as a tensor core adds
///    (bounds.hpp). With fp8_block weights or fp8_group inputs each block of 128 k is summed so from zero, multiplied
///    with its two scales and added to the blocks before. Then gate_up[r, n] = (acc * w_scale[e, n]) * x_scale[r] +
///    bias[e, n], where the scheme has these, each product and the sum rounded to f32: the order of vLLM's scaled
///    epilogue (csrc/cutlass_extensions/epilogue/scaled_mm_epilogues_c3x.hpp at
///    00c11f4df1e6aa6312e2374e63be41a8c78f1d66). For nvfp4 inputs x_scale is input_scales[e].
/// 4. h = bf16(f(gate) * up) in f32, rounded once; then quantized as in 2. exp is within 4 units in the last place.
///      swiglu: f(g) = g / (1 + exp(-g)).  geglu_tanh: f(g) = g / 2 (1 + tanh(sqrt(2 / pi) (g + 0.044715 g^3))).
///      swiglu_clamped: (clamp(up) + 1) * g * sigmoid(alpha g) with g = min(gate, limit), clamp to [-limit, limit].
/// 5. GEMM2. down[r, n] from h as in 3.
/// 6. output[t, :] = sum over the slots j of weight[t, j] * down[row[t, j], :], then + the shared expert's down[t, :],
///    times sigmoid(shared_gate . x) where there is a gate, in f32, products rounded or fused. The shared expert is
///    steps 2 to 5 for all tokens, in its own scheme. With norms: output = norm(norm(dense) + norm(sum over the slots))
///    with the weights after, after_dense and after_experts, nothing in between rounded to bf16.
///
/// It is defined where all of these are finite: an infinity or a NaN anywhere fails.
namespace moesaic::reference {

/// The routing that an exact router chooses: logits and what follows in double, weights rounded once to f32. Here and
/// below hidden states are finite and fit the layer.
Routing route(const Layer& layer, const Tokens& tokens);

/// Whether a routing is right. Stages: "logits" (row = token, column = expert), "routing" (row = token, column = slot;
/// got = the score chosen, want = the largest one left) and "weights" (row = token, column = slot). `own_logits`: the
/// engine's, [tokens, experts]; the routing and its weights are then judged from these. Without them there is no stage
/// of theirs, and a routing is right if it is admissible within the error of the logits.
std::vector<Stage> judge_routing(const Layer& layer, const Tokens& tokens, const Routing& routing,
                                 std::span<const float> own_logits = {});

/// Judges a run stage by stage, each from the engine's own values of the stage before, so that each bound charges one
/// step only. Stages, in order: logits (where the trace has them), routing, weights; experts_input, shared_input (with
/// norms); x_scales, x_codes, gate_up, h, h_scales, h_codes, down (x_group_scales and h_group_scales for nvfp4 and
/// mxfp8; for bf16 neither scales nor codes); the same from shared_x_scales to shared_down and shared_weight (with a
/// shared expert); output. Scales and codes are compared bit for bit. Stops after the first stage whose values are
/// missing or no routing.
Judgement judge(const Layer& layer, const Tokens& tokens, const Trace& trace);

/// What the outputs of a layer may be: [tokens, hidden] each.
struct Interval {
  int tokens = 0;
  int hidden = 0;
  std::vector<double> centre;
  std::vector<double> radius;
};

/// Every output that an engine may compute with this routing, its weights taken as they are. The radius charges the
/// arithmetic, and of the quantization of h (with norms of x too) only what can round differently within it. `step`:
/// Trace::step of the engine, or more.
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
