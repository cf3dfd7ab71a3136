#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "checkpoint/architecture.hpp"
#include "spec/layer.hpp"

namespace moesaic::checkpoint {

/// What config.json says of a model's MoE layers, checked.
struct Config {
  const Architecture* architecture = nullptr;  ///< static data
  Shape shape;
  bool renormalize = false;
  int layer_count = 0;          ///< all layers of the model, dense ones included
  std::vector<int> moe_layers;  ///< indices, ascending; never empty
};

/// Reads config.json, its quantization_config included. Throws Error that names the file, the key and what is
/// supported, for other architectures and quantization schemes too.
Config read_config(const std::filesystem::path& file);

}  // namespace moesaic::checkpoint
