#include "checkpoint/module_names.hpp"

#include <fmt/format.h>
#include <re2/re2.h>
#include <re2/stringpiece.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "checkpoint/section.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr std::size_t kMaxPatternBytes = 2000;
constexpr std::size_t kMaxPatterns = 4096;  // each is held against each module
constexpr std::string_view kRegexMark = "re:";

bool is_plain(std::string_view entry) {
  return std::ranges::all_of(entry, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
}

/// A file-name pattern as a regular expression.
std::string from_wildcards(std::string_view entry) {
  std::string pattern;
  for (const char c : entry) {
    if (c == '*' || c == '?') {
      pattern += c == '*' ? ".*" : ".";
    } else {
      pattern += RE2::QuoteMeta(re2::StringPiece(&c, 1));
    }
  }
  return pattern;
}

}  // namespace

ModuleNames::ModuleNames(const std::vector<std::string>& entries, Dialect dialect) : dialect_(dialect) {
  for (const std::string& entry : entries) {
    if (dialect == Dialect::compressed_tensors) {
      if (entry.starts_with(kRegexMark)) {
        add_pattern(entry, fmt::format("(?:{}).*", entry.substr(kRegexMark.size())));
      } else {
        names_.insert(entry);
      }
    } else if (is_plain(entry)) {
      names_.insert(entry);
    } else {
      const std::string pattern = dialect == Dialect::wildcards ? from_wildcards(entry) : entry;
      add_pattern(entry, fmt::format("(?:{})(?:\\..*)?", pattern));
    }
  }
}

void ModuleNames::add_pattern(const std::string& entry, const std::string& pattern) {
  if (entry.size() > kMaxPatternBytes) {
    throw std::invalid_argument(fmt::format("holds a pattern of {} bytes; at most {}", entry.size(), kMaxPatternBytes));
  }
  if (patterns_.size() == kMaxPatterns) {
    throw std::invalid_argument(fmt::format("holds more than {} patterns", kMaxPatterns));
  }
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(1 << 20);
  auto compiled = std::make_shared<const RE2>(pattern, options);
  if (!compiled->ok()) {
    const bool looks_around = std::ranges::any_of(std::array{"(?=", "(?!", "(?<=", "(?<!"}, [&](const char* group) {
      return pattern.find(group) != std::string::npos;
    });
    throw std::invalid_argument(
        fmt::format("holds the pattern {}, which cannot be read: {}", shown(entry),
                    looks_around ? "looking ahead or behind is not supported" : compiled->error()));
  }
  patterns_.push_back(std::move(compiled));
}

bool ModuleNames::names(std::string_view module) const {
  if (names_.contains(module)) return true;
  if (dialect_ == Dialect::compressed_tensors) return false;
  for (std::size_t dot = module.find('.'); dot != std::string_view::npos; dot = module.find('.', dot + 1)) {
    if (names_.contains(module.substr(0, dot))) return true;
    if (dialect_ == Dialect::transformers && names_.contains(module.substr(dot + 1))) return true;
  }
  return false;
}

bool ModuleNames::matches(std::string_view module) const {
  const re2::StringPiece name(module.data(), module.size());
  return std::ranges::any_of(patterns_, [&](const auto& pattern) { return RE2::FullMatch(name, *pattern); });
}

}  // namespace moesaic::checkpoint
