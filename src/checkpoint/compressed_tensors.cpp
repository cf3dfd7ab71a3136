#include <fmt/format.h>

#include "checkpoint/quantization.hpp"

/// quant_method compressed-tensors: config_groups of targets, weights and input_activations, as
/// compressed_tensors/quantization/quant_args.py and quant_scheme.py of compressed-tensors 0.19 define them.
namespace moesaic::checkpoint {
namespace {

/// The format of a configuration whose groups have formats of their own.
constexpr std::string_view kMixed = "mixed-precision";

/// What a group says of its activations. `group` is its section.
InputScheme float_inputs(const Section& group) {
  if (group.find("input_activations") == nullptr) {
    throw group.fail("input_activations",
                     "is missing; supported with float-quantized weights: e4m3 activations, dynamic with strategy "
                     "token or group, or static with strategy tensor");
  }
  const Section inputs = group.section("input_activations");
  inputs.require("num_bits", 8);
  inputs.require("type", "float");
  inputs.require("symmetric", true, true);
  if (!inputs.boolean_or("dynamic", false)) {
    inputs.require("strategy", "tensor");
    return InputScheme::fp8_static;
  }
  const std::string strategy = inputs.text("strategy");
  if (strategy == "token") return InputScheme::fp8_token;
  if (strategy != "group") {
    throw inputs.fail("strategy", fmt::format("is {}; supported when dynamic: token, group", shown(strategy)));
  }
  inputs.require("group_size", kBlockSide);
  return InputScheme::fp8_group;
}

const Format& float_format(const Section& group) {
  const Section weights = group.section("weights");
  weights.require("num_bits", 8);
  weights.require("type", "float");
  weights.require("symmetric", true, true);
  weights.require("dynamic", false, false);
  const std::string strategy = weights.text("strategy");
  const Granularity scales = strategy == "tensor"    ? Granularity::tensor
                             : strategy == "channel" ? Granularity::channel
                             : strategy == "block"   ? Granularity::block
                                                     : Granularity::none;
  if (scales == Granularity::none) {
    throw weights.fail("strategy", fmt::format("is {}; supported: tensor, channel, block", shown(strategy)));
  }
  if (scales == Granularity::block) {
    weights.require("block_structure", {kBlockSide, kBlockSide}, {kBlockSide, kBlockSide});
  }
  const InputScheme inputs = float_inputs(group);
  const Format* format = find_format(kFloatQuantized, scales, inputs);
  if (format == nullptr) {
    throw group.fail("input_activations.strategy",
                     scales == Granularity::block ? "must be group when the weights' is block: a scale per 128 values"
                                                  : "must be token or tensor unless the weights' is block");
  }
  return *format;
}

const Format& nvfp4_format(const Section& group) {
  const auto check = [&](const Section& part) {
    part.require("num_bits", 4);
    part.require("type", "float");
    part.require("strategy", "tensor_group");
    part.require("group_size", kNvfp4Group);
    part.require("symmetric", true, true);
  };
  const Section weights = group.section("weights");
  check(weights);
  weights.require("dynamic", false, false);
  if (group.find("input_activations") == nullptr) {
    return *find_format(kNvfp4Pack, Granularity::none, InputScheme::bf16);
  }
  const Section inputs = group.section("input_activations");
  check(inputs);
  inputs.require("dynamic", "local");
  return *find_format(kNvfp4Pack, Granularity::none, InputScheme::nvfp4);
}

/// What the configuration as a whole says of its format counts for groups that do not say it themselves.
const Format& group_format(const Section& group, const Section& quantization) {
  group.require_none("output_activations", "outputs are not quantized here");
  const std::string whole = quantization.text("format");
  const Section& speaker = group.find("format") != nullptr ? group : quantization;
  const std::string format = speaker.text("format");
  if (format != whole && whole != kMixed) {
    throw group.fail("format",
                     fmt::format("is {}, but that of the whole is {}; they must agree", shown(format), shown(whole)));
  }
  // A code per byte, whatever its type; float-quantized is its newer name where that is e4m3.
  if (format == "float-quantized" || format == "naive-quantized") return float_format(group);
  if (format == "nvfp4-pack-quantized") return nvfp4_format(group);
  throw speaker.fail(
      "format", fmt::format("is {}; supported: float-quantized, naive-quantized, nvfp4-pack-quantized", shown(format)));
}

}  // namespace

Quantization read_compressed_tensors(const Section& quantization) {
  quantization.require_none("transform_config", "transforms of weights and activations are not supported");
  if (const Json* sparsity = quantization.find("sparsity_config"); sparsity != nullptr && !sparsity->empty()) {
    quantization.section("sparsity_config").require("format", "dense");
  }
  const bool mixed = quantization.text("format") == kMixed;
  const Section groups = quantization.section("config_groups");
  if (groups.object().empty()) throw quantization.fail("config_groups", "is empty; must hold the quantized layers");

  Quantization result;
  result.ignored_ = read_names(quantization, "ignore", ModuleNames::Dialect::compressed_tensors);
  for (const auto& [name, unused] : groups.object().items()) {
    const Section group = groups.section(name);
    Quantization::Rule rule;
    rule.targets = read_names(group, "targets", ModuleNames::Dialect::compressed_tensors);
    rule.every_linear = rule.targets.names("Linear");
    const auto read = [&]() -> const Format& { return group_format(group, quantization); };
    rule.said = mixed ? Quantization::Said::attempt(read) : Quantization::Said{&read()};
    result.rules_.push_back(std::move(rule));
  }
  return result;
}

}  // namespace moesaic::checkpoint
