#pragma once

#include <map>
#include <string>
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

  /// The format of a module; kPlainFormat for one that is not quantized. Throws Error for a module whose scheme is not
  /// read, where the configuration lists others that are.
  const Format& format_of(std::string_view module, Kind kind) const;

 private:
  /// What is said of some modules: their format, or why it is not read.
  struct Said {
    const Format* format = nullptr;
    std::string refusal{};

    /// The format that `read` returns, or the Error that it throws: what is not read of a mix may be of a part that is
    /// not read either, attention, say.
    static Said attempt(const auto& read) {
      try {
        return {&read()};
      } catch (const Error& e) {
        return {nullptr, e.what()};
      }
    }
    const Format& get() const {
      if (format == nullptr) throw Error(refusal);
      return *format;
    }
  };
  struct Rule {
    ModuleNames targets;
    bool every_linear = false;  ///< the class Linear is a target
    bool every_fused = false;   ///< a fused module is meant too
    Said said{};
  };
  friend Quantization read_compressed_tensors(const Section& quantization);
  friend Quantization read_model_opt(const Section& quantization, std::string_view ignored);
  friend Quantization read_quantization(const Section& quantization, const Section* model_opt);

  /// The entry of the module, else of the nearest one above it; null when there is none.
  const Said* find_listed(std::string_view module) const;

  ModuleNames ignored_;
  std::map<std::string, Said, std::less<>> layers_;  // each of one module and those below it
  std::vector<Rule> rules_;
};

/// ModelOpt's quant_algo where each module has its own.
inline constexpr std::string_view kMixedPrecision = "MIXED_PRECISION";

/// Reads the quantization_config of a config.json. `model_opt`: the hf_quant_config.json beside it, which counts when
/// the other does not list a mix's layers; null when there is none. Throws Error that names the key and what is
/// supported, for every scheme that is not read.
Quantization read_quantization(const Section& quantization, const Section* model_opt);

/// The part of it for quant_method compressed-tensors.
Quantization read_compressed_tensors(const Section& quantization);

/// The part of it that ModelOpt writes, in either file. `ignored`: the key of the modules that are not quantized.
Quantization read_model_opt(const Section& quantization, std::string_view ignored);

/// The modules of a list. Throws Error that names the key.
ModuleNames read_names(const Section& section, std::string_view key, ModuleNames::Dialect dialect);

}  // namespace moesaic::checkpoint
