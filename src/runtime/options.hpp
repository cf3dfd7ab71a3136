#pragma once

#include <string>
#include <utility>
#include <vector>

#include "emulator/driver.hpp"

/// How `moesaic emulate` tells the libraries that stand in for CUDA's what to emulate: by the environment of the
/// program.
namespace moesaic::runtime {

/// MOESAIC_GPU: a card that is known ("gb10"), or one with other data: "gb10;sms=4;full_name=Half a GB10".
inline constexpr const char* kGpuVariable = "MOESAIC_GPU";
/// MOESAIC_CHECK: "all", "none" or names of checks with commas between (emulator/checks.hpp).
inline constexpr const char* kCheckVariable = "MOESAIC_CHECK";
/// MOESAIC_SEED: of the order of things.
inline constexpr const char* kSeedVariable = "MOESAIC_SEED";
/// MOESAIC_HOST_THREADS: threads that emulate; 0: all of the machine.
inline constexpr const char* kHostThreadsVariable = "MOESAIC_HOST_THREADS";
/// MOESAIC_SPIN_LIMIT: warp instructions of a block that change nothing, after which it is livelocked.
inline constexpr const char* kSpinLimitVariable = "MOESAIC_SPIN_LIMIT";
/// MOESAIC_JOURNAL: the file to which the libraries write what they see (runtime/journal.hpp); without it they say it
/// on stderr when the program ends.
inline constexpr const char* kJournalVariable = "MOESAIC_JOURNAL";

/// The card that such a text stands for; its names live as long as the process. Throws Error that says what is wrong.
Device parse_card(const std::string& text);

/// The text for a card.
std::string describe_card(const Device& card);

/// What the environment asks for: an emulated GB10 with all checks where it says nothing. Throws Error that names the
/// variable.
emulator::DriverOptions options_from_environment();

/// The variables that ask for it, but for the journal. `checks`: as parse_checks() reads them; those in `options` are
/// not looked at.
std::vector<std::pair<std::string, std::string>> environment_of(const emulator::DriverOptions& options,
                                                                const std::string& checks);

}  // namespace moesaic::runtime
