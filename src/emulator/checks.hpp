#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moesaic::emulator {

/// A block that changes nothing (stores, atomics, barriers) for so many warp instructions is livelocked: by default.
inline constexpr std::uint64_t kSpinLimit = std::uint64_t{1} << 28;

/// What an emulated card looks out for while a kernel runs, beyond what is always an error (addresses out of bounds,
/// misalignment, deadlock, wrong transaction counts).
struct Checks {
  bool undefined = false;       ///< values that nobody wrote, used where it matters
  bool races = false;           ///< accesses that nothing orders, in a block, between blocks and between grids
  bool proxies = false;         ///< accesses by asynchronous copies and tensor maps without the fence they need
  bool early_reads = false;     ///< reads before griddepcontrol.wait of what a kernel in flight writes
  bool bank_conflicts = false;  ///< counts wavefronts of shared memory beyond those needed
  bool counts = false;          ///< counts bytes by space and mma by form

  static constexpr Checks none() { return {}; }
  static constexpr Checks all() { return {true, true, true, true, true, true}; }

  bool any() const { return undefined || orders() || bank_conflicts || counts; }
  /// Whether the order of accesses has to be followed.
  bool orders() const { return races || proxies || early_reads; }
  bool operator==(const Checks&) const = default;
};

/// What parse_checks() knows: all, none and the members.
std::vector<std::string> check_names();

/// Reads "all", "none" or names of the members above with commas between. Throws Error that names what is known.
Checks parse_checks(std::string_view text);

}  // namespace moesaic::emulator
