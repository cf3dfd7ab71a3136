#include <fmt/format.h>

#include <bit>
#include <charconv>

#include "emulator/ptx_lexer.hpp"

namespace moesaic::emulator::ptx {

Operand number_operand(const Token& token) {
  Operand operand;
  operand.position = token.position;
  std::string_view digits = token.text;
  const auto convert = [&](std::string_view text, int base, std::size_t length) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size() || (length != 0 && text.size() != length)) {
      throw SyntaxError(token.position, fmt::format("'{}' is not a number of PTX", token.text));
    }
    return value;
  };
  const char second = digits.size() > 1 && digits[0] == '0' ? digits[1] : '\0';
  operand.kind = Operand::Kind::integer;
  if (second == 'f' || second == 'F') {
    operand.kind = Operand::Kind::single;
    operand.bits = convert(digits.substr(2), 16, 8);
  } else if (second == 'd' || second == 'D') {
    operand.kind = Operand::Kind::real;
    operand.bits = convert(digits.substr(2), 16, 16);
  } else if (second != 'x' && second != 'X' && digits.find_first_of(".eE") != std::string_view::npos) {
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) convert("", 10, 0);
    operand.kind = Operand::Kind::real;
    operand.bits = std::bit_cast<std::uint64_t>(value);
  } else {
    if (digits.back() == 'U') {
      digits.remove_suffix(1);
      operand.is_unsigned = true;
    }
    if (second == 'x' || second == 'X') {
      operand.bits = convert(digits.substr(2), 16, 0);
    } else if (second == 'b' || second == 'B') {
      operand.bits = convert(digits.substr(2), 2, 0);
    } else {
      operand.bits = convert(digits, digits.size() > 1 && digits[0] == '0' ? 8 : 10, 0);
    }
    if ((operand.bits >> 63) != 0) operand.is_unsigned = true;
  }
  return operand;
}

}  // namespace moesaic::emulator::ptx
