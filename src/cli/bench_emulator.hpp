#pragma once

#include <string>
#include <vector>

namespace moesaic::cli {

/// How fast the emulator runs on one thread of this host.
struct EmulatorSpeed {
  std::string program;    ///< what ran, in words
  std::string checks;     ///< "none" or "all"
  std::string unit;       ///< "lane-instructions", "mma"
  double per_second = 0;  ///< the median of the runs
  double slowest = 0;     ///< of the runs
  double fastest = 0;
  int runs = 0;
};

/// Measures the emulator: a scalar program (an integer hash with an fma loop) and FP8 m16n8k32 multiplies, without and
/// with all checks, each for about `seconds` a run.
std::vector<EmulatorSpeed> measure_emulator(double seconds = 0.5, int runs = 5);

std::string as_text(const std::vector<EmulatorSpeed>& speeds);
std::string as_json(const std::vector<EmulatorSpeed>& speeds);

}  // namespace moesaic::cli
