#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "emulator/ptx_lexer.hpp"

namespace moesaic::emulator::ptx {

/// A recursive-descent parser of PTX. Grammar: PTX ISA, "Syntax", "State Spaces, Types, and Variables" and
/// "Directives".
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), lexer_(text) { token_ = lexer_.next(); }

  Module module();

 private:
  [[noreturn]] void fail(const std::string& what) const { throw SyntaxError(token_.position, what); }
  [[noreturn]] void unexpected(std::string_view wanted) const;
  Token take() { return std::exchange(token_, lexer_.next()); }
  bool accept(std::string_view text);
  void expect(std::string_view text);
  Token expect(Token::Kind kind, std::string_view wanted);

  /// Whether the token after the current one is a colon: then the current one is a label.
  bool colon_follows() const;
  /// Whether the token after the current one is a name: then a parenthesis opens a list, no constant expression.
  bool word_follows() const;
  void skip_statement();
  void skip_braces();

  // Operands and constant expressions.
  std::string_view binary_operator() const;
  Operand unary(int depth);
  Operand expression(int least, int depth);
  /// A whole constant expression whose operators bind at least as strongly as `least`.
  std::uint64_t unsigned_number(std::string_view wanted, int least = 1);
  Operand operand(int depth = 0);
  Operand symbol();
  Operand symbol_with_offset(int depth);
  std::vector<Operand> operands_until(std::string_view close, int depth);
  Instruction instruction();

  // Declarations.
  void registers(Function& function);
  void initial_values(Variable& variable, int depth = 0);
  Initial initial_value();
  Variable variable(Space space, Variable declared);
  Variable declared_type(bool external);
  void variables(Space space, bool external, std::vector<Variable>& into);
  void parameters(std::vector<Variable>& into);
  std::vector<Operand> names();
  void targets(Function& function, const Token& name);
  void attributes(Function& function);
  void body(Function& function);
  void function(Module& module, bool entry);
  std::array<std::uint32_t, 3> place(std::uint32_t line);
  void location();
  void file();
  void alias(Module& module);
  bool debug_directive();

  std::string_view text_;
  Lexer lexer_;
  Token token_;
  bool in_call_ = false;  // (a, b) is a list of arguments
  std::shared_ptr<SourceMap> source_map_ = std::make_shared<SourceMap>();
  std::uint32_t location_ = 0;                                           // of the last .loc
  std::map<std::array<std::uint32_t, 3>, std::uint32_t> last_location_;  // of a file, line and column
};

/// How deep operands and initial values may be nested, and how deep constant expressions.
inline constexpr int kMaxNesting = 8;
inline constexpr int kMaxExpressionDepth = 64;

}  // namespace moesaic::emulator::ptx
