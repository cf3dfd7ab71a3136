#pragma once

#include <filesystem>
#include <vector>

#include "checkpoint/architecture.hpp"
#include "checkpoint/quantization.hpp"
#include "spec/layer.hpp"

namespace moesaic::checkpoint {

/// What the configuration says of a model's MoE layers, checked.
struct Config {
  const Architecture* architecture = nullptr;  ///< static data
  Layer outline;                               ///< what all MoE layers have in common: a Layer without its tensors
  int layer_count = 0;                         ///< all layers of the model, dense ones included
  std::vector<int> moe_layers;                 ///< indices, ascending; never empty
  Quantization quantization;
};

/// Reads a config.json, its quantization_config included, and the hf_quant_config.json beside it where there is one.
/// Throws Error that names the file, the key and what is supported, for other architectures and quantization schemes
/// too.
Config read_config(const std::filesystem::path& file);

}  // namespace moesaic::checkpoint
