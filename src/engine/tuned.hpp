#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/cost.hpp"

/// Variants that were measured to be the fastest, from a file: they speak before the cost model does.
namespace moesaic::engine {

/// A variant for one problem on one card and a range of tokens.
struct TunedEntry {
  std::string card;  ///< as the driver names it: "NVIDIA GB10"
  Problem problem;
  int top_k = 1;
  int least_tokens = 0;  ///< both included
  int most_tokens = 0;
  std::string variant;  ///< full name
};

class TunedTable {
 public:
  TunedTable() = default;  ///< of no entries

  /// Reads a JSON file, {"entries": [{"card": "NVIDIA GB10", "experts": 128, "n": 1536, "k": 2048, "top_k": 8,
  /// "layout": "rows", "x_format": "e4m3", "tokens": [9, 16], "variant": "moe_fp8_gemm/..."}, ...]}; layout and
  /// x_format may be left out. Throws Error that names the entry: when a field is missing, unknown or of the wrong
  /// kind, when the variant is not among `variants`, and when two entries speak of the same case.
  static TunedTable read(const std::string& file, std::span<const Config> variants);

  /// The entry for this work on this card, or null.
  const TunedEntry* find(const Work& work, const Device& device) const;

  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::vector<TunedEntry> entries_;
};

/// The words for layouts and formats in files and on the command line. Null when the word is unknown.
std::optional<WeightLayout> parse_layout(const std::string& word);
std::optional<TokenFormat> parse_token_format(const std::string& word);

}  // namespace moesaic::engine
