#pragma once

#include <string>
#include <vector>

#include "emulator/instruction.hpp"

/// What the operands of a row of the table of instructions are, told from its name.
namespace moesaic::isa {

/// An instruction of one lane: what it makes and of what.
struct Signature {
  std::vector<std::string> results;  ///< types; "pred" for predicates
  std::vector<std::string> sources;  ///< types, as operand_values() takes them
  bool second_predicate = false;     ///< the first result may have a predicate beside it: d|p, p|q
};

/// Whether the row is an instruction of one lane: arithmetic, logic, comparison, conversion, selection.
bool is_lanewise(const emulator::Row& row);

/// The signature of a lanewise row.
Signature signature_of(const emulator::Row& row);

}  // namespace moesaic::isa
