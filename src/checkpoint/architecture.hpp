#pragma once

#include <array>
#include <string_view>

#include "spec/layer.hpp"

/// What tells one published MoE architecture from another, as data. Names are those that transformers, llm-compressor
/// and ModelOpt write.
namespace moesaic::checkpoint {

/// The three linear layers of a gated MLP.
struct Projections {
  std::string_view gate{};  ///< [width, hidden]
  std::string_view up{};    ///< [width, hidden]
  std::string_view down{};  ///< [hidden, width]
};

/// "{}" stands for the expert.
inline constexpr Projections kExpertNames{"experts.{}.gate_proj", "experts.{}.up_proj", "experts.{}.down_proj"};
/// Mixtral's own.
inline constexpr Projections kNumberedNames{"experts.{}.w1", "experts.{}.w3", "experts.{}.w2"};
/// Of all experts in one tensor each: [experts, 2 * width, hidden] and [experts, hidden, width].
inline constexpr std::string_view kFusedGateUp = "experts.gate_up_proj";
inline constexpr std::string_view kFusedDown = "experts.down_proj";

/// How experts lie that share one tensor.
enum class Fused : std::uint8_t {
  rows,        ///< as engines want them: the rows of gate, then those of up
  transposed,  ///< gpt-oss: the input channels outside; gate in the even columns, up in the odd ones
};

/// How wide the shared expert is.
enum class SharedWidth : std::uint8_t {
  none,     ///< there is no shared expert
  key,      ///< Architecture::shared_key says it
  experts,  ///< n_shared_experts times the width of an expert
};

/// Which key says whether the chosen weights are divided by their sum.
enum class Renormalize : std::uint8_t {
  always,       ///< none does: they are; a norm_topk_prob that says otherwise is refused
  key,          ///< norm_topk_prob; absent: they are not (transformers, Qwen3MoeConfig)
  required_key  ///< norm_topk_prob, which must be there
};

/// Module names are relative to the layer's block; tensors of a module follow after a dot.
struct Architecture {
  std::array<std::string_view, 2> model_types{};  ///< config.json's own name; the second is that of the text part alone
  std::string_view title{};
  std::array<std::string_view, 3> prefixes{};  ///< what may stand before "layers.N"; the first is the usual one
  std::array<std::string_view, 2> blocks{};    ///< what follows "layers.N." and holds the layer; the second also occurs
  std::array<std::string_view, 3> parts{};     ///< modules of the block that are the layer; the first empty: all

  std::array<Projections, 2> experts{kExpertNames, kExpertNames};  ///< of each expert on its own; in use are both
  Fused fused = Fused::rows;
  bool expert_bias = false;

  std::string_view router = "gate";
  std::string_view router_bias{};   ///< tensor [experts]
  std::string_view correction{};    ///< tensor [experts]
  std::string_view input_scale{};   ///< tensor [hidden]
  std::string_view expert_scale{};  ///< tensor [experts]
  Scoring scoring = Scoring::softmax;
  Renormalize renormalize = Renormalize::always;

  Projections shared{};
  std::string_view shared_gate{};  ///< module of a linear layer [1, hidden]
  SharedWidth shared_width = SharedWidth::none;
  std::string_view shared_key{};

  std::string_view width_key = "moe_intermediate_size";
  std::string_view activation_key = "hidden_act";
  std::string_view activation_name = "silu";
  Activation activation = Activation::swiglu;
  bool norms = false;           ///< Gemma 4's, beside the block's modules
  std::string_view moe_flag{};  ///< a key that must be true for there to be experts
};

namespace detail {

inline constexpr std::array<std::string_view, 3> kTextModel{"model.", "model.language_model.", "language_model.model."};
inline constexpr std::array<std::string_view, 3> kLanguageModel{"model.language_model.", "model.",
                                                                "language_model.model."};

/// DeepSeek-V3's block, which the GLM-4.x models share.
constexpr Architecture sigmoid_routed(std::string_view model_type, std::string_view title) {
  return {
      .model_types = {model_type},
      .title = title,
      .prefixes = kTextModel,
      .blocks = {"mlp"},
      .correction = "gate.e_score_correction_bias",
      .scoring = Scoring::sigmoid,
      .renormalize = Renormalize::required_key,
      .shared = {"shared_experts.gate_proj", "shared_experts.up_proj", "shared_experts.down_proj"},
      .shared_width = SharedWidth::experts,
  };
}

}  // namespace detail

// clang-format off
inline constexpr std::array kArchitectures{
    Architecture{.model_types = {"qwen3_moe"},
                 .title = "Qwen3-MoE",
                 .prefixes = detail::kTextModel,
                 .blocks = {"mlp"},
                 .renormalize = Renormalize::key},
    Architecture{.model_types = {"mixtral"},
                 .title = "Mixtral",
                 .prefixes = detail::kTextModel,
                 .blocks = {"block_sparse_moe", "mlp"},
                 .experts = {kNumberedNames, kExpertNames},
                 .width_key = "intermediate_size"},
    Architecture{.model_types = {"qwen3_5_moe", "qwen3_5_moe_text"},
                 .title = "Qwen3.5-MoE",
                 .prefixes = detail::kLanguageModel,
                 .blocks = {"mlp"},
                 .shared = {"shared_expert.gate_proj", "shared_expert.up_proj", "shared_expert.down_proj"},
                 .shared_gate = "shared_expert_gate",
                 .shared_width = SharedWidth::key,
                 .shared_key = "shared_expert_intermediate_size"},
    Architecture{.model_types = {"gemma4", "gemma4_text"},
                 .title = "Gemma 4",
                 .prefixes = detail::kLanguageModel,
                 .blocks = {""},
                 .parts = {"experts", "router", "mlp"},
                 .router = "router.proj",
                 .input_scale = "router.scale",
                 .expert_scale = "router.per_expert_scale",
                 .shared = {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"},
                 .shared_width = SharedWidth::key,
                 .shared_key = "intermediate_size",
                 .activation_key = "hidden_activation",
                 .activation_name = "gelu_pytorch_tanh",
                 .activation = Activation::geglu_tanh,
                 .norms = true,
                 .moe_flag = "enable_moe_block"},
    detail::sigmoid_routed("deepseek_v3", "DeepSeek-V3"),
    detail::sigmoid_routed("glm4_moe", "GLM-4 MoE"),
    detail::sigmoid_routed("glm4_moe_lite", "GLM-4 MoE Lite"),
    Architecture{.model_types = {"gpt_oss"},
                 .title = "gpt-oss",
                 .prefixes = detail::kTextModel,
                 .blocks = {"mlp"},
                 .fused = Fused::transposed,
                 .expert_bias = true,
                 .router = "router",
                 .router_bias = "router.bias",
                 .scoring = Scoring::chosen_softmax,
                 .width_key = "intermediate_size",
                 .activation = Activation::swiglu_clamped},
};
// clang-format on

}  // namespace moesaic::checkpoint
