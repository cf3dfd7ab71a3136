#include "checkpoint/quantization.hpp"

#include <fmt/format.h>

namespace moesaic::checkpoint {
namespace {

constexpr std::size_t kMaxNames = 200'000;

/// Block FP8 as DeepSeek and Qwen publish it and as transformers' FineGrainedFP8 writes it (weight_block_size), or one
/// scale per matrix and fixed input scales, as AutoFP8 wrote it. DeepSeek's scale_fmt "ue8m0" (activation scales that
/// are powers of two) is a wish of its own kernels: activations get the scales of fp8_group all the same.
const Format& fp8_format(const Section& quantization) {
  quantization.require("fmt", "e4m3", "e4m3");
  quantization.require("scale_fmt", "ue8m0", "ue8m0");
  if (quantization.find("weight_block_size") == nullptr) {
    quantization.require("activation_scheme", "static");
    return *find_format(kFp8Method, Granularity::tensor, InputScheme::fp8_static);
  }
  quantization.require("weight_block_size", {kBlockSide, kBlockSide});
  quantization.require("activation_scheme", "dynamic");
  return *find_format(kFp8Method, Granularity::block, InputScheme::fp8_group);
}

}  // namespace

ModuleNames read_names(const Section& section, std::string_view key, ModuleNames::Dialect dialect) {
  return {section.texts(key, kMaxNames), dialect, section.place(key)};
}

const Quantization::Said* Quantization::find_listed(std::string_view module) const {
  for (std::size_t end = module.size(); end != std::string_view::npos && end != 0; end = module.rfind('.', end - 1)) {
    if (const auto found = layers_.find(module.substr(0, end)); found != layers_.end()) return &found->second;
  }
  return nullptr;
}

const Format& Quantization::format_of(std::string_view module, Kind kind) const {
  if (ignored_.contains(module)) return kPlainFormat;
  if (const Said* listed = find_listed(module); listed != nullptr) return listed->get();
  // compressed-tensors' match_targets: a name goes before a pattern, and a pattern before a class.
  for (const Rule& rule : rules_) {
    if (rule.targets.names(module)) return rule.said.get();
  }
  for (const Rule& rule : rules_) {
    if (rule.targets.matches(module)) return rule.said.get();
  }
  for (const Rule& rule : rules_) {
    if (kind == Kind::linear ? rule.every_linear : rule.every_fused) return rule.said.get();
  }
  return kPlainFormat;
}

Quantization read_quantization(const Section& quantization, const Section* model_opt) {
  const auto all_but = [&](const Format* format, std::string_view key) {
    Quantization result;
    result.ignored_ = read_names(quantization, key, ModuleNames::Dialect::transformers);
    result.rules_.push_back({{}, true, true, {format}});
    return result;
  };
  const std::string method = quantization.text("quant_method");
  if (method == "compressed-tensors") return read_compressed_tensors(quantization);
  if (method == "modelopt" || method == "modelopt_fp4") {
    // Its older versions list the layers of a mix in their own file alone.
    // Some copy their own file's part into config.json as it is.
    if (quantization.find("quant_algo") == nullptr && quantization.find("quantization") != nullptr) {
      return read_model_opt(quantization.section("quantization"), "exclude_modules");
    }
    const bool elsewhere = quantization.find("quantized_layers") == nullptr && model_opt != nullptr;
    if (!elsewhere || quantization.find("quant_algo") == nullptr || quantization.text("quant_algo") != kMixedPrecision)
      return read_model_opt(quantization, "ignore");
    return read_model_opt(model_opt->section("quantization"), "exclude_modules");
  }
  if (method == "fp8") {
    const bool ignored = quantization.find("ignored_layers") != nullptr;
    return all_but(&fp8_format(quantization), ignored ? "ignored_layers" : "modules_to_not_convert");
  }
  if (method == "mxfp4") {
    return all_but(find_format(kMxfp4Method, Granularity::none, InputScheme::bf16), "modules_to_not_convert");
  }
  throw quantization.fail("quant_method",
                          fmt::format("is {}; supported: compressed-tensors (float-quantized, nvfp4-pack-quantized), "
                                      "fp8, modelopt (FP8, NVFP4, a mix of them), mxfp4",
                                      shown(method)));
}

}  // namespace moesaic::checkpoint
