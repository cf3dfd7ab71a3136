#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "mentions.hpp"
#include "spec/error.hpp"
#include "temporary_directory.hpp"
#include "tiny_checkpoint.hpp"

/// Every layout in which experts are published, put together by hand: each byte must arrive where spec/layer.hpp says.
namespace moesaic::checkpoint {
namespace {

using Json = nlohmann::json;

constexpr int kExperts = 3;
constexpr int kHidden = 64;
constexpr int kWidth = 32;

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

class Layout : public ::testing::Test {
 protected:
  std::string complaint(const TinyCheckpoint& tiny, int index = 0) {
    try {
      tiny.load(directory_ / "bad", index);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

  /// What is said when element `i` of a tensor has these bytes.
  template <class T>
  std::string complaint_about(TinyCheckpoint tiny, const std::string& name, std::size_t i, T value, int index = 0) {
    tiny.parts.put(name, i, value);
    return complaint(tiny, index);
  }

  TemporaryDirectory directory_;
};

Json quantized(const Json& quantization, Json config) {
  config["quantization_config"] = quantization;
  return config;
}

Json mixtral_config() {
  return {{"model_type", "mixtral"}, {"num_local_experts", kExperts}, {"num_experts_per_tok", 2},
          {"hidden_size", kHidden},  {"intermediate_size", kWidth},   {"hidden_act", "silu"},
          {"num_hidden_layers", 1},  {"rms_norm_eps", 1e-5}};
}

const Json kFp8Static = {
    {"quant_method", "compressed-tensors"},
    {"format", "float-quantized"},
    {"ignore", {"lm_head", "re:.*gate$"}},
    {"config_groups",
     {{"group_0",
       {{"targets", {"Linear"}},
        {"weights", {{"num_bits", 8}, {"type", "float"}, {"strategy", "tensor"}}},
        {"input_activations", {{"num_bits", 8}, {"type", "float"}, {"strategy", "tensor"}, {"dynamic", false}}}}}}}};

/// Mixtral's own names, a scale for each matrix and its activations.
TinyCheckpoint mixtral_static(const std::string& scale_dtype, const std::vector<int>& scalar) {
  TinyCheckpoint tiny;
  tiny.config = quantized(kFp8Static, mixtral_config());
  const std::string block = "model.layers.0.block_sparse_moe.";
  tiny.add(block + "gate.weight", "BF16", {kExperts, kHidden});
  for (int e = 0; e < kExperts; ++e) {
    for (const char* name : {"w1", "w2", "w3"}) {
      const std::string module = block + "experts." + std::to_string(e) + "." + name;
      const bool down = std::string(name) == "w2";
      tiny.add(module + ".weight", "F8_E4M3", {down ? kHidden : kWidth, down ? kWidth : kHidden});
      tiny.add(module + ".weight_scale", scale_dtype, scalar);
      tiny.add(module + ".input_scale", scale_dtype, scalar);
    }
  }
  return tiny;
}

TEST_F(Layout, MixtralsNamesAndOneScaleForEachMatrix) {
  const TinyCheckpoint tiny = mixtral_static("BF16", {1});
  const Layer layer = tiny.load(directory_ / "m");
  EXPECT_EQ(layer.name, "model.layers.0.block_sparse_moe");
  EXPECT_EQ(layer.gate_up.scheme, (Scheme{WeightScheme::fp8_channel, InputScheme::fp8_static}));
  EXPECT_EQ(layer.gate_up.parts, 2);
  EXPECT_TRUE(layer.router.renormalize);
  for (int e = 0; e < kExperts; ++e) {
    const std::string expert = layer.name + ".experts." + std::to_string(e) + ".";
    for (int n = 0; n < 2 * kWidth; ++n) {
      const std::string part = expert + (n < kWidth ? "w1" : "w3");
      const std::size_t row = at(e * 2 * kWidth + n);
      EXPECT_EQ(layer.gate_up.scales[row], tiny.value(part + ".weight_scale", 0));
      EXPECT_EQ(layer.gate_up.codes[row * kHidden + 5], tiny.byte(part + ".weight", at(n % kWidth * kHidden + 5)));
    }
    for (int n = 0; n < kHidden; ++n) {
      EXPECT_EQ(layer.down.scales[at(e * kHidden + n)], tiny.value(expert + "w2.weight_scale", 0));
    }
    EXPECT_EQ(layer.gate_up.input_scales[at(e)],
              std::max(tiny.value(expert + "w1.input_scale", 0), tiny.value(expert + "w3.input_scale", 0)));
    EXPECT_EQ(layer.down.input_scales[at(e)], tiny.value(expert + "w2.input_scale", 0));
  }
}

TEST_F(Layout, ScalarsMayBeOfAnyFloatAndHaveNoDimension) {
  const TinyCheckpoint tiny = mixtral_static("F32", {});
  EXPECT_EQ(tiny.load(directory_ / "m").down.input_scales.size(), at(kExperts));
}

TEST_F(Layout, FixedScalesAreChecked) {
  const TinyCheckpoint tiny = mixtral_static("F32", {1});
  for (const std::string name : {"w1.input_scale", "w2.weight_scale"}) {
    const std::string full = "model.layers.0.block_sparse_moe.experts.1." + name;
    for (const float value : {0.0F, -1.0F, INFINITY, NAN}) {
      EXPECT_TRUE(mentions(complaint_about(tiny, full, 0, value), {"model.safetensors: " + full, "positive"}));
    }
    TinyCheckpoint without = tiny;
    without.parts.rename(full, "elsewhere");
    EXPECT_TRUE(mentions(complaint(without), {full, "is missing", "BF16 or F32 or F16 [1] or []", "FP8 static"}));
  }
}

/// What belongs to the text model of Gemma 4.
TinyCheckpoint gemma4() {
  TinyCheckpoint tiny;
  tiny.config = {{"model_type", "gemma4"},
                 {"text_config",
                  {{"num_experts", kExperts},
                   {"top_k_experts", 2},
                   {"hidden_size", kHidden},
                   {"moe_intermediate_size", kWidth},
                   {"intermediate_size", 48},
                   {"hidden_activation", "gelu_pytorch_tanh"},
                   {"enable_moe_block", true},
                   {"num_hidden_layers", 1},
                   {"rms_norm_eps", 2e-6}}}};
  const std::string block = "model.language_model.layers.0.";
  tiny.add(block + "router.proj.weight", "BF16", {kExperts, kHidden});
  tiny.add(block + "router.scale", "BF16", {kHidden});
  tiny.add(block + "router.per_expert_scale", "BF16", {kExperts});
  tiny.add(block + "experts.gate_up_proj", "BF16", {kExperts, 2 * kWidth, kHidden});
  tiny.add(block + "experts.down_proj", "BF16", {kExperts, kHidden, kWidth});
  tiny.add(block + "mlp.gate_proj.weight", "BF16", {48, kHidden});
  tiny.add(block + "mlp.up_proj.weight", "BF16", {48, kHidden});
  tiny.add(block + "mlp.down_proj.weight", "BF16", {kHidden, 48});
  for (const char* norm : {"pre_feedforward_layernorm", "pre_feedforward_layernorm_2", "post_feedforward_layernorm_1",
                           "post_feedforward_layernorm_2", "post_feedforward_layernorm", "input_layernorm"}) {
    tiny.add(block + norm + ".weight", "BF16", {kHidden});
  }
  tiny.add(block + "layer_scalar", "BF16", {1});
  tiny.add(block + "self_attn.q_proj.weight", "BF16", {8, kHidden});
  return tiny;
}

TEST_F(Layout, Gemma4HasItsPartsBesideEachOther) {
  const TinyCheckpoint tiny = gemma4();
  const Layer layer = tiny.load(directory_ / "g");
  const std::string block = "model.language_model.layers.0.";
  EXPECT_EQ(layer.name, "model.language_model.layers.0");
  EXPECT_EQ(layer.activation, Activation::geglu_tanh);
  EXPECT_EQ(layer.shape.shared_width, 48);
  EXPECT_EQ(layer.epsilon, 2e-6F);
  EXPECT_EQ(layer.router.input_scale[3], tiny.value(block + "router.scale", 3));
  EXPECT_EQ(layer.router.expert_scale[2], tiny.value(block + "router.per_expert_scale", 2));
  EXPECT_EQ(layer.gate_up.scheme, Scheme{});
  const std::size_t gate_up_bytes = at(kExperts * 2 * kWidth * kHidden * 2);
  ASSERT_EQ(layer.gate_up.codes.size(), gate_up_bytes);
  for (std::size_t i = 0; i < gate_up_bytes; i += 97) {
    EXPECT_EQ(layer.gate_up.codes[i], tiny.byte(block + "experts.gate_up_proj", i));
  }
  ASSERT_EQ(layer.shared_gate_up.codes.size(), at(2 * 48 * kHidden * 2));
  EXPECT_EQ(layer.shared_gate_up.codes[48 * kHidden * 2], tiny.byte(block + "mlp.up_proj.weight", 0));
  EXPECT_EQ(layer.shared_down.codes[11], tiny.byte(block + "mlp.down_proj.weight", 11));
  ASSERT_TRUE(layer.norms);
  EXPECT_EQ(layer.norms->before_dense[7], tiny.value(block + "pre_feedforward_layernorm.weight", 7));
  EXPECT_EQ(layer.norms->before_experts[7], tiny.value(block + "pre_feedforward_layernorm_2.weight", 7));
  EXPECT_EQ(layer.norms->after_dense[7], tiny.value(block + "post_feedforward_layernorm_1.weight", 7));
  EXPECT_EQ(layer.norms->after_experts[7], tiny.value(block + "post_feedforward_layernorm_2.weight", 7));
  EXPECT_EQ(layer.norms->after[7], tiny.value(block + "post_feedforward_layernorm.weight", 7));

  TinyCheckpoint odd = tiny;
  odd.add(block + "router.bias", "BF16", {kExperts});
  EXPECT_TRUE(mentions(complaint(odd), {"router.bias", "no meaning in a Gemma 4 layer"}));
  EXPECT_TRUE(mentions(complaint_about<std::uint16_t>(tiny, block + "experts.down_proj", kHidden * kWidth + 33, 0x7f80),
                       {"experts.down_proj", "infinite", "at [1, 1, 1]"}));
}

TEST_F(Layout, Gemma4sTextModelAlone) {
  TinyCheckpoint tiny = gemma4();
  Json text = tiny.config["text_config"];
  text["model_type"] = "gemma4_text";
  tiny.config = text;
  Json header;
  for (const auto& [name, entry] : tiny.parts.header.items()) {
    header["model." + name.substr(std::string("model.language_model.").size())] = entry;
  }
  tiny.parts.header = header;
  EXPECT_EQ(tiny.load(directory_ / "g").name, "model.layers.0");
  tiny.config["enable_moe_block"] = false;
  EXPECT_TRUE(mentions(complaint(tiny), {"enable_moe_block", "true"}));
}

Json gpt_oss_config(int width) {
  return {{"model_type", "gpt_oss"},    {"num_local_experts", kExperts},
          {"num_experts_per_tok", 2},   {"hidden_size", kHidden},
          {"intermediate_size", width}, {"hidden_act", "silu"},
          {"num_hidden_layers", 1},     {"swiglu_limit", 5.0}};
}

const std::string kGptOss = "model.layers.0.mlp.";

TinyCheckpoint gpt_oss(int width) {
  TinyCheckpoint tiny;
  tiny.config = gpt_oss_config(width);
  tiny.add(kGptOss + "router.weight", "BF16", {kExperts, kHidden});
  tiny.add(kGptOss + "router.bias", "BF16", {kExperts});
  tiny.add(kGptOss + "experts.gate_up_proj_bias", "BF16", {kExperts, 2 * width});
  tiny.add(kGptOss + "experts.down_proj_bias", "BF16", {kExperts, kHidden});
  return tiny;
}

/// gpt-oss's column of the file that becomes row n of gate_up.
std::size_t alternating(int n, int width) {
  return at(n < width ? 2 * n : 2 * (n - width) + 1);
}

void expect_gpt_oss_biases(const TinyCheckpoint& tiny, const Layer& layer) {
  const int width = layer.shape.width;
  for (int n = 0; n < 2 * width; ++n) {
    EXPECT_EQ(layer.gate_up.bias[at(2 * width + n)],
              tiny.value(kGptOss + "experts.gate_up_proj_bias", at(2 * width) + alternating(n, width)));
  }
  EXPECT_EQ(layer.down.bias[kHidden + 9], tiny.value(kGptOss + "experts.down_proj_bias", kHidden + 9));
  EXPECT_EQ(layer.router.bias[1], tiny.value(kGptOss + "router.bias", 1));
  EXPECT_EQ(layer.router.scoring, Scoring::chosen_softmax);
  EXPECT_EQ(layer.activation, Activation::swiglu_clamped);
  EXPECT_EQ(layer.swiglu_limit, 5.0F);
  EXPECT_EQ(layer.swiglu_alpha, 1.702F);
}

TEST_F(Layout, GptOssIsTransposedAndAlternates) {
  constexpr int kW = 80;  // more than one tile of the transposition
  TinyCheckpoint tiny = gpt_oss(kW);
  tiny.add(kGptOss + "experts.gate_up_proj", "BF16", {kExperts, kHidden, 2 * kW});
  tiny.add(kGptOss + "experts.down_proj", "BF16", {kExperts, kW, kHidden});
  const Layer layer = tiny.load(directory_ / "g");
  const auto code = [](const Experts& m, int e, int n, int k) {
    const std::size_t i = ((at(e) * at(m.rows) + at(n)) * at(m.cols) + at(k)) * 2;
    return decode_bf16(static_cast<std::uint16_t>(m.codes[i] | m.codes[i + 1] << 8));
  };
  for (int e = 0; e < kExperts; ++e) {
    for (int n = 0; n < 2 * kW; ++n) {
      for (int k = 0; k < kHidden; ++k) {
        ASSERT_EQ(code(layer.gate_up, e, n, k), tiny.value(kGptOss + "experts.gate_up_proj",
                                                           (at(e) * kHidden + at(k)) * 2 * kW + alternating(n, kW)));
      }
    }
    for (int n = 0; n < kHidden; ++n) {
      for (int k = 0; k < kW; ++k) {
        ASSERT_EQ(code(layer.down, e, n, k),
                  tiny.value(kGptOss + "experts.down_proj", (at(e) * kW + at(k)) * kHidden + at(n)));
      }
    }
  }
  expect_gpt_oss_biases(tiny, layer);
}

TEST_F(Layout, GptOssMxfp4) {
  TinyCheckpoint tiny = gpt_oss(kWidth);
  tiny.config["quantization_config"] = {{"quant_method", "mxfp4"},
                                        {"modules_to_not_convert", {"model.layers.*.self_attn", "lm_head"}}};
  const std::string experts = kGptOss + "experts.";
  tiny.add(experts + "gate_up_proj_blocks", "U8", {kExperts, 2 * kWidth, kHidden / 32, 16});
  tiny.add(experts + "gate_up_proj_scales", "U8", {kExperts, 2 * kWidth, kHidden / 32});
  tiny.add(experts + "down_proj_blocks", "U8", {kExperts, kHidden, kWidth / 32, 16});
  tiny.add(experts + "down_proj_scales", "U8", {kExperts, kHidden, kWidth / 32});
  const Layer layer = tiny.load(directory_ / "g");
  EXPECT_EQ(layer.down.scheme, (Scheme{WeightScheme::mxfp4, InputScheme::bf16}));
  for (int e = 0; e < kExperts; ++e) {
    for (int n = 0; n < 2 * kWidth; ++n) {
      const std::size_t row = at(e * 2 * kWidth + n);
      const std::size_t stored = at(e * 2 * kWidth) + alternating(n, kWidth);
      for (std::size_t b = 0; b < kHidden / 2; ++b) {
        ASSERT_EQ(layer.gate_up.codes[row * kHidden / 2 + b],
                  tiny.byte(experts + "gate_up_proj_blocks", stored * kHidden / 2 + b));
      }
      ASSERT_EQ(layer.gate_up.group_scales[row * 2 + 1], tiny.byte(experts + "gate_up_proj_scales", stored * 2 + 1));
    }
    ASSERT_EQ(layer.down.codes[at(e) * kHidden * 16 + 77],
              tiny.byte(experts + "down_proj_blocks", at(e) * kHidden * 16 + 77));
  }
  expect_gpt_oss_biases(tiny, layer);

  const Layer fp8 = tiny.load(directory_ / "g", 0, {.mxfp4_inputs = InputScheme::mxfp8});
  EXPECT_EQ(fp8.gate_up.scheme.inputs, InputScheme::mxfp8);
  EXPECT_EQ(fp8.down.scheme.inputs, InputScheme::mxfp8);
  EXPECT_TRUE(mentions(complaint_about<std::uint8_t>(tiny, experts + "down_proj_scales", 70, 0xff),
                       {"down_proj_scales", "NaN", "[1, 6, 0]"}));
}

TEST_F(Layout, ModelOptsGptOssIsPackedAlongItsRows) {
  TinyCheckpoint tiny = gpt_oss(kWidth);
  tiny.config["quantization_config"] = {{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}, {"ignore", {"lm_head"}}};
  const std::string experts = kGptOss + "experts.";
  tiny.add(experts + "gate_up_proj", "U8", {kExperts, kHidden / 2, 2 * kWidth});
  tiny.add(experts + "gate_up_proj_weight_scale", "F8_E4M3", {kExperts, kHidden / 16, 2 * kWidth});
  tiny.add(experts + "gate_up_proj_weight_scale_2", "F32", {});
  tiny.add(experts + "gate_up_proj_input_scale", "F32", {});
  tiny.add(experts + "down_proj", "U8", {kExperts, kWidth / 2, kHidden});
  tiny.add(experts + "down_proj_weight_scale", "F8_E4M3", {kExperts, kWidth / 16, kHidden});
  tiny.add(experts + "down_proj_weight_scale_2", "F32", {});
  tiny.add(experts + "down_proj_input_scale", "F32", {});
  const Layer layer = tiny.load(directory_ / "g");
  EXPECT_EQ(layer.gate_up.scheme, (Scheme{WeightScheme::nvfp4, InputScheme::nvfp4}));
  for (int e = 0; e < kExperts; ++e) {
    for (int n = 0; n < 2 * kWidth; ++n) {
      const std::size_t row = at(e * 2 * kWidth + n);
      for (std::size_t b = 0; b < kHidden / 2; ++b) {
        ASSERT_EQ(layer.gate_up.codes[row * kHidden / 2 + b],
                  tiny.byte(experts + "gate_up_proj", (at(e) * kHidden / 2 + b) * 2 * kWidth + alternating(n, kWidth)));
      }
      for (std::size_t g = 0; g < kHidden / 16; ++g) {
        ASSERT_EQ(layer.gate_up.group_scales[row * kHidden / 16 + g],
                  tiny.byte(experts + "gate_up_proj_weight_scale",
                            (at(e) * kHidden / 16 + g) * 2 * kWidth + alternating(n, kWidth)));
      }
      ASSERT_EQ(layer.gate_up.scales[row], tiny.value(experts + "gate_up_proj_weight_scale_2", 0));
    }
    EXPECT_EQ(layer.down.input_scales[at(e)], tiny.value(experts + "down_proj_input_scale", 0));
  }
}

Json qwen3_config(int hidden, int width) {
  return {
      {"model_type", "qwen3_moe"},      {"num_experts", 1},     {"num_experts_per_tok", 1}, {"hidden_size", hidden},
      {"moe_intermediate_size", width}, {"hidden_act", "silu"}, {"num_hidden_layers", 1},   {"norm_topk_prob", true}};
}

const std::string kQwen3 = "model.layers.0.mlp.experts.0.";

TinyCheckpoint compressed_nvfp4(bool with_inputs) {
  Json group = {{"targets", {"Linear"}},
                {"weights", {{"num_bits", 4}, {"type", "float"}, {"strategy", "tensor_group"}, {"group_size", 16}}},
                {"input_activations", nullptr}};
  if (with_inputs) {
    group["input_activations"] = group["weights"];
    group["input_activations"]["dynamic"] = "local";
  }
  TinyCheckpoint tiny;
  tiny.config = quantized({{"quant_method", "compressed-tensors"},
                           {"format", "nvfp4-pack-quantized"},
                           {"config_groups", {{"group_0", group}}}},
                          qwen3_config(kHidden, kWidth));
  tiny.add("model.layers.0.mlp.gate.weight", "BF16", {1, kHidden});
  for (const std::string name : {"gate_proj", "up_proj", "down_proj"}) {
    const bool down = name == "down_proj";
    const int rows = down ? kHidden : kWidth;
    const int cols = down ? kWidth : kHidden;
    tiny.add(kQwen3 + name + ".weight_packed", "U8", {rows, cols / 2});
    tiny.add(kQwen3 + name + ".weight_scale", "F8_E4M3", {rows, cols / 16});
    tiny.add(kQwen3 + name + ".weight_global_scale", "F32", {1});
    if (with_inputs) tiny.add(kQwen3 + name + ".input_global_scale", "F32", {1});
  }
  return tiny;
}

TEST_F(Layout, CompressedTensorsGlobalScalesDivide) {
  const TinyCheckpoint tiny = compressed_nvfp4(true);
  const Layer layer = tiny.load(directory_ / "q");
  EXPECT_EQ(layer.gate_up.scheme, (Scheme{WeightScheme::nvfp4, InputScheme::nvfp4}));
  EXPECT_EQ(layer.gate_up.scales[3], 1 / tiny.value(kQwen3 + "gate_proj.weight_global_scale", 0));
  EXPECT_EQ(layer.gate_up.scales[kWidth + 3], 1 / tiny.value(kQwen3 + "up_proj.weight_global_scale", 0));
  EXPECT_EQ(layer.gate_up.input_scales[0], 1 / std::min(tiny.value(kQwen3 + "gate_proj.input_global_scale", 0),
                                                        tiny.value(kQwen3 + "up_proj.input_global_scale", 0)));
  EXPECT_EQ(layer.gate_up.codes[kWidth * kHidden / 2 + 6], tiny.byte(kQwen3 + "up_proj.weight_packed", 6));
  EXPECT_EQ(layer.down.group_scales[5], tiny.byte(kQwen3 + "down_proj.weight_scale", 5));
}

TEST_F(Layout, WithoutInputScalesActivationsStayBf16) {
  const TinyCheckpoint tiny = compressed_nvfp4(false);
  const Layer layer = tiny.load(directory_ / "q");
  EXPECT_EQ(layer.down.scheme, (Scheme{WeightScheme::nvfp4, InputScheme::bf16}));
  EXPECT_TRUE(layer.down.input_scales.empty());
  TinyCheckpoint more = tiny;
  more.add(kQwen3 + "up_proj.input_global_scale", "F32", {1});
  EXPECT_TRUE(mentions(complaint(more), {"up_proj.input_global_scale", "no meaning"}));
}

TEST_F(Layout, Nvfp4ScalesAreChecked) {
  const TinyCheckpoint tiny = compressed_nvfp4(true);
  const std::string scale = kQwen3 + "up_proj.weight_scale";
  for (const auto& [code, word] : {std::pair<std::uint8_t, const char*>{0x00, "is 0 "},
                                   {0x80, "is -0 "},
                                   {0x81, "is -0.00"},
                                   {0x7f, "nan"},
                                   {0xff, "nan"}}) {
    EXPECT_TRUE(mentions(complaint_about(tiny, scale, 9, code), {scale, word, "at [2, 1]", "positive"})) << int{code};
  }
  const std::string global = kQwen3 + "up_proj.weight_global_scale";
  EXPECT_TRUE(mentions(complaint_about(tiny, global, 0, 0.0F), {global, "positive"}));
  EXPECT_TRUE(mentions(complaint_about(tiny, global, 0, 1e-40F), {global, "reciprocal"}));
  EXPECT_TRUE(mentions(complaint_about(tiny, global, 0, 3e38F), {}));
  EXPECT_TRUE(mentions(complaint_about(tiny, kQwen3 + "up_proj.input_global_scale", 0, INFINITY), {"positive"}));
}

TEST_F(Layout, GroupsMustBeWhole) {
  TinyCheckpoint tiny = compressed_nvfp4(true);
  tiny.config["moe_intermediate_size"] = 24;
  for (const std::string name : {"gate_proj", "up_proj"}) {
    for (const auto& [suffix, cols] : {std::pair("packed", 32), std::pair("scale", 4)}) {
      const std::string full = kQwen3 + name + ".weight_" + suffix;
      const std::string dtype = tiny.parts.header[full]["dtype"];
      tiny.parts.rename(full, "old." + full);
      tiny.add(full, dtype, {24, cols});
    }
  }
  EXPECT_TRUE(mentions(complaint(tiny), {"down_proj", "24 columns", "multiple of 16", "NVFP4"}));
}

/// DeepSeek-V3 with blocks that are not whole, in the second layer; the first is dense.
TinyCheckpoint deepseek(int hidden, int width, const std::string& scale_dtype) {
  TinyCheckpoint tiny;
  tiny.config = {{"model_type", "deepseek_v3"},
                 {"n_routed_experts", 4},
                 {"num_experts_per_tok", 2},
                 {"n_shared_experts", 2},
                 {"hidden_size", hidden},
                 {"moe_intermediate_size", width},
                 {"hidden_act", "silu"},
                 {"num_hidden_layers", 2},
                 {"first_k_dense_replace", 1},
                 {"n_group", 2},
                 {"topk_group", 1},
                 {"norm_topk_prob", true},
                 {"routed_scaling_factor", 2.5},
                 {"scoring_func", "sigmoid"},
                 {"quantization_config",
                  {{"quant_method", "fp8"},
                   {"fmt", "e4m3"},
                   {"activation_scheme", "dynamic"},
                   {"weight_block_size", {128, 128}}}}};
  const std::string block = "model.layers.1.mlp.";
  tiny.add(block + "gate.weight", "BF16", {4, hidden});
  tiny.add(block + "gate.e_score_correction_bias", "F32", {4});
  const auto linear = [&](const std::string& module, int rows, int cols) {
    tiny.add(block + module + ".weight", "F8_E4M3", {rows, cols});
    tiny.add(block + module + ".weight_scale_inv", scale_dtype, {(rows + 127) / 128, (cols + 127) / 128});
  };
  for (int e = 0; e <= 4; ++e) {
    const std::string expert = e < 4 ? "experts." + std::to_string(e) : "shared_experts";
    const int w = e < 4 ? width : 2 * width;
    linear(expert + ".gate_proj", w, hidden);
    linear(expert + ".up_proj", w, hidden);
    linear(expert + ".down_proj", hidden, w);
  }
  return tiny;
}

TEST_F(Layout, BlocksBeginAnewWithEachPart) {
  const TinyCheckpoint tiny = deepseek(264, 136, "F32");
  const Layer layer = tiny.load(directory_ / "d", 1);
  EXPECT_EQ(layer.gate_up.scheme, (Scheme{WeightScheme::fp8_block, InputScheme::fp8_group}));
  for (int n = 0; n < 2 * 136; ++n) {
    for (int k = 0; k < 264; ++k) {
      const std::string part = n < 136 ? "gate_proj" : "up_proj";
      ASSERT_EQ(
          layer.gate_up.scales[layer.gate_up.block_index(2, n, k)],
          tiny.value("model.layers.1.mlp.experts.2." + part + ".weight_scale_inv", at(n % 136 / 128 * 3 + k / 128)));
    }
  }
  EXPECT_EQ(layer.down.scales[layer.down.block_index(3, 263, 135)],
            tiny.value("model.layers.1.mlp.experts.3.down_proj.weight_scale_inv", 5));
  EXPECT_EQ(layer.shared_gate_up.rows, 4 * 136);
  EXPECT_EQ(layer.shared_down.cols, 2 * 136);
  EXPECT_EQ(layer.shape.shared_width, 2 * 136);
  EXPECT_TRUE(layer.shared_gate.empty());
  EXPECT_EQ(layer.router.correction[2], tiny.value("model.layers.1.mlp.gate.e_score_correction_bias", 2));
  EXPECT_EQ(layer.router.groups, 2);
  EXPECT_EQ(layer.router.top_groups, 1);
  EXPECT_EQ(layer.router.scale, 2.5F);
  EXPECT_EQ(deepseek(128, 128, "BF16").load(directory_ / "e", 1).down.scales.size(), 4U);
}

TEST_F(Layout, RouterValuesMustBeFinite) {
  const TinyCheckpoint tiny = deepseek(128, 128, "F32");
  const std::string correction = "model.layers.1.mlp.gate.e_score_correction_bias";
  EXPECT_TRUE(mentions(complaint_about(tiny, correction, 1, -INFINITY, 1), {correction, "-inf at [1]", "finite"}));
  EXPECT_EQ(complaint_about(tiny, correction, 1, -1.0F, 1), "") << "a correction may be negative";
}

TEST_F(Layout, Qwen35HasASharedExpertWithAGate) {
  TinyCheckpoint tiny;
  tiny.config = {{"model_type", "qwen3_5_moe"},
                 {"text_config",
                  {{"num_experts", kExperts},
                   {"num_experts_per_tok", 2},
                   {"hidden_size", kHidden},
                   {"moe_intermediate_size", kWidth},
                   {"shared_expert_intermediate_size", 16},
                   {"hidden_act", "silu"},
                   {"num_hidden_layers", 1}}}};
  const std::string block = "model.language_model.layers.0.mlp.";
  tiny.add(block + "gate.weight", "BF16", {kExperts, kHidden});
  tiny.add(block + "experts.gate_up_proj", "BF16", {kExperts, 2 * kWidth, kHidden});
  tiny.add(block + "experts.down_proj", "BF16", {kExperts, kHidden, kWidth});
  tiny.add(block + "shared_expert.gate_proj.weight", "BF16", {16, kHidden});
  tiny.add(block + "shared_expert.up_proj.weight", "BF16", {16, kHidden});
  tiny.add(block + "shared_expert.down_proj.weight", "BF16", {kHidden, 16});
  tiny.add(block + "shared_expert_gate.weight", "BF16", {1, kHidden});
  const Layer layer = tiny.load(directory_ / "q");
  EXPECT_EQ(layer.shared_gate[5], tiny.value(block + "shared_expert_gate.weight", 5));
  EXPECT_EQ(layer.shape.shared_width, 16);
  EXPECT_EQ(layer.down.codes[1001], tiny.byte(block + "experts.down_proj", 1001));

  // Experts in one tensor are no Linear modules, so that a group for those leaves them as they are.
  tiny.config["quantization_config"] = kFp8Static;
  tiny.config["quantization_config"]["ignore"] = {"re:.*shared_expert.*"};
  EXPECT_EQ(tiny.load(directory_ / "q").gate_up.scheme, Scheme{});
  tiny.config["quantization_config"]["config_groups"]["group_0"]["targets"] = {"re:.*experts.*"};
  EXPECT_TRUE(mentions(complaint(tiny), {"experts.gate_up_proj", "all experts in one tensor", "FP8 static"}));
}

TEST_F(Layout, AMixOfSchemesInOneProjectionIsRefused) {
  TinyCheckpoint tiny = mixtral_static("BF16", {1});
  tiny.config["quantization_config"]["ignore"] = {"model.layers.0.block_sparse_moe.experts.1.w3"};
  EXPECT_TRUE(mentions(complaint(tiny), {"experts.1.w3 bf16", "experts.0.w1 FP8 static", "must be of one kind"}));
}

}  // namespace
}  // namespace moesaic::checkpoint
