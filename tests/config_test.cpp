#include "checkpoint/config.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "checkpoint/module_names.hpp"
#include "mentions.hpp"
#include "spec/error.hpp"
#include "temporary_directory.hpp"

/// config.json of every architecture, and every quantization_config that is read or refused.
namespace moesaic::checkpoint {
namespace {

using Json = nlohmann::json;
using Kind = Quantization::Kind;

Json qwen3() {
  return {{"model_type", "qwen3_moe"},   {"num_experts", 8},     {"num_experts_per_tok", 2}, {"hidden_size", 64},
          {"moe_intermediate_size", 32}, {"hidden_act", "silu"}, {"num_hidden_layers", 4}};
}

Json deepseek(const std::string& model_type = "deepseek_v3") {
  return {{"model_type", model_type},
          {"n_routed_experts", 16},
          {"num_experts_per_tok", 4},
          {"n_shared_experts", 1},
          {"hidden_size", 64},
          {"moe_intermediate_size", 32},
          {"hidden_act", "silu"},
          {"num_hidden_layers", 4},
          {"first_k_dense_replace", 1},
          {"n_group", 4},
          {"topk_group", 2},
          {"norm_topk_prob", true},
          {"routed_scaling_factor", 2.5},
          {"rms_norm_eps", 1e-5}};
}

class ConfigFile : public ::testing::Test {
 protected:
  Config read(const Json& config) {
    write_file(directory_ / "config.json", config.dump());
    return read_config(directory_ / "config.json");
  }
  std::string complaint(const Json& config) {
    try {
      read(config);
    } catch (const Error& e) {
      EXPECT_TRUE(mentions(e.what(), {directory_.path().string()}));
      return e.what();
    }
    return "";
  }
  /// What is said of a quantization_config.
  std::string about(const Json& quantization) {
    Json config = qwen3();
    config["quantization_config"] = quantization;
    return complaint(config);
  }
  /// The format that a quantization_config gives a module.
  const Format& format(const Json& quantization, const std::string& module, Kind kind = Kind::linear) {
    Json config = qwen3();
    config["quantization_config"] = quantization;
    last_ = read(config);
    return last_.quantization.format_of(module, kind);
  }

  TemporaryDirectory directory_;
  Config last_;
};

TEST_F(ConfigFile, EveryArchitectureIsKnownByItsModelType) {
  Json config = qwen3();
  for (const auto& [type, title] : {std::pair("qwen3_moe", "Qwen3-MoE"),
                                    {"deepseek_v3", "DeepSeek-V3"},
                                    {"glm4_moe", "GLM-4 MoE"},
                                    {"glm4_moe_lite", "GLM-4 MoE Lite"},
                                    {"mixtral", "Mixtral"},
                                    {"gpt_oss", "gpt-oss"},
                                    {"qwen3_5_moe", "Qwen3.5-MoE"},
                                    {"qwen3_5_moe_text", "Qwen3.5-MoE"},
                                    {"gemma4", "Gemma 4"},
                                    {"gemma4_text", "Gemma 4"}}) {
    config = deepseek(type);
    config["intermediate_size"] = 48;
    config["shared_expert_intermediate_size"] = 16;
    config["enable_moe_block"] = true;
    config["hidden_activation"] = "gelu_pytorch_tanh";
    EXPECT_EQ(read(config).architecture->title, title);
  }
}

TEST_F(ConfigFile, RoutersAreThoseOfTheirArchitecture) {
  const Config config = read(deepseek());
  const Router& router = config.outline.router;
  EXPECT_EQ(router.scoring, Scoring::sigmoid);
  EXPECT_EQ(router.groups, 4);
  EXPECT_EQ(router.top_groups, 2);
  EXPECT_EQ(router.scale, 2.5F);
  EXPECT_TRUE(router.renormalize);
  EXPECT_EQ(config.outline.epsilon, 1e-5F);
  EXPECT_EQ(config.outline.shape.shared_width, 32);
  EXPECT_EQ(config.moe_layers, (std::vector<int>{1, 2, 3}));
  EXPECT_FALSE(read(qwen3()).outline.router.renormalize) << "transformers' default for Qwen3-MoE";
  Json renormalized = qwen3();
  renormalized["norm_topk_prob"] = true;
  EXPECT_TRUE(read(renormalized).outline.router.renormalize);
}

TEST_F(ConfigFile, GroupsOfExpertsAreChecked) {
  const auto with = [&](const std::string& key, const Json& value) {
    Json config = deepseek();
    config[key] = value;
    return complaint(config);
  };
  EXPECT_TRUE(mentions(with("n_group", 3), {"n_group", "divide the 16 experts"}));
  EXPECT_TRUE(mentions(with("n_group", 16), {"n_group", "at least 2"}));
  EXPECT_TRUE(mentions(with("n_group", nullptr), {"n_group", "missing"}));
  EXPECT_TRUE(mentions(with("topk_group", 5), {"topk_group", "from 1 to 4"}));
  EXPECT_TRUE(mentions(with("num_experts_per_tok", 9), {"topk_group", "hold 8 experts", "9"}));
  EXPECT_TRUE(mentions(with("routed_scaling_factor", 0), {"routed_scaling_factor", "above 0"}));
  EXPECT_TRUE(mentions(with("routed_scaling_factor", "2"), {"routed_scaling_factor", "finite number"}));
  EXPECT_TRUE(mentions(with("norm_topk_prob", nullptr), {"norm_topk_prob", "missing"}));
  EXPECT_TRUE(mentions(with("scoring_func", "softmax"), {"scoring_func", "sigmoid"}));
  EXPECT_TRUE(mentions(with("topk_method", "greedy"), {"topk_method", "noaux_tc"}));
  EXPECT_TRUE(mentions(with("first_k_dense_replace", nullptr), {"first_k_dense_replace", "missing"}));
  EXPECT_TRUE(mentions(with("n_shared_experts", 1 << 20), {"n_shared_experts"}));
  EXPECT_TRUE(mentions(with("rms_norm_eps", -1), {"rms_norm_eps"}));
}

TEST_F(ConfigFile, LayersWithoutExpertsAreLeftOut) {
  const auto layers = [&](const Json& change) {
    Json config = deepseek("glm4_moe_lite");
    config.update(change);
    return read(config).moe_layers;
  };
  EXPECT_EQ(layers({{"first_k_dense_replace", 3}}), std::vector<int>{3});
  EXPECT_EQ(layers({{"moe_layer_freq", 2}}), std::vector<int>{2});
  EXPECT_EQ(layers({{"first_k_dense_replace", nullptr}, {"mlp_layer_types", {"dense", "sparse", "dense", "sparse"}}}),
            (std::vector<int>{1, 3}));
  Json config = deepseek("glm4_moe_lite");
  config["mlp_layer_types"] = {"dense", "sparse"};
  EXPECT_TRUE(mentions(complaint(config), {"mlp_layer_types", "has 2 entries", "4 layers"}));
  config["mlp_layer_types"] = {"dense", "sparse", "sparse", "moe"};
  EXPECT_TRUE(mentions(complaint(config), {"mlp_layer_types", "moe", "dense, sparse"}));
}

TEST_F(ConfigFile, ActivationsAreThoseThatAreComputed) {
  Json config = {{"model_type", "gpt_oss"}, {"num_local_experts", 4},  {"num_experts_per_tok", 2},
                 {"hidden_size", 64},       {"intermediate_size", 32}, {"hidden_act", "silu"},
                 {"num_hidden_layers", 1},  {"swiglu_alpha", 1.5}};
  EXPECT_EQ(read(config).outline.swiglu_alpha, 1.5F);
  EXPECT_EQ(read(config).outline.swiglu_limit, 7.0F);
  config["swiglu_limit"] = -7;
  EXPECT_TRUE(mentions(complaint(config), {"swiglu_limit"}));
  config["swiglu_limit"] = 1e30;
  EXPECT_TRUE(mentions(complaint(config), {"swiglu_limit"}));
  config["experts_per_token"] = 4;
  EXPECT_TRUE(mentions(complaint(config), {"experts_per_token", "num_experts_per_tok", "agree"}));
  Json gelu = qwen3();
  gelu["hidden_act"] = "gelu";
  EXPECT_TRUE(mentions(complaint(gelu), {"hidden_act", "gelu", "silu"}));
}

TEST_F(ConfigFile, TextConfigIsLookedInto) {
  Json text = qwen3();
  text.erase("model_type");
  text["shared_expert_intermediate_size"] = 16;
  Json config = {{"model_type", "qwen3_5_moe"}, {"text_config", text}};
  EXPECT_EQ(read(config).outline.shape.experts, 8);
  config["text_config"]["hidden_size"] = 0;
  EXPECT_TRUE(mentions(complaint(config), {"text_config.hidden_size", "from 1"}));
  config["text_config"] = 3;
  EXPECT_TRUE(mentions(complaint(config), {"text_config", "must be an object"}));
}

TEST_F(ConfigFile, OtherMethodsAreRefusedByName) {
  for (const char* method : {"awq", "gptq", "bitsandbytes", "torchao", "hqq", "quark", "auto-round", "fbgemm_fp8"}) {
    EXPECT_TRUE(mentions(about({{"quant_method", method}}), {"quantization_config.quant_method", method, "supported",
                                                             "compressed-tensors", "modelopt", "mxfp4"}));
  }
  EXPECT_TRUE(mentions(about({{"bits", 4}}), {"quant_method", "missing"}));
  EXPECT_TRUE(mentions(about("fp8"), {"quantization_config", "must be an object"}));
}

const Json kInt8 = {{"num_bits", 8}, {"type", "int"}, {"strategy", "channel"}, {"symmetric", true}};
const Json kFp8Channel = {{"num_bits", 8}, {"type", "float"}, {"strategy", "channel"}, {"symmetric", true}};
const Json kFp8Token = {{"num_bits", 8}, {"type", "float"}, {"strategy", "token"}, {"dynamic", true}};

Json compressed(const std::string& format, const Json& groups, const Json& ignore = Json::array()) {
  return {{"quant_method", "compressed-tensors"}, {"format", format}, {"config_groups", groups}, {"ignore", ignore}};
}

Json group(const Json& weights, const Json& inputs, const Json& targets = {"Linear"}) {
  return {{"targets", targets}, {"weights", weights}, {"input_activations", inputs}};
}

TEST_F(ConfigFile, OtherCompressedFormatsAreRefusedByName) {
  for (const char* format :
       {"int-quantized", "pack-quantized", "marlin-24", "mxfp4-pack-quantized", "mxfp8-quantized", "dense"}) {
    EXPECT_TRUE(mentions(
        about(compressed(format, {{"group_0", group(kInt8, nullptr)}})),
        {"config.json: quantization_config.format", format, "float-quantized, naive-quantized, nvfp4-pack-quantized"}));
  }
  const auto fp8 = [&](const Json& weights, const Json& inputs) {
    return about(compressed("float-quantized", {{"group_0", group(weights, inputs)}}));
  };
  EXPECT_EQ(fp8(kFp8Channel, kFp8Token), "");
  EXPECT_TRUE(mentions(about(compressed("naive-quantized", {{"group_0", group(kInt8, nullptr)}})),
                       {"config.json: quantization_config.config_groups.group_0.weights.type", "int", "float"}));
  EXPECT_TRUE(mentions(fp8(kInt8, kFp8Token), {"weights.type", "int"}));
  EXPECT_TRUE(mentions(fp8(kFp8Channel, nullptr), {"input_activations", "missing"}));
  Json asymmetric = kFp8Channel;
  asymmetric["symmetric"] = false;
  EXPECT_TRUE(mentions(fp8(asymmetric, kFp8Token), {"weights.symmetric"}));
  Json whole_tensor = kFp8Token;
  whole_tensor["strategy"] = "tensor";
  EXPECT_TRUE(mentions(fp8(kFp8Channel, whole_tensor), {"input_activations.strategy", "tensor", "token, group"}));
  Json blocks = kFp8Channel;
  blocks["strategy"] = "block";
  blocks["block_structure"] = {64, 64};
  EXPECT_TRUE(mentions(fp8(blocks, kFp8Token), {"block_structure", "[64,64]", "[128,128]"}));
  Json groups = kFp8Token;
  groups["strategy"] = "group";
  groups["group_size"] = 64;
  EXPECT_TRUE(mentions(fp8(blocks, groups), {"block_structure"}));
  blocks["block_structure"] = {128, 128};
  EXPECT_TRUE(mentions(fp8(blocks, groups), {"group_size", "64", "128"}));
  EXPECT_TRUE(mentions(fp8(blocks, kFp8Token), {"must be group when the weights' is block"}));
  groups["group_size"] = 128;
  EXPECT_EQ(fp8(blocks, groups), "");
  EXPECT_TRUE(mentions(fp8(kFp8Channel, groups), {"must be token or tensor"}));
}

TEST_F(ConfigFile, OlderNamesOfCompressedTensors) {
  const std::string up = "model.layers.0.mlp.experts.0.up_proj";
  const Json naive = compressed("naive-quantized", {{"group_0", group(kFp8Channel, kFp8Token)}});
  EXPECT_EQ(format(naive, up).name, "FP8 dynamic");
  Json config = qwen3();
  config["compression_config"] = naive;
  last_ = read(config);
  EXPECT_EQ(last_.quantization.format_of(up, Kind::linear).name, "FP8 dynamic");
  config["compression_config"]["format"] = "pack-quantized";
  EXPECT_TRUE(mentions(complaint(config), {"config.json: compression_config.format", "pack-quantized"}));
  config["quantization_config"] = naive;
  EXPECT_EQ(complaint(config), "") << "the newer name is looked for first";
  config.erase("quantization_config");
  config["compression_config"] = {{"quantization_config", naive}};
  EXPECT_TRUE(mentions(complaint(config), {"compression_config.quant_method", "missing"}));
}

TEST_F(ConfigFile, Nvfp4IsChecked) {
  const Json weights = {{"num_bits", 4}, {"type", "float"}, {"strategy", "tensor_group"}, {"group_size", 16}};
  Json inputs = weights;
  inputs["dynamic"] = "local";
  const auto nvfp4 = [&](const Json& w, const Json& x) {
    return about(compressed("nvfp4-pack-quantized", {{"group_0", group(w, x)}}));
  };
  EXPECT_EQ(nvfp4(weights, inputs), "");
  EXPECT_EQ(nvfp4(weights, nullptr), "");
  EXPECT_TRUE(mentions(nvfp4(weights, kFp8Token), {"input_activations.num_bits", "8"}));
  Json other = weights;
  other["group_size"] = 32;
  EXPECT_TRUE(mentions(nvfp4(other, inputs), {"weights.group_size", "32", "16"}));
  EXPECT_TRUE(mentions(nvfp4(weights, weights), {"input_activations.dynamic", "local"}));
}

TEST_F(ConfigFile, GroupsMeanTheModulesThatTheyName) {
  const Json nvfp4_weights = {{"num_bits", 4}, {"type", "float"}, {"strategy", "tensor_group"}, {"group_size", 16}};
  Json nvfp4 = group(nvfp4_weights, nullptr, {"re:.*\\.experts\\..*down_proj$"});
  nvfp4["format"] = "nvfp4-pack-quantized";
  Json fp8 = group(kFp8Channel, kFp8Token);
  fp8["format"] = "float-quantized";
  Json exact = group(nvfp4_weights, nullptr, {"model.layers.1.mlp.experts.0.up_proj"});
  exact["format"] = "nvfp4-pack-quantized";
  const Json quantization = compressed("mixed-precision", {{"group_0", fp8}, {"group_1", nvfp4}, {"group_2", exact}},
                                       {"lm_head", "re:.*shared.*", "model.layers.3.mlp.experts.7.up_proj"});
  const auto name = [&](const std::string& module, Kind kind = Kind::linear) {
    return format(quantization, module, kind).name;
  };
  EXPECT_EQ(name("model.layers.1.mlp.experts.0.gate_proj"), "FP8 dynamic") << "a class";
  EXPECT_EQ(name("model.layers.1.mlp.experts.0.down_proj"), "NVFP4 A16") << "a pattern goes before a class";
  EXPECT_EQ(name("model.layers.1.mlp.experts.0.up_proj"), "NVFP4 A16") << "so does a name";
  EXPECT_EQ(name("model.layers.1.mlp.shared_expert.up_proj"), "bf16") << "ignored by pattern";
  EXPECT_EQ(name("model.layers.3.mlp.experts.7.up_proj"), "bf16") << "ignored by name";
  EXPECT_EQ(name("model.layers.3.mlp.experts.7.up_proj2"), "FP8 dynamic");
  EXPECT_EQ(name("model.layers.1.mlp.experts.gate_up_proj", Kind::fused), "bf16") << "not a Linear";
  // What is not read is refused where it is needed, and not before.
  const Json unnamed = compressed("mixed-precision", {{"group_0", group(kFp8Channel, kFp8Token)}});
  try {
    format(unnamed, "model.layers.1.mlp.experts.0.gate_proj");
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_TRUE(mentions(e.what(), {"quantization_config.format", "mixed-precision"}));
  }
  Json integers = group({{"num_bits", 4}, {"type", "int"}}, nullptr, {"re:.*self_attn.*"});
  integers["format"] = "pack-quantized";
  const Json attention = compressed("mixed-precision", {{"group_0", integers}, {"group_1", fp8}});
  EXPECT_EQ(format(attention, "model.layers.1.mlp.experts.0.gate_proj").name, "FP8 dynamic");
  EXPECT_THROW(format(attention, "model.layers.1.self_attn.q_proj"), Error);
}

TEST_F(ConfigFile, Fp8OfDeepSeekAndQwen) {
  Json quantization = {{"quant_method", "fp8"},
                       {"activation_scheme", "dynamic"},
                       {"fmt", "e4m3"},
                       {"weight_block_size", {128, 128}},
                       {"modules_to_not_convert", {"lm_head", "model.layers.2", "shared_expert", "visual.*"}}};
  EXPECT_EQ(format(quantization, "model.layers.1.mlp.experts.0.up_proj").scale, "weight_scale_inv");
  EXPECT_EQ(format(quantization, "model.layers.2.mlp.experts.0.up_proj").name, "bf16") << "below a listed module";
  EXPECT_EQ(format(quantization, "model.layers.20.mlp.experts.0.up_proj").name, "FP8 block");
  EXPECT_EQ(format(quantization, "model.layers.1.mlp.shared_expert").name, "bf16") << "its last part is listed";
  EXPECT_EQ(format(quantization, "visual.blocks.1.mlp").name, "bf16");
  quantization["weight_block_size"] = {64, 128};
  EXPECT_TRUE(mentions(about(quantization), {"weight_block_size", "[64,128]", "[128,128]"}));
  quantization["weight_block_size"] = nullptr;
  EXPECT_TRUE(mentions(about(quantization), {"activation_scheme", "static"}));
  quantization["activation_scheme"] = "static";
  EXPECT_EQ(format(quantization, "model.layers.1.mlp.experts.0.up_proj").name, "FP8 static");
  quantization["scale_fmt"] = "float";
  EXPECT_TRUE(mentions(about(quantization), {"scale_fmt", "float", "ue8m0"}));
  quantization["scale_fmt"] = "ue8m0";
  EXPECT_EQ(about(quantization), "");
  quantization["fmt"] = "e5m2";
  EXPECT_TRUE(mentions(about(quantization), {"fmt", "e5m2", "e4m3"}));
}

TEST_F(ConfigFile, ModelOptInEitherFile) {
  const std::string module = "model.layers.1.mlp.experts.0.up_proj";
  Json quantization = {{"quant_method", "modelopt"},
                       {"quant_algo", "NVFP4"},
                       {"kv_cache_scheme", {{"num_bits", 8}}},
                       {"ignore", {"lm_head", "model.layers.2.*", "*shared_expert*"}}};
  EXPECT_EQ(format(quantization, module).global_scale, "weight_scale_2");
  EXPECT_EQ(format(quantization, "model.layers.2.mlp.experts.0.up_proj").name, "bf16");
  EXPECT_EQ(format(quantization, "model.layers.1.mlp.shared_expert.up_proj").name, "bf16");
  quantization["quant_algo"] = "W4A16_NVFP4";
  EXPECT_EQ(format(quantization, module).name, "NVFP4 A16");
  for (const char* algorithm : {"NVFP4_AWQ", "W4A8_AWQ", "MXFP8", "FP8_PB_WO"}) {
    quantization["quant_algo"] = algorithm;
    EXPECT_TRUE(mentions(about(quantization), {"quant_algo", algorithm, "FP8, NVFP4, W4A16_NVFP4"}));
  }

  const Json file = {
      {"producer", {{"name", "modelopt"}}},
      {"quantization",
       {{"quant_algo", "FP8"}, {"kv_cache_quant_algo", "FP8"}, {"exclude_modules", {"model.layers.0.*"}}}}};
  write_file(directory_ / "hf_quant_config.json", file.dump());
  last_ = read(qwen3());
  EXPECT_EQ(last_.quantization.format_of(module, Kind::linear).name, "FP8 static");
  EXPECT_EQ(last_.quantization.format_of("model.layers.0.mlp.experts.0.up_proj", Kind::linear).name, "bf16");
  write_file(directory_ / "hf_quant_config.json", R"({"quantization": {"quant_algo": "INT4_AWQ"}})");
  EXPECT_TRUE(mentions(complaint(qwen3()), {"hf_quant_config.json: quantization.quant_algo", "INT4_AWQ"}));
  write_file(directory_ / "hf_quant_config.json", R"({"quantization": {"kv_cache_quant_algo": "FP8"}})");
  last_ = read(qwen3());
  EXPECT_EQ(last_.quantization.format_of(module, Kind::linear).name, "bf16") << "only the cache is quantized";
}

TEST_F(ConfigFile, ModelOptsMixNamesEachModule) {
  const std::string block = "model.layers.1.mlp.";
  const std::string up = block + "experts.0.up_proj";
  Json layers = {{block + "experts", {{"quant_algo", "W4A16_NVFP4"}, {"group_size", 16}}},
                 {block + "experts.0.down_proj", {{"quant_algo", "FP8"}}},
                 {block + "shared_expert", {{"quant_algo", "UNQUANTIZED"}}},
                 {"model.layers.1.self_attn.q_proj", {{"quant_algo", "FP8_PB_WO"}}}};
  Json quantization = {{"quant_method", "modelopt"},
                       {"quant_algo", "MIXED_PRECISION"},
                       {"ignore", {"model.layers.1.mlp.experts.1*"}},
                       {"quantized_layers", layers}};
  EXPECT_EQ(format(quantization, up).name, "NVFP4 A16");
  EXPECT_EQ(format(quantization, block + "experts.gate_up_proj", Kind::fused).name, "NVFP4 A16");
  EXPECT_EQ(format(quantization, block + "experts.0.down_proj").name, "FP8 static") << "the nearest entry counts";
  EXPECT_EQ(format(quantization, block + "experts.1.up_proj").name, "bf16") << "ignored";
  EXPECT_EQ(format(quantization, block + "shared_expert.up_proj").name, "bf16");
  EXPECT_EQ(format(quantization, block + "experts_more.up_proj").name, "bf16") << "not listed";
  // What is not read is refused where it is needed, and not before.
  try {
    format(quantization, "model.layers.1.self_attn.q_proj");
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_TRUE(mentions(e.what(), {"config.json: quantization_config.quantized_layers.model.layers.1.self_attn.q_proj",
                                    "FP8_PB_WO", "FP8, NVFP4, W4A16_NVFP4"}));
  }
  quantization["quantized_layers"][block + "experts"]["group_size"] = 32;
  EXPECT_THROW(format(quantization, up), Error);
  // Their own file's part, copied into config.json.
  const Json copied = {{"quant_method", "modelopt"},
                       {"quantization", {{"quant_algo", "NVFP4"}, {"exclude_modules", {"*shared*"}}}}};
  EXPECT_EQ(format(copied, up).name, "NVFP4");
  EXPECT_EQ(format(copied, block + "shared_expert.up_proj").name, "bf16");
  quantization["quantized_layers"] = {"lm_head"};
  EXPECT_TRUE(mentions(about(quantization), {"quantization_config.quantized_layers", "must be an object"}));
  quantization["quantized_layers"] = {{"lm_head", 3}};
  EXPECT_TRUE(mentions(about(quantization), {"quantized_layers.lm_head", "must be an object"}));

  // Older versions list them in hf_quant_config.json alone.
  quantization.erase("quantized_layers");
  EXPECT_TRUE(mentions(about(quantization), {"quantization_config.quantized_layers", "is missing"}));
  const Json file = {{"quantization", {{"quant_algo", "MIXED_PRECISION"}, {"quantized_layers", layers}}}};
  write_file(directory_ / "hf_quant_config.json", file.dump());
  EXPECT_EQ(format(quantization, up).name, "NVFP4 A16");
  last_ = read(qwen3());
  EXPECT_EQ(last_.quantization.format_of(up, Kind::linear).name, "NVFP4 A16");
}

TEST_F(ConfigFile, ListsOfModulesAreChecked) {
  const auto with = [&](const Json& ignore) {
    return about(compressed("float-quantized", {{"group_0", group(kFp8Channel, kFp8Token)}}, ignore));
  };
  EXPECT_TRUE(mentions(with("lm_head"), {"ignore", "list of texts"}));
  EXPECT_TRUE(mentions(with({"lm_head", 3}), {"ignore", "holds 3"}));
  EXPECT_TRUE(mentions(with({"re:(a"}), {"quantization_config.ignore", "re:(a", "cannot be read"}));
  EXPECT_TRUE(mentions(with({"re:" + std::string(3000, 'a')}), {"3003 bytes"}));
  EXPECT_TRUE(mentions(with(std::vector<std::string>(5000, "re:a")), {"ignore", "more than 4096 patterns"}));
  try {
    format(compressed("float-quantized", {{"group_0", group(kFp8Channel, kFp8Token)}}, {"re:(((a*)*)*)*b"}),
           std::string(1000, 'a') + "cb");
    FAIL() << "the pattern takes steps without end";
  } catch (const Error& e) {
    EXPECT_TRUE(mentions(e.what(), {"config.json: quantization_config.ignore", "re:(((a*", "aaa", "match limit"}));
  }
}

TEST(ModuleNames, CompressedTensorsDialect) {
  const ModuleNames names({"a.b", "re:model\\.layers\\.[01]\\."}, ModuleNames::Dialect::compressed_tensors, "ignore");
  EXPECT_TRUE(names.contains("a.b"));
  EXPECT_FALSE(names.contains("a.b.c"));
  EXPECT_FALSE(names.contains("x.a.b"));
  EXPECT_TRUE(names.contains("model.layers.1.mlp")) << "re.match holds from the start, not to the end";
  EXPECT_FALSE(names.contains("model.layers.10.mlp"));
  EXPECT_FALSE(names.contains("the.model.layers.1.mlp"));
}

TEST(ModuleNames, PatternsLookAheadAndBehind) {
  // How models are published of which the experts alone are quantized.
  const ModuleNames all_but_experts({"re:^(?!.*experts).*$"}, ModuleNames::Dialect::compressed_tensors, "ignore");
  EXPECT_TRUE(all_but_experts.contains("model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(all_but_experts.contains("model.layers.0.mlp.experts.3.up_proj"));
  const ModuleNames first_digit({"re:.*layers\\.(?<!1)[01]\\b(?<!language\\.layers\\.1)"},
                                ModuleNames::Dialect::compressed_tensors, "ignore");
  EXPECT_TRUE(first_digit.contains("vision.layers.1.mlp"));
  EXPECT_FALSE(first_digit.contains("language.layers.1.mlp"));
  EXPECT_FALSE(first_digit.contains("vision.layers.10.mlp"));
}

TEST(ModuleNames, TransformersDialect) {
  const ModuleNames names({"lm_head", "layers\\.[01]\\.mlp|b"}, ModuleNames::Dialect::transformers, "ignore");
  EXPECT_TRUE(names.contains("model.lm_head"));
  EXPECT_TRUE(names.contains("layers.0.mlp"));
  EXPECT_TRUE(names.contains("layers.0.mlp.up_proj")) << "a module below";
  EXPECT_FALSE(names.contains("layers.0.mlpup"));
  EXPECT_TRUE(names.contains("b.c"));
  EXPECT_FALSE(names.contains("bc"));
}

TEST(ModuleNames, WildcardsAreNoRegularExpressions) {
  const ModuleNames names({"*.gate", "a.?", "b[1]*", "\u00e9(*"}, ModuleNames::Dialect::wildcards, "ignore");
  EXPECT_TRUE(names.contains("model.layers.0.mlp.gate"));
  EXPECT_TRUE(names.contains("model.gate.weight")) << "a module below";
  EXPECT_FALSE(names.contains("model.gateway"));
  EXPECT_TRUE(names.contains("a.x"));
  EXPECT_FALSE(names.contains("axx"));
  EXPECT_TRUE(names.contains("b[1]2"));
  EXPECT_FALSE(names.contains("b12"));
  EXPECT_TRUE(names.contains("\u00e9(s)"));
}

TEST(ModuleNames, HostilePatternsEnd) {
  const ModuleNames nested({"re:(((a*)*)*)*b"}, ModuleNames::Dialect::compressed_tensors, "ignore");
  EXPECT_TRUE(nested.contains(std::string(100'000, 'a') + "b"));
  EXPECT_THROW(static_cast<void>(nested.contains(std::string(1000, 'a') + "cb")), Error);
  const ModuleNames optional({"re:(a?){500}a{500}b"}, ModuleNames::Dialect::compressed_tensors, "ignore");
  EXPECT_FALSE(optional.contains(std::string(700, 'a')));
  EXPECT_THROW(static_cast<void>(optional.contains(std::string(700, 'a') + "cb")), Error);
  // Twice the steps with each letter: some hundred thousand, and some millions.
  const ModuleNames bearable({"re:(?:a|a){16}[xy]"}, ModuleNames::Dialect::compressed_tensors, "ignore");
  EXPECT_FALSE(bearable.contains(std::string(16, 'a') + "z"));
  const ModuleNames long_winded({"re:(?:a|a){20}[xy]"}, ModuleNames::Dialect::compressed_tensors, "ignore");
  EXPECT_THROW(static_cast<void>(long_winded.contains(std::string(20, 'a') + "z")), Error);
  const ModuleNames recursive({"re:((?1)?a)b"}, ModuleNames::Dialect::compressed_tensors, "ignore");
  EXPECT_THROW(static_cast<void>(recursive.contains(std::string(100'000, 'a') + "cb")), Error);
  EXPECT_THROW(ModuleNames({"re:((a{1000}){1000}){1000}"}, ModuleNames::Dialect::compressed_tensors, "ignore"), Error);
}

}  // namespace
}  // namespace moesaic::checkpoint
