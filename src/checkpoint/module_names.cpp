#include "checkpoint/module_names.hpp"

#include <fmt/format.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "checkpoint/section.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr std::size_t kMaxPatternBytes = 2000;
constexpr std::size_t kMaxPatterns = 4096;  // each is held against each module
constexpr std::string_view kRegexMark = "re:";
constexpr std::string_view kSpecial = R"(\^$.|*?+()[]{})";  // in a regular expression
constexpr std::uint32_t kMaxSteps = 1'000'000;
constexpr std::uint32_t kMaxHeapKilobytes = 20'000;  // where the matcher keeps what it may come back to

template <auto Free>
struct Freed {
  void operator()(auto* p) const { Free(p); }
};
using Code = std::unique_ptr<pcre2_code, Freed<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>>;

std::string words_of(int error) {
  std::array<char, 256> text{};
  pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(text.data()), text.size());
  return text.data();
}

PCRE2_SPTR units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

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
      if (kSpecial.find(c) != std::string_view::npos) pattern += '\\';
      pattern += c;
    }
  }
  return pattern;
}

}  // namespace

class ModuleNames::Pattern {
 public:
  /// `entry`: what errors call it, at a `place`.
  Pattern(const std::string& entry, const std::string& pattern, const std::string& place)
      : entry_(entry), context_(pcre2_match_context_create(nullptr)) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code_.reset(
        pcre2_compile(units(pattern), pattern.size(), PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr));
    if (code_ == nullptr) {
      throw Error(
          fmt::format("{}: holds the pattern {}, which cannot be read: {}", place, shown(entry), words_of(error)));
    }
    pcre2_set_match_limit(context_.get(), kMaxSteps);
    pcre2_set_heap_limit(context_.get(), kMaxHeapKilobytes);
  }

  bool matches(std::string_view name, const std::string& place) const {
    const MatchData data(pcre2_match_data_create(1, nullptr));
    const int result = pcre2_match(code_.get(), units(name), name.size(), 0, 0, data.get(), context_.get());
    if (result >= 0) return true;
    if (result == PCRE2_ERROR_NOMATCH) return false;
    throw Error(fmt::format("{}: holds the pattern {}, which cannot be held against {}: {}", place, shown(entry_),
                            shown(name), words_of(result)));
  }

 private:
  std::string entry_;
  Code code_;
  MatchContext context_;
};

ModuleNames::ModuleNames(const std::vector<std::string>& entries, Dialect dialect, std::string place)
    : dialect_(dialect), place_(std::move(place)) {
  for (const std::string& entry : entries) {
    if (dialect == Dialect::compressed_tensors) {
      if (entry.starts_with(kRegexMark)) {
        add_pattern(entry, entry.substr(kRegexMark.size()));
      } else {
        names_.insert(entry);
      }
    } else if (is_plain(entry)) {
      names_.insert(entry);
    } else {
      const std::string pattern = dialect == Dialect::wildcards ? from_wildcards(entry) : entry;
      add_pattern(entry, fmt::format("(?:{})(?:\\..*)?\\z", pattern));
    }
  }
}

void ModuleNames::add_pattern(const std::string& entry, const std::string& pattern) {
  if (entry.size() > kMaxPatternBytes) {
    throw Error(fmt::format("{}: holds a pattern of {} bytes; at most {}", place_, entry.size(), kMaxPatternBytes));
  }
  if (patterns_.size() == kMaxPatterns) {
    throw Error(fmt::format("{}: holds more than {} patterns", place_, kMaxPatterns));
  }
  patterns_.push_back(std::make_shared<const Pattern>(entry, pattern, place_));
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
  return std::ranges::any_of(patterns_, [&](const auto& pattern) { return pattern->matches(module, place_); });
}

}  // namespace moesaic::checkpoint
