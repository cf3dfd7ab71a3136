#pragma once

#include <array>
#include <string_view>

/// What tells one published MoE architecture from another, as data. Names are those that llm-compressor and
/// transformers write.
namespace moesaic::checkpoint {

/// Tensor names are relative to the layer; "{}" stands for a number. Keys are those of config.json.
struct Architecture {
  std::string_view model_type;  ///< config.json's own name
  std::string_view title;
  std::string_view transformers_class;
  std::string_view layer;   ///< the layer's module
  std::string_view router;  ///< bf16 [experts, hidden]
  std::string_view gate;    ///< [width, hidden] of expert {}
  std::string_view up;      ///< [width, hidden]
  std::string_view down;    ///< [hidden, width]
  /// The count of experts goes by several names: older transformers wrote the first, newer ones write the second.
  std::array<std::string_view, 2> experts_keys;
  std::string_view top_k_key;
  std::string_view width_key;
};

inline constexpr std::array kArchitectures{
    Architecture{.model_type = "qwen3_moe",
                 .title = "Qwen3-MoE",
                 .transformers_class = "Qwen3MoeForCausalLM",
                 .layer = "model.layers.{}.mlp",
                 .router = "gate.weight",
                 .gate = "experts.{}.gate_proj.weight",
                 .up = "experts.{}.up_proj.weight",
                 .down = "experts.{}.down_proj.weight",
                 .experts_keys = {"num_experts", "num_local_experts"},
                 .top_k_key = "num_experts_per_tok",
                 .width_key = "moe_intermediate_size"},
};

}  // namespace moesaic::checkpoint
