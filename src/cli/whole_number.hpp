#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>

namespace moesaic::cli {

/// Checks an option's value before it is converted: a whole number from `low` to `high`, in decimal digits. What it
/// says otherwise is a sentence for people.
CLI::Validator whole_number(std::uint64_t low, std::uint64_t high = std::numeric_limits<std::int32_t>::max());

/// The same, where every 64-bit number will do: a seed.
inline CLI::Validator any_seed() {
  return whole_number(0, std::numeric_limits<std::uint64_t>::max());
}

}  // namespace moesaic::cli
