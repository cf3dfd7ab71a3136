#pragma once

#include <cstddef>
#include <string_view>

#include "emulator/ptx.hpp"

namespace moesaic::emulator::ptx {

/// A word of PTX.
struct Token {
  enum class Kind : std::uint8_t {
    word,    ///< add, %r1, $L__BB0_2, _
    dotted,  ///< .u32, .L1::evict_last, .2d
    number,  ///< 12, 0x1F, 0f3F800000, 1.5
    string,  ///< "..." with its quotes
    punctuation,
    end,
  };
  Kind kind = Kind::end;
  std::string_view text;
  Position position;

  bool is(std::string_view s) const { return text == s && kind != Kind::string; }
};

/// Splits text into tokens, one at a time; white space and comments are dropped.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  /// Throws SyntaxError for a character that PTX does not have, and for an unfinished comment or string.
  Token next();

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void advance();
  void skip_blank();
  Token take(Token::Kind kind, std::size_t length);
  std::size_t dotted_length() const;
  std::size_t number_length() const;

  std::string_view text_;
  std::size_t at_ = 0;
  Position position_;
};

/// The operand that a number token stands for. PTX ISA, "Constants". Throws SyntaxError when it is none.
Operand number_operand(const Token& token);

}  // namespace moesaic::emulator::ptx
