#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel_report/ptxas_report.hpp"
#include "kernel_report/sass.hpp"
#include "spec/config.hpp"

/// Whether the compiled kernels are what their Config says.
namespace moesaic::kernel_report {

/// The targets that ship, and the card whose limits count for each.
struct Target {
  std::string_view name;
  std::string_view card;
};
inline constexpr std::array kTargets{Target{"sm_90a", "h200"}, Target{"sm_120f", "gb10"}};

/// A main loop in figures.
struct LoopCounts {
  int mma = 0;       ///< of one turn, for each warp
  Counts between{};  ///< from the first mma to the last
  Counts whole{};    ///< of the whole body
};

/// One entry for one target.
struct Row {
  std::string name;  ///< a GEMM variant's full name, else the entry's
  Compiled compiled;
  std::optional<Config> config;  ///< of a GEMM variant
  std::size_t smem_bytes = 0;
  int blocks_per_sm =
      0;  ///< that fit an SM of the target's card with the registers found; 0 where the threads are not known
  std::size_t instructions = 0;
  std::vector<LoopCounts> loops;  ///< by their number of mma, ascending
};

struct Report {
  std::vector<Row> rows;
  std::vector<std::string> problems;  ///< sentences; empty: all is as it should be
};

/// Holds what was compiled against the table of variants: that each entry of the table is there, and
///   every entry         no spill, no stack frame, the same entries for every target
///   each GEMM variant   no more registers than its Config allows, no fewer blocks per SM than it means to have; no
///   local memory in
///                       a main loop; the multiply that it names; griddepcontrol's two instructions; setmaxnreg where
///                       its producers are a warpgroup
/// A variant of the plain multiply need not be there for sm_90a.
Report judge(const PtxasReport& ptxas, const std::vector<Code>& sass, std::span<const Config> variants);

}  // namespace moesaic::kernel_report
