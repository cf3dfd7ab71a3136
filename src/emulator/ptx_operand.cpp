#include <fmt/format.h>

#include <bit>
#include <limits>

#include "emulator/ptx_parser.hpp"

/// Operands and instructions. PTX ISA, "Instruction Operands" and "Constant Expressions".
namespace moesaic::emulator::ptx {
namespace {

/// How strongly a binary operator binds; 0: it is none. PTX ISA, "Constant Expressions", operator precedence.
int precedence(std::string_view op) {
  static constexpr std::pair<std::string_view, int> kOperators[] = {
      {"*", 11}, {"/", 11}, {"%", 11}, {"+", 10}, {"-", 10}, {"<<", 9}, {">>", 9}, {"<", 8},  {">", 8}, {"<=", 8},
      {">=", 8}, {"==", 7}, {"!=", 7}, {"&", 6},  {"^", 5},  {"|", 4},  {"&&", 3}, {"||", 2}, {"?", 1}};
  for (const auto& [name, strength] : kOperators) {
    if (name == op) return strength;
  }
  return 0;
}

constexpr int kMultiplicative = 11;
constexpr int kAnyOperator = 1;

std::uint64_t quotient(const Operand& a, const Operand& b, bool is_unsigned, bool remainder) {
  if (b.bits == 0) throw SyntaxError(b.position, "a constant is divided by zero");
  if (is_unsigned) return remainder ? a.bits % b.bits : a.bits / b.bits;
  const auto x = static_cast<std::int64_t>(a.bits);
  const auto y = static_cast<std::int64_t>(b.bits);
  if (y == -1) return remainder ? 0 : 0 - a.bits;
  return static_cast<std::uint64_t>(remainder ? x % y : x / y);
}

std::uint64_t shifted(const Operand& a, const Operand& b, bool left) {
  if (b.bits > 63) return left || a.is_unsigned || static_cast<std::int64_t>(a.bits) >= 0 ? 0 : ~std::uint64_t{0};
  if (left) return a.bits << b.bits;
  return a.is_unsigned ? a.bits >> b.bits : static_cast<std::uint64_t>(static_cast<std::int64_t>(a.bits) >> b.bits);
}

/// a op b of integers: 64 bits, unsigned when one of them is.
Operand combine(std::string_view op, const Operand& a, const Operand& b) {
  Operand result = a;
  result.is_unsigned = a.is_unsigned || b.is_unsigned;
  const bool is_unsigned = result.is_unsigned;
  const auto below = [&](const Operand& x, const Operand& y) {
    return is_unsigned ? x.bits < y.bits : static_cast<std::int64_t>(x.bits) < static_cast<std::int64_t>(y.bits);
  };
  const auto logical = [&](bool value) {
    result.bits = value ? 1 : 0;
    result.is_unsigned = false;
  };
  if (op == "*") result.bits = a.bits * b.bits;
  if (op == "+") result.bits = a.bits + b.bits;
  if (op == "-") result.bits = a.bits - b.bits;
  if (op == "&") result.bits = a.bits & b.bits;
  if (op == "^") result.bits = a.bits ^ b.bits;
  if (op == "|") result.bits = a.bits | b.bits;
  if (op == "/" || op == "%") result.bits = quotient(a, b, is_unsigned, op == "%");
  if (op == "<<" || op == ">>") {
    result.bits = shifted(a, b, op == "<<");
    result.is_unsigned = a.is_unsigned;
  }
  if (op == "<") logical(below(a, b));
  if (op == ">") logical(below(b, a));
  if (op == "<=") logical(!below(b, a));
  if (op == ">=") logical(!below(a, b));
  if (op == "==") logical(a.bits == b.bits);
  if (op == "!=") logical(a.bits != b.bits);
  if (op == "&&") logical(a.bits != 0 && b.bits != 0);
  if (op == "||") logical(a.bits != 0 || b.bits != 0);
  return result;
}

void negate(Operand& operand) {
  if (operand.kind == Operand::Kind::integer) operand.bits = 0 - operand.bits;
  if (operand.kind == Operand::Kind::single) operand.bits ^= 0x80000000U;
  if (operand.kind == Operand::Kind::real) operand.bits ^= std::uint64_t{1} << 63;
}

}  // namespace

/// The operator that begins at the current token, of one or two characters; empty when none does.
std::string_view Parser::binary_operator() const {
  if (token_.kind != Token::Kind::punctuation) return {};
  const auto at = static_cast<std::size_t>(token_.text.data() - text_.data());
  const std::string_view two = text_.substr(at, 2);
  if (two.size() == 2 && precedence(two) != 0) return two;
  return precedence(two.substr(0, 1)) != 0 ? two.substr(0, 1) : std::string_view{};
}

Operand Parser::unary(int depth) {
  if (depth > kMaxExpressionDepth) fail("this expression is nested too deeply");
  const Token begin = token_;
  if (accept("+")) return unary(depth + 1);
  if (accept("-")) {
    Operand value = unary(depth + 1);
    negate(value);
    return value;
  }
  if (accept("~") || accept("!")) {
    Operand value = unary(depth + 1);
    if (value.kind != Operand::Kind::integer) throw SyntaxError(begin.position, "this operator takes integers");
    value.bits = begin.is("~") ? ~value.bits : (value.bits == 0 ? 1U : 0U);
    return value;
  }
  if (accept("(")) {
    const bool to_unsigned = token_.is(".u64");
    if (to_unsigned || token_.is(".s64")) {
      take();
      expect(")");
      Operand value = unary(depth + 1);
      value.is_unsigned = to_unsigned;
      return value;
    }
    Operand value = expression(kAnyOperator, depth + 1);
    expect(")");
    return value;
  }
  if (accept("WARP_SZ")) {
    Operand value;
    value.kind = Operand::Kind::integer;
    value.bits = 32;
    value.position = begin.position;
    return value;
  }
  return number_operand(expect(Token::Kind::number, "a number"));
}

/// A constant expression whose operators bind at least as strongly as `least`.
Operand Parser::expression(int least, int depth) {
  Operand left = unary(depth);
  for (;;) {
    const std::string_view op = binary_operator();
    const int strength = precedence(op);
    if (strength == 0 || strength < least) return left;
    const Position at = token_.position;
    for (std::size_t i = 0; i < op.size(); ++i) take();
    if (op == "?") {
      const Operand yes = expression(kAnyOperator, depth + 1);
      expect(":");
      const Operand no = expression(kAnyOperator, depth + 1);
      left = left.bits != 0 ? yes : no;
      continue;
    }
    const Operand right = expression(strength + 1, depth + 1);
    if (left.kind != Operand::Kind::integer || right.kind != Operand::Kind::integer) {
      throw SyntaxError(at, fmt::format("'{}' takes integers", op));
    }
    left = combine(op, left, right);
  }
}

std::uint64_t Parser::unsigned_number(std::string_view wanted, int least) {
  if (token_.kind != Token::Kind::number && !token_.is("(")) unexpected(wanted);
  const Operand value = expression(least, 0);
  if (value.kind != Operand::Kind::integer) throw SyntaxError(value.position, fmt::format("{} must be whole", wanted));
  return value.bits;
}

/// A name, with the component of a special register or vector (%tid.x).
Operand Parser::symbol() {
  Operand result;
  result.position = token_.position;
  const Token name = expect(Token::Kind::word, "an operand");
  result.text = name.text;
  const char* end = name.text.data() + name.text.size();
  if (token_.kind == Token::Kind::dotted && token_.text.data() == end) {
    const Token component = take();
    result.text = std::string_view(name.text.data(), name.text.size() + component.text.size());
  }
  return result;
}

/// A name with an added offset, and perhaps with a second name for a pair.
Operand Parser::symbol_with_offset(int depth) {
  Operand result = symbol();
  while (token_.is("+") || token_.is("-")) {
    const bool minus = take().is("-");
    // nvcc writes an offset of -4 as "+-4".
    const Operand value = expression(kMultiplicative, depth);
    if (value.kind != Operand::Kind::integer) throw SyntaxError(value.position, "an offset must be whole");
    result.offset =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(result.offset) + (minus ? 0 - value.bits : value.bits));
  }
  if (!accept("|")) return result;
  Operand pair;
  pair.kind = Operand::Kind::pair;
  pair.position = result.position;
  pair.items = {std::move(result), symbol()};
  return pair;
}

std::vector<Operand> Parser::operands_until(std::string_view close, int depth) {
  std::vector<Operand> items;
  if (accept(close)) return items;
  do items.push_back(operand(depth + 1));
  while (accept(","));
  expect(close);
  return items;
}

Operand Parser::operand(int depth) {
  if (depth > kMaxNesting) fail("operands are nested too deeply");
  Operand result;
  result.position = token_.position;
  if (accept("{")) {
    result.kind = Operand::Kind::vector;
    result.items = operands_until("}", depth);
    return result;
  }
  if (token_.is("(") && (in_call_ || word_follows())) {
    take();
    result.kind = Operand::Kind::list;
    result.items = operands_until(")", depth);
    return result;
  }
  if (accept("[")) {
    result.kind = Operand::Kind::address;
    result.items.push_back(operand(depth + 1));
    result.offset = std::exchange(result.items[0].offset, 0);
    if (accept(",")) result.items.push_back(operand(depth + 1));
    expect("]");
    return result;
  }
  if (token_.is("!")) {
    const Lexer after = lexer_;
    const Token bang = take();
    if (token_.kind == Token::Kind::word && !token_.is("WARP_SZ")) {
      result = symbol_with_offset(depth);
      result.negated = true;
      return result;
    }
    lexer_ = after;
    token_ = bang;
  }
  if (token_.kind == Token::Kind::word && !token_.is("WARP_SZ")) return symbol_with_offset(depth);
  if (token_.kind != Token::Kind::number && token_.kind != Token::Kind::word && !token_.is("(") && !token_.is("-") &&
      !token_.is("+") && !token_.is("~") && !token_.is("!")) {
    unexpected("an operand");
  }
  return expression(kAnyOperator, depth);
}

Instruction Parser::instruction() {
  Instruction result;
  result.position = token_.position;
  result.location = location_;
  const char* begin = token_.text.data();
  if (accept("@")) {
    result.guard_negated = accept("!");
    result.guard = expect(Token::Kind::word, "a predicate").text;
  }
  result.opcode = expect(Token::Kind::word, "an instruction").text;
  while (token_.kind == Token::Kind::dotted) result.modifiers.push_back(take().text);
  in_call_ = result.opcode == "call";
  if (!token_.is(";")) {
    do result.operands.push_back(operand());
    while (accept(","));
  }
  in_call_ = false;
  result.text = std::string_view(begin, static_cast<std::size_t>(token_.text.data() - begin));
  if (!token_.is(";")) unexpected("',' or ';'");
  take();
  return result;
}

}  // namespace moesaic::emulator::ptx
