#include <fmt/format.h>

#include "checkpoint/json.hpp"
#include "checkpoint/quantization.hpp"
#include "spec/error.hpp"

/// quant_method modelopt: one algorithm for all that is not excluded, or for each module its own, as
/// modelopt/torch/export of ModelOpt 0.47 writes them.
namespace moesaic::checkpoint {
namespace {

constexpr std::size_t kMaxLayers = 200'000;

/// The format of quant_algo in a section, which may say the group_size too.
const Format& algorithm_format(const Section& section) {
  const std::string algorithm = section.text("quant_algo");
  if (algorithm == "FP8") return *find_format(kModelOpt, Granularity::tensor, InputScheme::fp8_static);
  const bool a16 = algorithm == "W4A16_NVFP4";
  if (!a16 && algorithm != "NVFP4") {
    throw section.fail("quant_algo",
                       fmt::format("is {}; supported: FP8, NVFP4, W4A16_NVFP4, and {} for a model as a whole",
                                   shown(algorithm), kMixedPrecision));
  }
  section.require("group_size", kNvfp4Group, kNvfp4Group);
  return *find_format(kModelOpt, Granularity::none, a16 ? InputScheme::bf16 : InputScheme::nvfp4);
}

}  // namespace

Quantization read_model_opt(const Section& quantization, std::string_view ignored) {
  Quantization result;
  result.ignored_ = read_names(quantization, ignored, ModuleNames::Dialect::wildcards);
  // Without an algorithm nothing but the key-value cache is quantized.
  if (quantization.find("quant_algo") == nullptr) return result;
  if (quantization.text("quant_algo") != kMixedPrecision) {
    result.rules_.push_back({{}, true, true, {&algorithm_format(quantization)}});
    return result;
  }
  const Section layers = quantization.section("quantized_layers");
  if (layers.object().size() > kMaxLayers) {
    throw quantization.fail("quantized_layers",
                            fmt::format("has {} entries; at most {}", layers.object().size(), kMaxLayers));
  }
  for (const auto& [name, unused] : layers.object().items()) {
    const Section layer = layers.section(name);
    if (layer.text("quant_algo") == "UNQUANTIZED") {
      result.layers_[name] = {&kPlainFormat};
      continue;
    }
    result.layers_[name] = Quantization::Said::attempt([&]() -> const Format& { return algorithm_format(layer); });
  }
  return result;
}

}  // namespace moesaic::checkpoint
