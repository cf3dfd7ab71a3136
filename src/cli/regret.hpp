#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/cost.hpp"

/// What the cost model's choices cost, held against measurements: the file that `moesaic bench gemm --json` writes.
namespace moesaic::cli {

/// One problem, number of tokens, layout and dependence, with all variants that were measured there.
struct RegretPoint {
  std::string what;  ///< "qwen3-30b-a3b gate_up rows full"
  engine::Work work;
  std::string chosen;  ///< by the cost model among those that were measured
  double predicted_us = 0;
  double chosen_us = 0;  ///< measured
  std::string best;
  double best_us = 0;

  double regret() const { return chosen_us / best_us - 1; }
};

struct Regret {
  Device device;         ///< with the rates that the run measured
  std::string rates;     ///< where these come from, in words
  int not_in_build = 0;  ///< results whose variant this build does not have
  std::vector<RegretPoint> points;

  double worst() const;  ///< 0 without points
};

/// Reads the file and lets the cost model choose. The card is `device`, or the known card of the file's full name. The
/// limits that the run measured replace the card's rates. Throws Error when the file is no such report, or has no point
/// that can be judged.
Regret measure_regret(const std::string& file, const std::optional<Device>& device, std::span<const Config> variants);

std::string as_text(const Regret& regret);
std::string as_json(const Regret& regret);

}  // namespace moesaic::cli
