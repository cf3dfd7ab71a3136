#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace moesaic::checkpoint {

/// A set of modules of a model, by name or pattern, as quantization configurations list them. Matching takes time
/// linear in the name whatever the pattern is.
class ModuleNames {
 public:
  /// How much of a name an entry must match.
  enum class Dialect {
    /// compressed-tensors' match_name: the whole name, or after "re:" a regular expression that matches from its start.
    compressed_tensors,
    /// transformers' should_convert_module, at dots only: a module, one above it, or the last parts of its name; a
    /// regular expression when it has more than letters, digits, "_", "-" and ".".
    transformers,
    /// ModelOpt: a module or one above it, "*" and "?" as in file names.
    wildcards,
  };

  ModuleNames() = default;
  /// Throws std::invalid_argument, with the reason, for an entry that is no pattern that can be read.
  ModuleNames(const std::vector<std::string>& entries, Dialect dialect);

  /// Whether an entry names the module itself.
  bool names(std::string_view module) const;
  /// Whether a pattern matches it.
  bool matches(std::string_view module) const;
  bool contains(std::string_view module) const { return names(module) || matches(module); }

 private:
  void add_pattern(const std::string& entry, const std::string& pattern);

  Dialect dialect_ = Dialect::compressed_tensors;
  std::set<std::string, std::less<>> names_;
  std::vector<std::shared_ptr<const re2::RE2>> patterns_;
};

}  // namespace moesaic::checkpoint
