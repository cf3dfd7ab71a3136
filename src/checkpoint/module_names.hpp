#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace moesaic::checkpoint {

/// A set of modules of a model, by name or pattern, as quantization configurations list them. The patterns are
/// Python's, as far as PCRE2 reads the same in them.
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
  /// `place`: what errors call the list. Throws Error for an entry that is no pattern that can be read.
  ModuleNames(const std::vector<std::string>& entries, Dialect dialect, std::string place);

  /// Whether an entry names the module itself.
  bool names(std::string_view module) const;
  /// Whether a pattern matches it. Throws Error when finding out takes a million steps, which no pattern that was
  /// meant for names does: what hostile files cost is bounded.
  bool matches(std::string_view module) const;
  bool contains(std::string_view module) const { return names(module) || matches(module); }

 private:
  class Pattern;

  void add_pattern(const std::string& entry, const std::string& pattern);

  Dialect dialect_ = Dialect::compressed_tensors;
  std::string place_;
  std::set<std::string, std::less<>> names_;
  std::vector<std::shared_ptr<const Pattern>> patterns_;
};

}  // namespace moesaic::checkpoint
