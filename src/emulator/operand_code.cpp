#include "emulator/operand_code.hpp"

namespace moesaic::emulator {

std::size_t Code::slots() const {
  switch (kind) {
    case 'D':
    case 'S':
      return count;
    case 'a':
      return 2;
    case 't':
      return 2 + count;
    case 'l':
    case 'n':
      return 0;
    default:
      return pair ? 2 : 1;
  }
}

bool Code::fits(const ptx::Operand& operand) const {
  using Kind = ptx::Operand::Kind;
  switch (kind) {
    case 'D':
    case 'S':
      return operand.kind == Kind::vector && operand.items.size() == count;
    case 'a':
      return operand.kind == Kind::address && operand.items.size() == 1;
    case 't':
      return operand.kind == Kind::address && operand.items.size() == 2 && operand.items[1].kind == Kind::vector &&
             operand.items[1].items.size() == count;
    case 's':
      return operand.kind == Kind::symbol || operand.kind == Kind::integer || operand.kind == Kind::single ||
             operand.kind == Kind::real;
    case 'q':
      return operand.kind == Kind::symbol || operand.kind == Kind::integer;
    default:
      return operand.kind == Kind::symbol || (pair && operand.kind == Kind::pair);
  }
}

std::vector<Code> parse_codes(std::string_view text) {
  std::vector<Code> codes;
  bool optional = false;
  for (const char c : text) {
    if (c == ' ') continue;
    if (c == '|') {
      codes.back().pair = true;
    } else if (c == '?') {
      optional = codes.back().optional = true;
    } else if (c >= '0' && c <= '9') {
      codes.back().count = codes.back().count * 10 + static_cast<std::size_t>(c - '0');
    } else {
      codes.push_back(Code{.kind = c, .optional = optional});
    }
  }
  return codes;
}

bool fits(const std::vector<Code>& codes, const std::vector<ptx::Operand>& operands) {
  if (operands.size() > codes.size()) return false;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (i >= operands.size() ? !codes[i].optional : !codes[i].fits(operands[i])) return false;
  }
  return true;
}

}  // namespace moesaic::emulator
