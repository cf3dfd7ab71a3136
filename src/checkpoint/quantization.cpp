#include "checkpoint/quantization.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace moesaic::checkpoint {
namespace {

constexpr std::size_t kMaxNames = 200'000;

/// Block FP8 as DeepSeek and Qwen publish it and as transformers' FineGrainedFP8 writes it (weight_block_size), or one
/// scale per matrix and fixed input scales, as AutoFP8 wrote it. DeepSeek's scale_fmt "ue8m0" (activation scales that
/// are powers of two) is a wish of its own kernels: activations get the scales of fp8_group all the same.
const Format& fp8_format(const Section& quantization) {
  quantization.require("fmt", "e4m3", "e4m3");
  if (quantization.find("weight_block_size") == nullptr) {
    quantization.require("activation_scheme", "static");
    return *find_format(kFp8Method, Granularity::tensor, InputScheme::fp8_static);
  }
  quantization.require("weight_block_size", {kBlockSide, kBlockSide});
  quantization.require("activation_scheme", "dynamic");
  return *find_format(kFp8Method, Granularity::block, InputScheme::fp8_group);
}

/// ModelOpt names one algorithm for all that is not excluded. Null: nothing but the key-value cache is quantized.
const Format* model_opt_format(const Section& quantization) {
  if (quantization.find("quant_algo") == nullptr) return nullptr;
  const std::string algorithm = quantization.text("quant_algo");
  if (algorithm == "FP8") return find_format(kModelOpt, Granularity::tensor, InputScheme::fp8_static);
  const bool a16 = algorithm == "W4A16_NVFP4";
  if (!a16 && algorithm != "NVFP4") {
    throw quantization.fail("quant_algo",
                            fmt::format("is {}; supported: FP8, NVFP4, W4A16_NVFP4", Section::shown(algorithm)));
  }
  quantization.require("group_size", kNvfp4Group, kNvfp4Group);
  return find_format(kModelOpt, Granularity::none, a16 ? InputScheme::bf16 : InputScheme::nvfp4);
}

}  // namespace

ModuleNames read_names(const Section& section, std::string_view key, ModuleNames::Dialect dialect) {
  try {
    return {section.texts(key, kMaxNames), dialect};
  } catch (const std::invalid_argument& e) {
    throw section.fail(key, e.what());
  }
}

const Format& Quantization::format_of(std::string_view module, Kind kind) const {
  if (ignored_.contains(module)) return kPlainFormat;
  // compressed-tensors' match_targets: a name goes before a pattern, and a pattern before a class.
  for (const Rule& rule : rules_) {
    if (rule.targets.names(module)) return *rule.format;
  }
  for (const Rule& rule : rules_) {
    if (rule.targets.matches(module)) return *rule.format;
  }
  for (const Rule& rule : rules_) {
    if (kind == Kind::linear ? rule.every_linear : rule.every_fused) return *rule.format;
  }
  return kPlainFormat;
}

Quantization read_quantization(const Section& config, const Section* model_opt) {
  Quantization result;
  const auto all_but = [&](const Format* format, const Section& section, std::string_view key,
                           ModuleNames::Dialect dialect) {
    result.ignored_ = read_names(section, key, dialect);
    if (format != nullptr) result.rules_.push_back({{}, true, true, format});
    return result;
  };
  if (config.find("quantization_config") == nullptr) {
    if (model_opt == nullptr) return result;
    const Section quantization = model_opt->section("quantization");
    return all_but(model_opt_format(quantization), quantization, "exclude_modules", ModuleNames::Dialect::wildcards);
  }
  const Section quantization = config.section("quantization_config");
  const std::string method = quantization.text("quant_method");
  if (method == "compressed-tensors") return read_compressed_tensors(quantization);
  if (method == "modelopt" || method == "modelopt_fp4") {
    return all_but(model_opt_format(quantization), quantization, "ignore", ModuleNames::Dialect::wildcards);
  }
  if (method == "fp8") {
    const std::string_view key =
        quantization.find("ignored_layers") != nullptr ? "ignored_layers" : "modules_to_not_convert";
    return all_but(&fp8_format(quantization), quantization, key, ModuleNames::Dialect::transformers);
  }
  if (method == "mxfp4") {
    const Format* format = find_format(kMxfp4Method, Granularity::none, InputScheme::bf16);
    return all_but(format, quantization, "modules_to_not_convert", ModuleNames::Dialect::transformers);
  }
  throw quantization.fail("quant_method",
                          fmt::format("is {}; supported: compressed-tensors (float-quantized, nvfp4-pack-quantized), "
                                      "fp8, modelopt (FP8, NVFP4), mxfp4",
                                      Section::shown(method)));
}

}  // namespace moesaic::checkpoint
