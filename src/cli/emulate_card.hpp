#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "emulator/checks.hpp"

/// The card of `moesaic emulate`, whatever runs on it: a kernel or a program.
namespace moesaic::cli {

struct EmulateCardOptions {
  std::string gpu = "gb10";
  int sms = 0;  ///< 0: as many as the card has
  std::uint64_t seed = 1;
  int host_threads = 0;  ///< 0: all
  std::uint64_t spin_limit = emulator::kSpinLimit;
  std::string checks = "all";
};

/// Adds --gpu, --sms, --seed, --host-threads, --spin-limit and --check.
void add_card_options(CLI::App& verb, EmulateCardOptions& options);

/// The option --check. Throws Error for a name that is not known, with the nearest one that is.
emulator::Checks read_checks(const std::string& option);

}  // namespace moesaic::cli
