#pragma once

#include <string>
#include <string_view>

#include "emulator/instruction.hpp"

/// What the emulator executes, told from the table that the machine executes.
namespace moesaic::emulator {

/// "silicon", "independent", "model" or "exempt".
std::string_view name_of(Proof proof);

/// "sm_90", "sm_100" or "sm_120f": the least .target that has the instruction.
std::string_view name_of(Target target);

/// A line for each row, sorted by name: name, target and proof, after a heading that says what they mean and how many
/// rows there are of each proof.
std::string isa_text();

/// The same as JSON: {"rows": [{"name", "operands", "target", "proof"}, ...]}.
std::string isa_json();

}  // namespace moesaic::emulator
