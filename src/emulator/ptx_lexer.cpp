#include "emulator/ptx_lexer.hpp"

#include <fmt/format.h>

namespace moesaic::emulator::ptx {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}
bool is_name(char c) {
  return is_letter(c) || is_digit(c);
}

}  // namespace

SyntaxError::SyntaxError(Position where, const std::string& what_is_wrong)
    : Error(fmt::format("PTX line {}, column {}: {}", where.line, where.column, what_is_wrong)), position(where) {}

void Lexer::advance() {
  if (text_[at_] == '\n') {
    ++position_.line;
    position_.column = 1;
  } else {
    ++position_.column;
  }
  ++at_;
}

void Lexer::skip_blank() {
  while (at_ < text_.size()) {
    const char c = peek();
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f' || c == '\0') {
      advance();
    } else if (c == '/' && peek(1) == '/') {
      while (at_ < text_.size() && peek() != '\n') advance();
    } else if (c == '/' && peek(1) == '*') {
      const Position begin = position_;
      advance();
      advance();
      while (at_ < text_.size() && !(peek() == '*' && peek(1) == '/')) advance();
      if (at_ >= text_.size()) throw SyntaxError(begin, "this comment has no end");
      advance();
      advance();
    } else {
      return;
    }
  }
}

std::size_t Lexer::dotted_length() const {
  std::size_t length = 1;
  while (is_name(peek(length))) ++length;
  while (peek(length) == ':' && peek(length + 1) == ':' && is_name(peek(length + 2))) {
    length += 2;
    while (is_name(peek(length))) ++length;
  }
  return length;
}

std::size_t Lexer::number_length() const {
  const char second = peek(1);
  const bool prefixed = peek() == '0' && is_letter(second);
  std::size_t length = 1;
  for (;; ++length) {
    const char c = peek(length);
    const char before = peek(length - 1);
    const bool exponent_sign = !prefixed && (c == '+' || c == '-') && (before == 'e' || before == 'E');
    if (!is_name(c) && !(c == '.' && !prefixed) && !exponent_sign) return length;
  }
}

Token Lexer::take(Token::Kind kind, std::size_t length) {
  const Token token{kind, text_.substr(at_, length), position_};
  for (std::size_t i = 0; i < length; ++i) advance();
  return token;
}

Token Lexer::next() {
  skip_blank();
  if (at_ >= text_.size()) return Token{Token::Kind::end, {}, position_};
  const char c = peek();
  if (is_letter(c) || (c == '%' && is_letter(peek(1)))) {
    std::size_t length = 1;
    while (is_name(peek(length))) ++length;
    return take(Token::Kind::word, length);
  }
  if (c == '.' && is_name(peek(1))) return take(Token::Kind::dotted, dotted_length());
  if (is_digit(c)) return take(Token::Kind::number, number_length());
  if (c == '"') {
    std::size_t length = 1;
    while (at_ + length < text_.size() && peek(length) != '"') length += peek(length) == '\\' ? 2U : 1U;
    if (at_ + length >= text_.size()) throw SyntaxError(position_, "this string has no end");
    return take(Token::Kind::string, length + 1);
  }
  if (std::string_view("{}[]()<>,;:@!|+-=*/%~&^?").find(c) != std::string_view::npos) {
    return take(Token::Kind::punctuation, 1);
  }
  const auto code = static_cast<unsigned char>(c);
  throw SyntaxError(position_, code >= 0x20 && code < 0x7f ? fmt::format("'{}' has no meaning in PTX", c)
                                                           : fmt::format("byte 0x{:02x} is not PTX", code));
}

}  // namespace moesaic::emulator::ptx
