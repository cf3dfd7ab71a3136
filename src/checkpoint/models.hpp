#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "spec/layer.hpp"

/// The MoE models that people download, as data: their shapes, and the schemes in which each architecture is published.
namespace moesaic::checkpoint {

/// Architectures, by how their MoE blocks differ.
enum class Family : std::uint8_t { mixtral, qwen3, qwen3_5, gemma4, deepseek_v3, glm4, glm4_lite, gpt_oss };

/// Schemes as they are published: what the numbers are, and whose layout and quantization_config they come in.
enum class Published : std::uint8_t {
  bf16,
  fp8_dynamic,           ///< compressed-tensors: a scale per output channel, activations per token
  fp8_static,            ///< compressed-tensors: a scale per tensor, input scales from calibration
  fp8_modelopt,          ///< the same in ModelOpt's layout
  fp8_block,             ///< 128x128 blocks with weight_scale_inv, as DeepSeek and Qwen publish them
  fp8_block_compressed,  ///< 128x128 blocks in compressed-tensors' layout
  nvfp4,                 ///< compressed-tensors, input scales from calibration
  nvfp4_a16,             ///< compressed-tensors, activations in bf16
  nvfp4_modelopt,        ///< ModelOpt
  mxfp4,                 ///< gpt-oss: _blocks and _scales
};

struct PublishedScheme {
  Published scheme;
  std::string_view name;  ///< as `moesaic synth --scheme` takes it
  std::string_view about;
};

/// All schemes, in the order of Published.
std::span<const PublishedScheme> published_schemes();
const PublishedScheme& describe(Published scheme);

/// The schemes in which models of this architecture are published.
std::span<const Published> published(Family family);

std::string_view title(Family family);

/// A model whose shape can be asked for by name.
struct KnownModel {
  std::string_view name;
  Family family;
  Shape shape;
  int layers = 0;  ///< MoE layers of the real model
  int groups = 1;  ///< of the router
  int top_groups = 1;
};

/// Real models, and "qwen3-small", which is scaled down. Sources: config.json of each as its makers published it.
std::span<const KnownModel> known_models();

}  // namespace moesaic::checkpoint
