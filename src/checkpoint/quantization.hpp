#pragma once

#include <string_view>
#include <vector>

#include "checkpoint/format.hpp"
#include "checkpoint/module_names.hpp"
#include "checkpoint/section.hpp"

namespace moesaic::checkpoint {

/// What a model's quantization configuration says: which module is stored in which format.
class Quantization {
 public:
  /// What a module is to a configuration that names classes of modules.
  enum class Kind {
    linear,  ///< a torch.nn.Linear of its own
    fused,   ///< a tensor of a module that holds all experts
  };

  /// The format of a module; kPlainFormat for one that is not quantized.
  const Format& format_of(std::string_view module, Kind kind) const;

 private:
  struct Rule {
    ModuleNames targets;
    bool every_linear = false;  ///< the class Linear is a target
    bool every_fused = false;   ///< a fused module is meant too
    const Format* format = nullptr;
  };
  friend Quantization read_compressed_tensors(const Section& quantization);
  friend Quantization read_quantization(const Section& config, const Section* model_opt);

  ModuleNames ignored_;
  std::vector<Rule> rules_;
};

/// Reads the quantization_config of a config.json. `model_opt`: the hf_quant_config.json beside it, which counts when
/// there is no quantization_config; null when there is none. Throws Error that names the key and what is supported, for
/// every scheme that is not read.
Quantization read_quantization(const Section& config, const Section* model_opt);

/// The part of it for quant_method compressed-tensors.
Quantization read_compressed_tensors(const Section& quantization);

/// The modules of a list. Throws Error that names the key.
ModuleNames read_names(const Section& section, std::string_view key, ModuleNames::Dialect dialect);

}  // namespace moesaic::checkpoint
