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

/// The one quantization scheme that is read, in words for people.
inline constexpr std::string_view kScheme =
    "FP8 dynamic (compressed-tensors float-quantized): weights e4m3, a scale per output channel; activations e4m3, a "
    "scale per token";

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

/// The bytes that load_layer will hold: the expert weights, their scales as float, and the router.
std::uint64_t layer_bytes(const Shape& shape);

/// Loads one MoE layer, reading each tensor once, to where it stays. `index` counts all layers of the model.
/// Throws Error when that layer is not MoE; when a tensor is missing, unknown, of another dtype or shape; for NaN among
/// weights; for scales that are not positive and finite; for a router that bf16 does not hold exactly.
Layer load_layer(const Model& model, int index, const Progress& progress = {});

}  // namespace moesaic::checkpoint
