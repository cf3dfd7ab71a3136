#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/selection.hpp"

/// Why which variant would run, in full.
namespace moesaic::cli {

/// One GEMM for one number of tokens.
struct ExplainedGemm {
  std::string name;  ///< "gate_up" or "down"
  engine::Work work;
  engine::Floor floor;
  std::vector<engine::Candidate> candidates;  ///< those that can run, fastest first, then those that cannot
  std::optional<engine::Choice> choice;       ///< none when nothing can run
  std::string why_none;                       ///< then
};

struct Explanation {
  std::string what;  ///< the model's name, or "sizes as given"
  Device device;
  std::string tuned_file;  ///< empty: no table was given
  std::vector<ExplainedGemm> gemms;
};

/// Chooses as an engine would. Throws what choose() throws, but for the case that nothing can run, which is explained.
ExplainedGemm explain_gemm(const std::string& name, const engine::Work& work, const Device& device,
                           std::span<const Config> variants, const engine::Wishes& wishes);

std::string as_text(const Explanation& explanation);
std::string as_json(const Explanation& explanation);

}  // namespace moesaic::cli
