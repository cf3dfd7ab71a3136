#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit_code.hpp"
#include "reference/judgement.hpp"
#include "spec/layer.hpp"

namespace moesaic::cli {

/// What `moesaic run` tells, as text for people or as JSON.
struct RunReport {
  std::string directory;
  std::string architecture;
  int layer_count = 0;
  int moe_layer_count = 0;
  int layer_index = 0;
  std::string layer_name;
  Shape shape;
  std::uint64_t layer_bytes = 0;  ///< in memory
  std::uint64_t disk_bytes = 0;
  std::uint64_t peak_bytes = 0;  ///< of memory, while it was loaded
  std::string layout;            ///< how the experts lie in the files
  std::string scheme;

  int tokens = 0;
  std::string token_source;  ///< "made up" or the file's name
  std::uint64_t seed = 0;

  std::string device_asked;
  std::string place;
  std::string reason;
  std::vector<std::string> kernels;  ///< that ran; empty on the cpu
  std::vector<std::string> choices;  ///< why these, a sentence for each GEMM
  std::vector<int> tokens_per_expert;

  std::optional<double> time_s;               ///< wall time of the run; none on an emulated card
  std::optional<reference::Judgement> check;  ///< when it was asked for
  std::string out;                            ///< file written, or empty
  std::vector<std::string> next;
};

/// kCheckFailed when a check was made and failed, else kOk.
ExitCode exit_code(const RunReport& report);

/// Several lines for a newcomer. `colour`: with ANSI colour.
std::string as_text(const RunReport& report, bool colour);

/// One JSON object.
std::string as_json(const RunReport& report);

}  // namespace moesaic::cli
