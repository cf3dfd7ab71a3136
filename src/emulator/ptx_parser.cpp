#include <fmt/format.h>

#include <bit>
#include <limits>
#include <utility>

#include "emulator/ptx_lexer.hpp"

/// A recursive-descent parser of PTX. Grammar: PTX ISA, "Syntax", "State Spaces, Types, and Variables" and
/// "Directives".
namespace moesaic::emulator::ptx {
namespace {

constexpr int kMaxNesting = 8;                                       // of operands and of initial values
constexpr std::uint32_t kMaxRegisters = 1U << 20;                    // of one declaration
constexpr std::uint64_t kMaxVariableBytes = std::uint64_t{1} << 40;  // more than any card has

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), lexer_(text) { token_ = lexer_.next(); }

  Module module();

 private:
  [[noreturn]] void fail(const std::string& what) const { throw SyntaxError(token_.position, what); }
  [[noreturn]] void unexpected(std::string_view wanted) const {
    fail(token_.kind == Token::Kind::end ? fmt::format("the text ends where {} is wanted", wanted)
                                         : fmt::format("'{}' stands where {} is wanted", token_.text, wanted));
  }
  Token take() { return std::exchange(token_, lexer_.next()); }
  bool accept(std::string_view text) {
    if (!token_.is(text)) return false;
    take();
    return true;
  }
  void expect(std::string_view text) {
    if (!accept(text)) unexpected(fmt::format("'{}'", text));
  }
  Token expect(Token::Kind kind, std::string_view wanted) {
    if (token_.kind != kind) unexpected(wanted);
    return take();
  }

  /// Whether the token after the current one is a colon: then the current one is a label.
  bool colon_follows() const {
    Lexer ahead = lexer_;
    return ahead.next().is(":");
  }

  void skip_line();
  void skip_statement();
  void skip_braces();
  std::uint64_t unsigned_number(std::string_view wanted);
  Operand operand(int depth = 0);
  Operand symbol();
  std::vector<Operand> operands_until(std::string_view close, int depth);
  Instruction instruction();
  void registers(Function& function);
  void initial_values(Variable& variable, int depth = 0);
  Variable variable(Space space, Variable declared);
  Variable declared_type(bool external);
  void variables(Space space, bool external, std::vector<Variable>& into);
  void parameters(Function& function);
  void attributes(Function& function);
  void body(Function& function);
  void function(Module& module, bool entry);
  bool debug_directive();

  std::string_view text_;
  Lexer lexer_;
  Token token_;
};

void add(Function& function, Statement::Kind kind, std::size_t index) {
  function.body.push_back(Statement{kind, static_cast<std::uint32_t>(index)});
}

/// The space that a directive names, or generic.
Space space_of(std::string_view directive) {
  if (directive == ".global") return Space::global;
  if (directive == ".const") return Space::constant;
  if (directive == ".shared") return Space::shared;
  if (directive == ".local") return Space::local;
  if (directive == ".param") return Space::param;
  return Space::generic;
}

void Parser::skip_line() {
  const std::uint32_t line = token_.position.line;
  while (token_.kind != Token::Kind::end && token_.position.line == line) take();
}

void Parser::skip_statement() {
  while (token_.kind != Token::Kind::end && !token_.is(";")) take();
  expect(";");
}

void Parser::skip_braces() {
  expect("{");
  for (int depth = 1; depth > 0;) {
    if (token_.kind == Token::Kind::end) unexpected("'}'");
    const Token token = take();
    if (token.is("{")) ++depth;
    if (token.is("}")) --depth;
  }
}

std::uint64_t Parser::unsigned_number(std::string_view wanted) {
  if (token_.kind != Token::Kind::number) unexpected(wanted);
  const Operand value = number_operand(take());
  if (value.kind != Operand::Kind::integer) throw SyntaxError(value.position, fmt::format("{} must be whole", wanted));
  return value.bits;
}

/// A name, with the component of a special register or vector (%tid.x) and with an added offset.
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
  if (accept("(")) {
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
  const bool negated = accept("!");
  if (token_.kind == Token::Kind::number || token_.is("-") || token_.is("+")) {
    const bool minus = accept("-");
    if (!minus) accept("+");
    result = number_operand(expect(Token::Kind::number, "a number"));
    if (minus && result.kind == Operand::Kind::integer) result.bits = 0 - result.bits;
    if (minus && result.kind == Operand::Kind::single) result.bits ^= 0x80000000U;
    if (minus && result.kind == Operand::Kind::real) result.bits ^= std::uint64_t{1} << 63;
    return result;
  }
  result = symbol();
  result.negated = negated;
  while (token_.is("+") || token_.is("-")) {
    // nvcc writes an offset of -4 as "+-4".
    bool minus = take().is("-");
    if (accept("-")) minus = !minus;
    const std::uint64_t value = unsigned_number("an offset");
    result.offset = static_cast<std::int64_t>(static_cast<std::uint64_t>(result.offset) + (minus ? 0 - value : value));
  }
  if (accept("|")) {
    Operand pair;
    pair.kind = Operand::Kind::pair;
    pair.position = result.position;
    pair.items = {std::move(result), symbol()};
    return pair;
  }
  return result;
}

Instruction Parser::instruction() {
  Instruction result;
  result.position = token_.position;
  const char* begin = token_.text.data();
  if (accept("@")) {
    result.guard_negated = accept("!");
    result.guard = expect(Token::Kind::word, "a predicate").text;
  }
  result.opcode = expect(Token::Kind::word, "an instruction").text;
  while (token_.kind == Token::Kind::dotted) result.modifiers.push_back(take().text);
  if (!token_.is(";")) {
    do result.operands.push_back(operand());
    while (accept(","));
  }
  result.text = std::string_view(begin, static_cast<std::size_t>(token_.text.data() - begin));
  if (!token_.is(";")) unexpected("',' or ';'");
  take();
  return result;
}

void Parser::registers(Function& function) {
  Registers declared;
  if (token_.is(".v2") || token_.is(".v4")) declared.lanes = take().is(".v2") ? 2 : 4;
  const Token type = expect(Token::Kind::dotted, "a type");
  if (type_bytes(type.text) == 0 && type.text != ".pred") {
    throw SyntaxError(type.position, fmt::format("'{}' is not a type of registers", type.text));
  }
  declared.type = type.text;
  do {
    declared.position = token_.position;
    declared.name = expect(Token::Kind::word, "the name of a register").text;
    declared.count = 0;
    if (accept("<")) {
      const std::uint64_t count = unsigned_number("a number of registers");
      if (count == 0 || count > kMaxRegisters) {
        throw SyntaxError(declared.position, fmt::format("{} registers of one name; 1 to 2^20 are legal", count));
      }
      declared.count = static_cast<std::uint32_t>(count);
      expect(">");
    }
    add(function, Statement::Kind::registers, function.registers.size());
    function.registers.push_back(declared);
  } while (accept(","));
  expect(";");
}

void Parser::initial_values(Variable& variable, int depth) {
  if (depth > kMaxNesting) fail("initial values are nested too deeply");
  if (accept("{")) {
    if (accept("}")) return;
    do initial_values(variable, depth + 1);
    while (accept(","));
    expect("}");
    return;
  }
  Initial initial;
  initial.value = operand();
  const bool is_symbol = initial.value.kind == Operand::Kind::symbol;
  if (is_symbol && initial.value.text == "generic" && accept("(")) {
    initial.generic = true;
    initial.value = operand();
    expect(")");
  }
  variable.initial.push_back(std::move(initial));
}

/// [.attribute(...)] [.align n] [.v2|.v4] .type [.ptr ...] of one or more variables.
Variable Parser::declared_type(bool external) {
  Variable declared;
  declared.external = external;
  std::uint64_t alignment = 0;
  std::uint32_t lanes = 1;
  while (token_.kind == Token::Kind::dotted && type_bytes(token_.text) == 0) {
    if (accept(".align")) {
      alignment = unsigned_number("an alignment");
      if (!std::has_single_bit(alignment) || alignment > 1U << 20) fail("an alignment is a power of two up to 2^20");
    } else if (accept(".attribute")) {
      expect("(");
      while (!token_.is(")") && token_.kind != Token::Kind::end) take();
      expect(")");
    } else if (token_.is(".v2") || token_.is(".v4")) {
      lanes = take().is(".v2") ? 2 : 4;
    } else {
      unexpected("a type");
    }
  }
  declared.element_bytes = type_bytes(expect(Token::Kind::dotted, "a type").text) * lanes;
  // What a pointer parameter points to does not matter here: .ptr .global .align 8
  if (accept(".ptr")) {
    while (token_.kind == Token::Kind::dotted) {
      if (take().is(".align")) unsigned_number("an alignment");
    }
  }
  declared.alignment = alignment != 0 ? static_cast<std::uint32_t>(alignment) : declared.element_bytes;
  return declared;
}

/// The name, extents and initial values that follow a type.
Variable Parser::variable(Space space, Variable declared) {
  declared.space = space;
  declared.position = token_.position;
  declared.name = expect(Token::Kind::word, "the name of a variable").text;
  declared.bytes = declared.element_bytes;
  while (accept("[")) {
    const std::uint64_t extent = token_.is("]") ? 0 : unsigned_number("an extent");
    expect("]");
    if (declared.bytes != 0 && extent > kMaxVariableBytes / declared.bytes) fail("this variable is too large");
    declared.bytes *= extent;
  }
  if (accept("=")) {
    initial_values(declared);
    const std::uint64_t needed = declared.initial.size() * declared.element_bytes;
    if (declared.bytes == 0) declared.bytes = needed;
    if (needed > declared.bytes) throw SyntaxError(declared.position, "there are more initial values than elements");
  }
  return declared;
}

void Parser::variables(Space space, bool external, std::vector<Variable>& into) {
  const Variable declared = declared_type(external);
  do into.push_back(variable(space, declared));
  while (accept(","));
  expect(";");
}

void Parser::parameters(Function& function) {
  if (!accept("(")) return;
  if (accept(")")) return;
  do {
    expect(".param");
    function.parameters.push_back(variable(Space::param, declared_type(false)));
  } while (accept(","));
  expect(")");
}

/// Performance-tuning directives between the parameters and the body. PTX ISA, "Performance-Tuning Directives".
void Parser::attributes(Function& function) {
  while (token_.kind == Token::Kind::dotted) {
    const Token directive = take();
    if (directive.is(".pragma")) {
      skip_statement();
      continue;
    }
    std::array<std::uint32_t, 3> values{1, 1, 1};
    std::size_t given = 0;
    while (token_.kind == Token::Kind::number) {
      const std::uint64_t value = unsigned_number("a number");
      if (given == 3 || value > std::numeric_limits<std::uint32_t>::max()) fail("too many or too large numbers");
      values[given++] = static_cast<std::uint32_t>(value);
      if (!accept(",")) break;
    }
    if (directive.is(".maxntid")) function.max_extent = values;
    if (directive.is(".reqntid")) function.required_extent = values;
    if (directive.is(".minnctapersm")) function.min_blocks_per_sm = values[0];
    if (directive.is(".maxnreg")) function.max_registers = values[0];
  }
}

bool Parser::debug_directive() {
  if (token_.is(".loc") || token_.is(".file")) {
    skip_line();
  } else if (accept(".pragma") || accept(".alias")) {
    skip_statement();
  } else if (accept(".section")) {
    take();
    skip_braces();
  } else {
    return false;
  }
  return true;
}

void Parser::body(Function& function) {
  expect("{");
  for (int depth = 1; depth > 0;) {
    if (debug_directive()) continue;
    const Space space = token_.kind == Token::Kind::dotted ? space_of(token_.text) : Space::generic;
    if (accept("{")) {
      add(function, Statement::Kind::open, 0);
      ++depth;
    } else if (accept("}")) {
      add(function, Statement::Kind::close, 0);
      --depth;
    } else if (accept(".reg")) {
      registers(function);
    } else if (space != Space::generic) {
      take();
      const std::size_t first = function.variables.size();
      variables(space, false, function.variables);
      for (std::size_t i = first; i < function.variables.size(); ++i) {
        add(function, Statement::Kind::variable, i);
      }
    } else if (token_.kind == Token::Kind::dotted) {
      // .branchtargets, .calltargets and .callprototype only matter to indirect branches and calls.
      skip_statement();
    } else if (token_.kind == Token::Kind::word && colon_follows()) {
      const Token label = take();
      take();
      add(function, Statement::Kind::label, function.labels.size());
      function.labels.push_back(Label{label.text, label.position});
    } else {
      add(function, Statement::Kind::instruction, function.instructions.size());
      function.instructions.push_back(instruction());
    }
  }
}

void Parser::function(Module& module, bool entry) {
  Function result;
  result.position = token_.position;
  if (!entry) parameters(result);  // of the value returned
  result.parameters.clear();
  result.name = expect(Token::Kind::word, "the name of a function").text;
  parameters(result);
  attributes(result);
  if (accept(";")) return;
  if (!entry) {
    skip_braces();
    return;
  }
  body(result);
  module.entries.push_back(std::move(result));
}

Module Parser::module() {
  Module result;
  while (token_.kind != Token::Kind::end) {
    if (debug_directive() || accept(";")) continue;
    bool external = false;
    while (token_.is(".visible") || token_.is(".extern") || token_.is(".weak") || token_.is(".common")) {
      external = take().is(".extern");
    }
    const Token directive = expect(Token::Kind::dotted, "a directive");
    const Space space = space_of(directive.text);
    if (directive.is(".version") || directive.is(".address_size")) {
      expect(Token::Kind::number, "a number");
    } else if (directive.is(".target")) {
      result.target = expect(Token::Kind::word, "a target").text;
      while (accept(",")) take();
    } else if (directive.is(".entry") || directive.is(".func")) {
      function(result, directive.is(".entry"));
    } else if (space != Space::generic && space != Space::param) {
      variables(space, external, result.variables);
    } else {
      throw SyntaxError(directive.position, fmt::format("'{}' is not a directive of modules", directive.text));
    }
  }
  return result;
}

}  // namespace

std::uint32_t type_bytes(std::string_view type) {
  static constexpr std::pair<std::string_view, std::uint32_t> kTypes[] = {
      {".b8", 1},   {".u8", 1},  {".s8", 1},    {".b16", 2},   {".u16", 2},   {".s16", 2}, {".f16", 2},
      {".bf16", 2}, {".b32", 4}, {".u32", 4},   {".s32", 4},   {".f32", 4},   {".b64", 8}, {".u64", 8},
      {".s64", 8},  {".f64", 8}, {".b128", 16}, {".f16x2", 4}, {".bf16x2", 4}};
  for (const auto& [name, bytes] : kTypes) {
    if (name == type) return bytes;
  }
  return 0;
}

Module parse(std::string_view text) {
  return Parser(text).module();
}

}  // namespace moesaic::emulator::ptx
