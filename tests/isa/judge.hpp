#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "emulator/instruction.hpp"

/// Computations of what an instruction of one lane gives that share nothing with the emulator's: the host's own
/// rounding modes, searches among all codes of a format, long double for approximate functions.
namespace moesaic::isa {

/// Tells whether `result` is right for these operands (as they lie in registers).
using Judge = std::function<bool(const std::vector<std::uint64_t>& operands, std::uint64_t result)>;

/// The judge of a row; empty when there is none.
Judge judge_of(const emulator::Row& row);

// The judges of a group of rows, each in a file of its own; empty for other rows.
Judge judge_of_rounding(const emulator::Row& row);    ///< sums, products and extremes of f32
Judge judge_of_conversion(const emulator::Row& row);  ///< to and from the small formats and tf32
Judge judge_of_function(const emulator::Row& row);    ///< .approx and .full

}  // namespace moesaic::isa
