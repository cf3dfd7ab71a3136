#include "checkpoint/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/section.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr std::uint64_t kMaxConfigBytes = 16'000'000;
constexpr std::int64_t kMaxExtent = 1 << 20;  ///< of a dimension: past any model, and products fit 64 bits
constexpr std::int64_t kMaxLayers = 65536;
constexpr std::int64_t kMaxExperts = 65536;

const Architecture& find_architecture(const Section& config) {
  const Json* type = config.find("model_type");
  std::vector<std::string_view> supported;
  for (const Architecture& architecture : kArchitectures) {
    for (const std::string_view name : architecture.model_types) {
      if (name.empty()) continue;
      if (type != nullptr && *type == Json(name)) return architecture;
      supported.push_back(name);
    }
  }
  throw config.fail("model_type",
                    fmt::format("is {}; supported: {}", type ? shown(*type) : "missing", fmt::join(supported, ", ")));
}

/// A number that goes by several names; those that are there must agree.
int integer_of(const Section& config, std::initializer_list<std::string_view> keys, std::int64_t high) {
  int value = 0;
  std::string_view first;
  for (const std::string_view key : keys) {
    if (config.find(key) == nullptr) continue;
    const int found = config.integer(key, 1, high);
    if (value != 0 && value != found) {
      throw config.fail(key, fmt::format("is {}, but {} is {}; they must agree", found, first, value));
    }
    value = found;
    first = key;
  }
  if (value == 0) {
    throw config.fail(*keys.begin(), fmt::format("is missing; must be an integer from 1 to {}", high));
  }
  return value;
}

/// How wide the shared expert is; 0: there is none.
int shared_width(const Section& config, const Architecture& architecture, int width) {
  switch (architecture.shared_width) {
    case SharedWidth::none:
      break;
    case SharedWidth::key:
      return config.integer(architecture.shared_key, 1, kMaxExtent);
    case SharedWidth::experts:
      if (config.find("n_shared_experts") == nullptr) break;
      return config.integer("n_shared_experts", 0, kMaxExtent / width) * width;
  }
  return 0;
}

Shape read_shape(const Section& config, const Architecture& architecture) {
  Shape shape;
  // Mixtral, gpt-oss and newer transformers write the second, Qwen and Gemma the first, DeepSeek and GLM the third.
  shape.experts = integer_of(config, {"num_experts", "num_local_experts", "n_routed_experts"}, kMaxExperts);
  shape.top_k = integer_of(config, {"num_experts_per_tok", "top_k_experts", "experts_per_token"}, shape.experts);
  shape.hidden = config.integer("hidden_size", 1, kMaxExtent);
  shape.width = config.integer(architecture.width_key, 1, kMaxExtent);
  shape.shared_width = shared_width(config, architecture, shape.width);
  return shape;
}

void read_activation(const Section& config, const Architecture& architecture, Layer& outline) {
  config.require(architecture.activation_key, architecture.activation_name);
  outline.activation = architecture.activation;
  if (outline.activation != Activation::swiglu_clamped) return;
  const auto positive = [&](std::string_view key, float absent) {
    const auto value = static_cast<float>(config.number_or(key, static_cast<double>(absent)));
    if (!(value > 0) || value > 1e6F) throw config.fail(key, fmt::format("is {}, must be from 0 to 1e6", value));
    return value;
  };
  outline.swiglu_alpha = positive("swiglu_alpha", outline.swiglu_alpha);
  outline.swiglu_limit = positive("swiglu_limit", outline.swiglu_limit);
}

/// DeepSeek's groups of experts: transformers, DeepseekV3TopkRouter.
void read_groups(const Section& config, const Shape& shape, Router& router) {
  config.require("scoring_func", "sigmoid", "sigmoid");
  config.require("topk_method", "noaux_tc", "noaux_tc");
  router.groups = config.integer("n_group", 1, shape.experts);
  router.top_groups = config.integer("topk_group", 1, router.groups);
  const int in_group = shape.experts / router.groups;
  if (shape.experts % router.groups != 0 || (router.groups > 1 && in_group < 2)) {
    throw config.fail("n_group", fmt::format("is {}, must divide the {} experts into groups of at least 2",
                                             router.groups, shape.experts));
  }
  if (router.top_groups * in_group < shape.top_k) {
    throw config.fail("topk_group", fmt::format("is {}: its groups hold {} experts, fewer than the {} of each token",
                                                router.top_groups, router.top_groups * in_group, shape.top_k));
  }
  const double scale = config.number("routed_scaling_factor");
  if (!(scale > 0) || scale > 1e6) {
    throw config.fail("routed_scaling_factor", fmt::format("is {}, must be above 0 and at most 1e6", scale));
  }
  router.scale = static_cast<float>(scale);
}

void read_router(const Section& config, const Architecture& architecture, const Shape& shape, Router& router) {
  router.scoring = architecture.scoring;
  switch (architecture.renormalize) {
    case Renormalize::always:
      config.require("norm_topk_prob", true, true);
      break;
    case Renormalize::key:
      router.renormalize = config.boolean_or("norm_topk_prob", false);
      break;
    case Renormalize::required_key:
      router.renormalize = config.boolean("norm_topk_prob");
      break;
  }
  if (router.scoring == Scoring::sigmoid) read_groups(config, shape, router);
}

/// Marks the layers that a key says have no experts.
using Dense = std::vector<bool>;

void mark_listed(const Section& config, Dense& dense) {
  const Json* list = config.find("mlp_only_layers");
  if (list == nullptr) return;
  if (!list->is_array()) throw config.fail("mlp_only_layers", "must be a list of layer indices");
  for (const Json& item : *list) {
    if (!item.is_number_unsigned()) {
      throw config.fail("mlp_only_layers", fmt::format("holds {}; must be layer indices", shown(item)));
    }
    const auto index = item.get<std::uint64_t>();  // past the last layer is harmless and published
    if (index < dense.size()) dense[index] = true;
  }
}

void mark_typed(const Section& config, Dense& dense) {
  if (config.find("mlp_layer_types") == nullptr) return;
  const std::vector<std::string> types = config.texts("mlp_layer_types", static_cast<std::size_t>(kMaxLayers));
  if (types.size() != dense.size()) {
    throw config.fail("mlp_layer_types", fmt::format("has {} entries, must have one for each of the {} layers",
                                                     types.size(), dense.size()));
  }
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (types[i] != "dense" && types[i] != "sparse") {
      throw config.fail("mlp_layer_types", fmt::format("holds {}; supported: dense, sparse", shown(types[i])));
    }
    if (types[i] == "dense") dense[i] = true;
  }
}

/// Which layers have experts: transformers' decoder layers of Qwen3-MoE (mlp_only_layers, decoder_sparse_step),
/// DeepSeek-V3 and GLM-4 MoE (first_k_dense_replace, moe_layer_freq) and GLM-4 MoE Lite (mlp_layer_types).
std::vector<int> moe_layers(const Section& config, const Architecture& architecture, int layer_count) {
  Dense dense(static_cast<std::size_t>(layer_count), false);
  const auto step = [&](std::string_view key) {
    return config.find(key) != nullptr ? config.integer(key, 1, kMaxExtent) : 1;
  };
  const int sparse_step = step("decoder_sparse_step");
  const int frequency = step("moe_layer_freq");
  const bool typed = config.find("mlp_layer_types") != nullptr;
  const bool first_matters = architecture.scoring == Scoring::sigmoid && !typed;
  const int first = first_matters ? config.integer("first_k_dense_replace", 0, kMaxLayers) : 0;
  mark_listed(config, dense);
  mark_typed(config, dense);
  std::vector<int> layers;
  for (int i = 0; i < layer_count; ++i) {
    if (!dense[static_cast<std::size_t>(i)] && i >= first && (i + 1) % sparse_step == 0 && i % frequency == 0) {
      layers.push_back(i);
    }
  }
  if (layers.empty()) {
    throw config.fail("num_hidden_layers", fmt::format("is {}: none of them has experts, by what mlp_only_layers, "
                                                       "decoder_sparse_step, first_k_dense_replace, moe_layer_freq "
                                                       "and mlp_layer_types say",
                                                       layer_count));
  }
  return layers;
}

/// The part of the configuration that is about text: the whole, or text_config where there is one.
Section text_part(const Section& config) {
  return config.find("text_config") != nullptr ? config.section("text_config") : config;
}

Quantization read_all_quantization(const Section& config, const Section& text, const std::filesystem::path& file) {
  std::optional<Json> json;
  std::optional<Section> model_opt;
  if (const auto path = file.parent_path() / "hf_quant_config.json"; std::filesystem::exists(path)) {
    json = read_object(path, kMaxConfigBytes);
    model_opt.emplace(*json, path.string() + ": ");
  }
  // The order in which vLLM looks. compression_config: how llm-compressor called it in 2024.
  constexpr std::string_view kUsual = "quantization_config";
  for (const auto& [owner, key] : {std::pair{&config, kUsual}, {&text, kUsual}, {&config, "compression_config"}}) {
    if (owner->find(key) != nullptr) {
      return read_quantization(owner->section(key), model_opt ? &*model_opt : nullptr);
    }
  }
  if (!model_opt) return {};
  return read_model_opt(model_opt->section("quantization"), "exclude_modules");
}

}  // namespace

Config read_config(const std::filesystem::path& file) {
  const Json json = read_object(file, kMaxConfigBytes);
  const Section config(json, file.string() + ": ");
  Config result;
  const Architecture& architecture = find_architecture(config);
  const Section text = text_part(config);
  result.architecture = &architecture;
  result.quantization = read_all_quantization(config, text, file);

  if (!architecture.moe_flag.empty()) text.require(architecture.moe_flag, true);
  text.require("use_double_wide_mlp", false, false);  // Gemma 4: layers of two widths, which no published MoE has
  Layer& outline = result.outline;
  outline.shape = read_shape(text, architecture);
  outline.epsilon = static_cast<float>(text.number_or("rms_norm_eps", static_cast<double>(outline.epsilon)));
  if (!(outline.epsilon > 0) || outline.epsilon > 1) throw text.fail("rms_norm_eps", "must be above 0 and at most 1");
  read_activation(text, architecture, outline);
  read_router(text, architecture, outline.shape, outline.router);
  result.layer_count = text.integer("num_hidden_layers", 1, kMaxLayers);
  result.moe_layers = moe_layers(text, architecture, result.layer_count);
  return result;
}

}  // namespace moesaic::checkpoint
