#include "checkpoint/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/json.hpp"
#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr std::uint64_t kMaxConfigBytes = 16'000'000;
constexpr std::int64_t kMaxExtent = 1 << 20;  ///< of a dimension: past any model, and products fit 64 bits

/// One JSON object and the path that leads to it, so that errors can name the key.
class Section {
 public:
  Section(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  Error fail(std::string_view key, const std::string& what) const {
    return Error(fmt::format("{}{}: {}", where_, key, what));
  }

  /// Absent and null are the same: older files leave out what newer ones write as null.
  const Json* find(std::string_view key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  int integer(std::string_view key, std::int64_t low, std::int64_t high) const {
    const Json* value = find(key);
    if (value == nullptr) throw fail(key, fmt::format("is missing; must be an integer from {} to {}", low, high));
    const bool whole = value->is_number_integer() && (!value->is_number_unsigned() ||
                                                      value->get<std::uint64_t>() <= static_cast<std::uint64_t>(high));
    if (!whole || value->get<std::int64_t>() < low || value->get<std::int64_t>() > high) {
      throw fail(key, fmt::format("is {}, must be an integer from {} to {}", shown(*value), low, high));
    }
    return value->get<int>();
  }

  /// Throws unless the value is exactly `wanted`. Absent counts as `absent`.
  void require(std::string_view key, const Json& wanted, const Json& absent = nullptr) const {
    const Json* value = find(key);
    if ((value != nullptr ? *value : absent) != wanted) {
      throw fail(key, fmt::format("is {}; supported: {}", value != nullptr ? shown(*value) : "missing", shown(wanted)));
    }
  }

  /// Throws unless the value is absent, null or empty.
  void require_none(std::string_view key, std::string_view why) const {
    const Json* value = find(key);
    if (value != nullptr && !(value->is_structured() && value->empty())) {
      throw fail(key, fmt::format("is {}, must be empty: {}", shown(*value), why));
    }
  }

  Section section(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) throw fail(key, "is missing; must be an object");
    if (!value->is_object()) throw fail(key, fmt::format("is {}, must be an object", shown(*value)));
    return {*value, fmt::format("{}{}.", where_, key)};
  }

  const Json& object() const { return object_; }

  /// A value as it may stand in an error: one line, not too long, no control characters.
  static std::string shown(const Json& value) {
    const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
    return text.size() <= 120 ? text : text.substr(0, 117) + "...";
  }

 private:
  const Json& object_;
  std::string where_;
};

const Architecture& find_architecture(const Section& config) {
  const Json* type = config.find("model_type");
  const auto* found = std::ranges::find_if(
      kArchitectures, [&](const Architecture& a) { return type != nullptr && *type == Json(a.model_type); });
  if (found != kArchitectures.end()) return *found;
  std::array<std::string_view, kArchitectures.size()> supported;
  std::ranges::transform(kArchitectures, supported.begin(), &Architecture::model_type);
  throw config.fail("model_type", fmt::format("is {}; supported: {}", type ? Section::shown(*type) : "missing",
                                              fmt::join(supported, ", ")));
}

int expert_count(const Section& config, const Architecture& architecture) {
  constexpr std::int64_t kMaxExperts = 65536;
  int count = 0;
  for (const std::string_view key : architecture.experts_keys) {
    if (config.find(key) == nullptr) continue;
    const int value = config.integer(key, 1, kMaxExperts);
    if (count != 0 && count != value) {
      throw config.fail(
          key, fmt::format("is {}, but {} is {}; they must agree", value, architecture.experts_keys[0], count));
    }
    count = value;
  }
  if (count == 0) throw config.fail(architecture.experts_keys[0], "is missing; must be the number of experts");
  return count;
}

/// Layer i is MoE unless mlp_only_layers names it or decoder_sparse_step leaves it out: transformers,
/// Qwen3MoeDecoderLayer.
std::vector<int> moe_layers(const Section& config, int layer_count) {
  constexpr int kMaxStep = 1 << 20;
  const int step =
      config.find("decoder_sparse_step") != nullptr ? config.integer("decoder_sparse_step", 1, kMaxStep) : 1;
  std::vector<bool> dense(static_cast<std::size_t>(layer_count), false);
  if (const Json* list = config.find("mlp_only_layers")) {
    if (!list->is_array()) throw config.fail("mlp_only_layers", "must be a list of layer indices");
    for (const Json& item : *list) {
      if (!item.is_number_unsigned()) {
        throw config.fail("mlp_only_layers", fmt::format("holds {}; must be layer indices", Section::shown(item)));
      }
      const auto index = item.get<std::uint64_t>();  // past the last layer is harmless and published
      if (index < dense.size()) dense[index] = true;
    }
  }
  std::vector<int> layers;
  for (int i = 0; i < layer_count; ++i) {
    if (!dense[static_cast<std::size_t>(i)] && (i + 1) % step == 0) layers.push_back(i);
  }
  if (layers.empty()) throw config.fail("mlp_only_layers", "and decoder_sparse_step leave no layer with experts");
  return layers;
}

/// compressed-tensors `float-quantized` as llm-compressor's FP8_DYNAMIC writes it: e4m3 weights with one scale per
/// output channel, activations quantized per token when they come.
void check_group(const Section& group) {
  for (const std::string_view what : {"weights", "input_activations"}) {
    const bool is_weights = what == "weights";
    const Section part = group.section(what);
    part.require("num_bits", 8);
    part.require("type", "float");
    part.require("strategy", is_weights ? "channel" : "token");
    part.require("dynamic", !is_weights, false);
    part.require("symmetric", true, true);
    part.require_none("scale_dtype", "scales are used as they are stored");
  }
  group.require_none("output_activations", "outputs are not quantized here");
  group.require("format", "float-quantized", "float-quantized");
}

void check_quantization(const Section& config) {
  if (config.find("quantization_config") == nullptr) {
    throw config.fail("quantization_config",
                      "is missing: the weights are not quantized; supported: compressed-tensors FP8 "
                      "(float-quantized), as llm-compressor's scheme FP8_DYNAMIC writes it");
  }
  const Section quantization = config.section("quantization_config");
  quantization.require("quant_method", "compressed-tensors");
  quantization.require("format", "float-quantized");
  quantization.require_none("transform_config", "transforms of weights and activations are not supported");
  if (const Json* sparsity = quantization.find("sparsity_config"); sparsity != nullptr && !sparsity->empty()) {
    quantization.section("sparsity_config").require("format", "dense");
  }
  const Section groups = quantization.section("config_groups");
  if (groups.object().empty()) throw quantization.fail("config_groups", "is empty; must hold the quantized layers");
  // Which modules a group means is left to their tensors: those of the experts must be FP8, the router's must not.
  for (const auto& [name, ignored] : groups.object().items()) check_group(groups.section(name));
}

}  // namespace

Config read_config(const std::filesystem::path& file) {
  const Json json = read_object(file, kMaxConfigBytes);
  const Section config(json, file.string() + ": ");
  Config result;
  result.architecture = &find_architecture(config);
  check_quantization(config);
  config.require("hidden_act", "silu");
  Shape& shape = result.shape;
  shape.experts = expert_count(config, *result.architecture);
  shape.top_k = config.integer(result.architecture->top_k_key, 1, shape.experts);
  shape.hidden = config.integer("hidden_size", 1, kMaxExtent);
  shape.width = config.integer(result.architecture->width_key, 1, kMaxExtent);
  if (const Json* renormalize = config.find("norm_topk_prob")) {
    if (!renormalize->is_boolean()) throw config.fail("norm_topk_prob", "must be true or false");
    result.renormalize = renormalize->get<bool>();
  }
  constexpr std::int64_t kMaxLayers = 65536;
  result.layer_count = config.integer("num_hidden_layers", 1, kMaxLayers);
  result.moe_layers = moe_layers(config, result.layer_count);
  return result;
}

}  // namespace moesaic::checkpoint
