#include "checkpoint/synth_config.hpp"

#include <fmt/format.h>

#include "checkpoint/synth_layer.hpp"
#include "spec/scheme.hpp"

namespace moesaic::checkpoint {
namespace {

/// The linear layers that are not quantized.
Json ignored(const Synth& synth) {
  Json modules = Json::array();
  for (int layer = 0; layer < synth.layers; ++layer) {
    const std::string prefix = layer_prefix(synth.family, layer);
    if (synth.family == Family::gemma4) {
      modules.push_back(prefix + "router.proj");
    } else {
      modules.push_back(prefix + (synth.family == Family::gpt_oss ? "router" : "gate"));
    }
    if (synth.family == Family::qwen3_5) modules.push_back(prefix + "shared_expert_gate");
  }
  modules.push_back("lm_head");
  return modules;
}

/// Of numbers in compressed-tensors' words.
struct Numbers {
  int bits;
  std::string_view strategy;
  Json dynamic;
  Json group_size = nullptr;
  Json block_structure = nullptr;
  Json scale_dtype = nullptr;
  Json observer = nullptr;
};

Json describe(const Numbers& n) {
  return {{"actorder", nullptr},
          {"block_structure", n.block_structure},
          {"dynamic", n.dynamic},
          {"group_size", n.group_size},
          {"num_bits", n.bits},
          {"observer", n.observer},
          {"observer_kwargs", Json::object()},
          {"scale_dtype", n.scale_dtype},
          {"strategy", n.strategy},
          {"symmetric", true},
          {"type", "float"},
          {"zp_dtype", nullptr}};
}

/// As compressed-tensors 0.19 writes it.
Json compressed_tensors(const Synth& synth) {
  constexpr std::string_view kWeightObserver = "memoryless_minmax";
  constexpr std::string_view kInputObserver = "static_minmax";
  Numbers weights{.bits = 8, .strategy = "tensor", .dynamic = false, .observer = kWeightObserver};
  Json inputs = describe({.bits = 8, .strategy = "token", .dynamic = true});
  std::string_view format = "float-quantized";
  if (synth.scheme == Published::fp8_dynamic) {
    weights.strategy = "channel";
  } else if (synth.scheme == Published::fp8_static) {
    inputs = describe({.bits = 8, .strategy = "tensor", .dynamic = false, .observer = kInputObserver});
  } else if (synth.scheme == Published::fp8_block_compressed) {
    weights.strategy = "block";
    weights.block_structure = {kBlockSide, kBlockSide};
    inputs = describe({.bits = 8, .strategy = "group", .dynamic = true, .group_size = kBlockSide});
  } else {
    format = "nvfp4-pack-quantized";
    Numbers fp4{.bits = 4,
                .strategy = "tensor_group",
                .dynamic = "local",
                .group_size = kNvfp4Group,
                .scale_dtype = "torch.float8_e4m3fn",
                .observer = kInputObserver};
    inputs = synth.scheme == Published::nvfp4 ? describe(fp4) : Json(nullptr);
    weights = fp4;
    weights.dynamic = false;
    weights.observer = kWeightObserver;
  }
  const Json group = {{"format", format},
                      {"input_activations", inputs},
                      {"output_activations", nullptr},
                      {"targets", {"Linear"}},
                      {"weights", describe(weights)}};
  return {{"config_groups", {{"group_0", group}}},
          {"format", format},
          {"global_compression_ratio", nullptr},
          {"ignore", ignored(synth)},
          {"kv_cache_scheme", nullptr},
          {"quant_method", "compressed-tensors"},
          {"quantization_status", "compressed"},
          {"sparsity_config", Json::object()},
          {"transform_config", Json::object()},
          {"version", "0.19.0"}};
}

constexpr bool is_modelopt(Published scheme) {
  return scheme == Published::fp8_modelopt || scheme == Published::nvfp4_modelopt;
}

const Json& modelopt_producer() {
  static const Json kProducer = {{"name", "modelopt"}, {"version", "0.47.0"}};
  return kProducer;
}

std::string_view modelopt_algorithm(Published scheme) {
  return scheme == Published::fp8_modelopt ? "FP8" : "NVFP4";
}

/// What ModelOpt 0.47 adds to config.json.
Json modelopt(const Synth& synth) {
  Json numbers = {{"dynamic", false}, {"num_bits", 8}, {"type", "float"}};
  if (synth.scheme == Published::nvfp4_modelopt) numbers.update({{"num_bits", 4}, {"group_size", kNvfp4Group}});
  const Json group = {{"input_activations", numbers}, {"targets", {"Linear"}}, {"weights", numbers}};
  return {{"config_groups", {{"group_0", group}}},
          {"ignore", ignored(synth)},
          {"producer", modelopt_producer()},
          {"quant_algo", modelopt_algorithm(synth.scheme)},
          {"quant_method", "modelopt"}};
}

Json quantization(const Synth& synth) {
  if (is_modelopt(synth.scheme)) return modelopt(synth);
  if (synth.scheme == Published::fp8_block) {
    return {{"activation_scheme", "dynamic"},
            {"fmt", "e4m3"},
            {"modules_to_not_convert", ignored(synth)},
            {"quant_method", "fp8"},
            {"weight_block_size", {kBlockSide, kBlockSide}}};
  }
  if (synth.scheme == Published::mxfp4) {
    return {{"modules_to_not_convert",
             {"model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"}},
            {"quant_method", "mxfp4"}};
  }
  return compressed_tensors(synth);
}

/// The keys that all architectures share.
Json shared_keys(const Synth& synth, std::string_view model_type, std::string_view activation_key) {
  const bool gemma4 = synth.family == Family::gemma4;
  return {{activation_key, gemma4 ? "gelu_pytorch_tanh" : "silu"},
          {"attention_bias", synth.family == Family::gpt_oss},
          {"dtype", "bfloat16"},
          {"hidden_size", synth.shape.hidden},
          {"initializer_range", 0.02},
          {"model_type", model_type},
          {"num_hidden_layers", synth.layers},
          {"rms_norm_eps", 1e-06},
          {gemma4 ? "top_k_experts" : "num_experts_per_tok", synth.shape.top_k},
          {"tie_word_embeddings", false},
          {"transformers_version", "5.17.0"}};
}

/// DeepSeek-V3 and GLM-4. Every layer is MoE here: the real ones begin with dense layers.
Json sigmoid_keys(const Synth& synth) {
  Json keys = {{"intermediate_size", 3 * synth.shape.hidden},
               {"moe_intermediate_size", synth.shape.width},
               {"n_group", synth.groups},
               {"n_routed_experts", synth.shape.experts},
               {"n_shared_experts", synth.shape.shared_width / synth.shape.width},
               {"norm_topk_prob", true},
               {"routed_scaling_factor", synth.family == Family::glm4_lite ? 1.8 : 2.5},
               {"topk_group", synth.top_groups}};
  if (synth.family == Family::glm4_lite) {
    keys["mlp_layer_types"] = std::vector<std::string>(static_cast<std::size_t>(synth.layers), "sparse");
  } else {
    keys["first_k_dense_replace"] = 0;
  }
  if (synth.family == Family::deepseek_v3) {
    keys.update({{"moe_layer_freq", 1}, {"scoring_func", "sigmoid"}, {"topk_method", "noaux_tc"}});
  }
  return keys;
}

struct Names {
  std::string_view model_type;
  std::string_view text_model_type;  ///< of text_config; empty: there is none
  std::string_view model_class;
};

Names names(Family family) {
  switch (family) {
    case Family::mixtral:
      return {"mixtral", "", "MixtralForCausalLM"};
    case Family::qwen3:
      return {"qwen3_moe", "", "Qwen3MoeForCausalLM"};
    case Family::qwen3_5:
      return {"qwen3_5_moe", "qwen3_5_moe_text", "Qwen3_5MoeForConditionalGeneration"};
    case Family::gemma4:
      return {"gemma4", "gemma4_text", "Gemma4ForConditionalGeneration"};
    case Family::deepseek_v3:
      return {"deepseek_v3", "", "DeepseekV3ForCausalLM"};
    case Family::glm4:
      return {"glm4_moe", "", "Glm4MoeForCausalLM"};
    case Family::glm4_lite:
      return {"glm4_moe_lite", "", "Glm4MoeLiteForCausalLM"};
    case Family::gpt_oss:
      break;
  }
  return {"gpt_oss", "", "GptOssForCausalLM"};
}

Json family_keys(const Synth& synth) {
  const Shape& s = synth.shape;
  switch (synth.family) {
    case Family::mixtral:
      return {{"intermediate_size", s.width}, {"num_local_experts", s.experts}, {"router_jitter_noise", 0.0}};
    case Family::qwen3:
      return {{"decoder_sparse_step", 1},     {"intermediate_size", 3 * s.hidden}, {"mlp_only_layers", Json::array()},
              {"norm_topk_prob", true},       {"moe_intermediate_size", s.width},  {"num_experts", s.experts},
              {"router_aux_loss_coef", 0.001}};
    case Family::qwen3_5:
      return {{"moe_intermediate_size", s.width},
              {"num_experts", s.experts},
              {"router_aux_loss_coef", 0.001},
              {"shared_expert_intermediate_size", s.shared_width}};
    case Family::gemma4:
      return {
          {"enable_moe_block", true},         {"hidden_size_per_layer_input", 0}, {"intermediate_size", s.shared_width},
          {"moe_intermediate_size", s.width}, {"num_experts", s.experts},         {"use_double_wide_mlp", false}};
    case Family::deepseek_v3:
    case Family::glm4:
    case Family::glm4_lite:
      return sigmoid_keys(synth);
    case Family::gpt_oss:
      break;
  }
  return {{"experts_per_token", s.top_k},
          {"intermediate_size", s.width},
          {"num_local_experts", s.experts},
          {"swiglu_limit", 7.0}};
}

}  // namespace

Json make_config(const Synth& synth) {
  const Names n = names(synth.family);
  const bool nested = !n.text_model_type.empty();
  const std::string_view activation_key = synth.family == Family::gemma4 ? "hidden_activation" : "hidden_act";
  Json config = shared_keys(synth, nested ? n.text_model_type : n.model_type, activation_key);
  config.update(family_keys(synth));
  if (nested) {
    config = {{"dtype", "bfloat16"},
              {"model_type", n.model_type},
              {"text_config", config},
              {"tie_word_embeddings", false},
              {"transformers_version", "5.17.0"}};
  }
  config["architectures"] = {n.model_class};
  if (synth.scheme != Published::bf16) config["quantization_config"] = quantization(synth);
  return config;
}

std::optional<Json> make_modelopt_config(const Synth& synth) {
  if (!is_modelopt(synth.scheme)) return std::nullopt;
  Json quantization = {{"exclude_modules", ignored(synth)},
                       {"kv_cache_quant_algo", nullptr},
                       {"quant_algo", modelopt_algorithm(synth.scheme)}};
  if (synth.scheme == Published::nvfp4_modelopt) quantization["group_size"] = kNvfp4Group;
  return Json{{"producer", modelopt_producer()}, {"quantization", quantization}};
}

}  // namespace moesaic::checkpoint
