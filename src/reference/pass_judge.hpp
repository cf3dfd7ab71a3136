#pragma once

#include <string>
#include <vector>

#include "reference/judgement.hpp"
#include "spec/layer.hpp"

namespace moesaic::reference {

/// What passes through one set of experts, to be judged: rows sorted by expert.
struct PassInput {
  std::string prefix;  ///< of the stages' names: "" or "shared_"
  const Experts& gate_up;
  const Experts& down;
  std::vector<std::uint16_t> values;  ///< [R, hidden] bf16: the rows before they are quantized
  std::vector<std::int32_t> first;    ///< [experts + 1]
  int step = 0;                       ///< Trace::step

  std::size_t rows() const { return static_cast<std::size_t>(first.back()); }
};

/// Judges a pass stage by stage, each from the pass's own values of the stage before: x_scales, x_codes, gate_up, h,
/// h_scales, h_codes, down. Where the scheme has scales of small groups, their stages are x_group_scales and
/// h_group_scales; where it does not quantize, there are neither scales nor codes. Stops after the first stage whose
/// values are missing.
std::vector<Stage> judge_pass(const Layer& layer, const PassInput& input, const Pass& pass);

}  // namespace moesaic::reference
