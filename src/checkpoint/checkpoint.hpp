#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "checkpoint/config.hpp"
#include "checkpoint/safetensors.hpp"
#include "spec/layer.hpp"

/// A model's directory as people download it: config.json and model.safetensors, or shards with
/// model.safetensors.index.json. Everything in it is doubted until checked.
namespace moesaic::checkpoint {

/// Called with bytes done and bytes in all while something long goes on.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// A tensor and the file that holds it.
struct StoredTensor {
  std::filesystem::path file;
  Tensor tensor;
};

/// What a directory holds; no weights yet.
struct Model {
  std::filesystem::path directory;
  Config config;
  std::map<std::string, StoredTensor, std::less<>> tensors;  ///< by name, of all files
};

/// Reads config.json and the headers of all files. Throws Error that names the file, the key or tensor, and what would
/// be right. Shards lie in the directory itself; a tensor may be in one of them only.
Model open(const std::filesystem::path& directory);

/// What the loader may choose.
struct LoadOptions {
  /// The activations that meet MXFP4 weights: bf16 or mxfp8. The checkpoint does not say.
  InputScheme mxfp4_inputs = InputScheme::bf16;
};

/// Loads one MoE layer as layer_plan.hpp plans it. `index` counts all layers of the model. Throws Error.
Layer load_layer(const Model& model, int index, const Progress& progress = {});

}  // namespace moesaic::checkpoint
