#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/checks.hpp"
#include "emulator/finding.hpp"
#include "spec/device.hpp"

/// The CUDA driver API over one emulated card. Like libcuda it is one state per process; unlike libcuda it exports no
/// symbol named cu*: its functions are found by name, and have the signatures of cuda.h.
namespace moesaic::emulator {

/// The card that the driver shows as device 0.
struct DriverOptions {
  Device card;                            ///< fewer `sms` make persistent kernels quick
  std::uint64_t seed = 1;                 ///< of the order in which warps run and copies complete
  int host_threads = 0;                   ///< 0: all of the host's
  std::uint64_t spin_limit = kSpinLimit;  ///< warp instructions without effect that are a livelock
  Checks checks{};                        ///< what is looked out for; see take_findings
  /// When set, gets each finding as soon as the kernels that were waited for have run; take_findings has none then.
  std::function<void(const Finding& finding)> found{};
  /// When set, gets the report on each kernel that failed.
  std::function<void(const std::string& report)> failed{};
};

/// Chooses the card and forgets everything before: memory, modules, contexts, errors. Not during another call.
void configure(const DriverOptions& options);

/// The function that libcuda exports under that name ("cuMemAlloc_v2"), or null if this driver has none.
void* find_function(std::string_view name);

/// What the emulator found out about the last failed call or kernel, beyond the error code; empty if nothing.
std::string last_fault();

/// What DriverOptions::checks found in the kernels that have run since it was asked last.
std::vector<Finding> take_findings();

}  // namespace moesaic::emulator
