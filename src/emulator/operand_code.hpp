#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "emulator/ptx.hpp"

namespace moesaic::emulator {

/// One code of Row::operands.
struct Code {
  char kind = 's';
  std::size_t count = 0;
  bool pair = false;
  bool optional = false;

  /// Slots that the operand takes in Instruction::operands.
  std::size_t slots() const;
  /// Whether an operand of the text has the shape that the code asks for.
  bool fits(const ptx::Operand& operand) const;
};

/// Splits Row::operands into its codes.
std::vector<Code> parse_codes(std::string_view text);

/// Whether the operands of an instruction are what the codes ask for.
bool fits(const std::vector<Code>& codes, const std::vector<ptx::Operand>& operands);

}  // namespace moesaic::emulator
