#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "emulator/ptx_parser.hpp"

namespace moesaic::emulator::ptx {
namespace {

constexpr int kAdditive = 10;                                        // in name<count> no operator may take the '>'
constexpr std::uint32_t kMaxRegisters = 1U << 20;                    // of one declaration
constexpr std::uint64_t kMaxVariableBytes = std::uint64_t{1} << 40;  // more than any card has

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

}  // namespace

void Parser::unexpected(std::string_view wanted) const {
  fail(token_.kind == Token::Kind::end ? fmt::format("the text ends where {} is wanted", wanted)
                                       : fmt::format("'{}' stands where {} is wanted", token_.text, wanted));
}

bool Parser::accept(std::string_view text) {
  if (!token_.is(text)) return false;
  take();
  return true;
}

void Parser::expect(std::string_view text) {
  if (!accept(text)) unexpected(fmt::format("'{}'", text));
}

Token Parser::expect(Token::Kind kind, std::string_view wanted) {
  if (token_.kind != kind) unexpected(wanted);
  return take();
}

bool Parser::colon_follows() const {
  Lexer ahead = lexer_;
  return ahead.next().is(":");
}

bool Parser::word_follows() const {
  Lexer ahead = lexer_;
  const Token next = ahead.next();
  return next.kind == Token::Kind::word && !next.is("WARP_SZ");
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
      const std::uint64_t count = unsigned_number("a number of registers", kAdditive);
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
  variable.initial.push_back(initial_value());
}

/// A number, a name, generic(name), or 0xff(either): the bits of the address that the mask selects.
Initial Parser::initial_value() {
  Initial initial;
  initial.value = operand();
  if (initial.value.kind == Operand::Kind::integer && token_.is("(")) {
    initial.mask = initial.value.bits;
    if (initial.mask == 0) fail("this mask selects no bit of the address");
    take();
    initial.value = operand();
    if (initial.value.kind != Operand::Kind::symbol) throw SyntaxError(initial.value.position, "this is not a name");
    if (initial.value.text == "generic" && accept("(")) {
      initial.value = operand();
      expect(")");
    }
    expect(")");
  } else if (initial.value.kind == Operand::Kind::symbol && initial.value.text == "generic" && accept("(")) {
    initial.value = operand();
    expect(")");
  }
  return initial;
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

void Parser::parameters(std::vector<Variable>& into) {
  if (!accept("(")) return;
  if (accept(")")) return;
  do {
    const bool in_register = token_.is(".reg");
    if (in_register) {
      take();
    } else {
      expect(".param");
    }
    Variable declared = declared_type(false);
    declared.in_register = in_register;
    into.push_back(variable(Space::param, declared));
  } while (accept(","));
  expect(")");
}

/// Names that are separated by commas, up to the semicolon.
std::vector<Operand> Parser::names() {
  std::vector<Operand> result;
  if (!token_.is(";")) {
    do result.push_back(symbol());
    while (accept(","));
  }
  expect(";");
  return result;
}

/// name: .branchtargets a, b;  name: .calltargets f, g;  name: .callprototype (results) _ (parameters);
void Parser::targets(Function& function, const Token& name) {
  Targets result;
  result.name = name.text;
  result.position = name.position;
  const Token directive = take();
  if (directive.is(".callprototype")) {
    result.kind = Targets::Kind::prototype;
    skip_statement();
  } else if (directive.is(".branchtargets") || directive.is(".calltargets")) {
    result.kind = directive.is(".branchtargets") ? Targets::Kind::branches : Targets::Kind::calls;
    result.items = names();
  } else {
    throw SyntaxError(directive.position, fmt::format("'{}' cannot bear a label", directive.text));
  }
  add(function, Statement::Kind::targets, function.targets.size());
  function.targets.push_back(std::move(result));
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
    if (directive.is(".reqnctapercluster")) function.cluster = values;
  }
}

/// Three numbers, in the same line of the text: a file, a line and a column of it.
std::array<std::uint32_t, 3> Parser::place(std::uint32_t line) {
  std::array<std::uint32_t, 3> numbers{};
  for (std::uint32_t& number : numbers) {
    if (token_.kind == Token::Kind::number && token_.position.line == line) {
      number = static_cast<std::uint32_t>(number_operand(take()).bits);
    }
  }
  return numbers;
}

/// .loc file line column[, function_name label, inlined_at file line column]
void Parser::location() {
  const std::uint32_t line = token_.position.line;
  take();
  const auto add = [&](const std::array<std::uint32_t, 3>& at, std::uint32_t inlined_at) {
    source_map_->locations.push_back({at[0], at[1], at[2], inlined_at});
    return last_location_[at] = static_cast<std::uint32_t>(source_map_->locations.size() - 1);
  };
  const std::array<std::uint32_t, 3> at = place(line);
  std::uint32_t outer = 0;
  while (token_.kind != Token::Kind::end && token_.position.line == line) {
    if (!take().is("inlined_at")) continue;
    // That place has a .loc of its own before, which says where it was inlined in turn.
    const std::array<std::uint32_t, 3> call = place(line);
    const auto known = last_location_.find(call);
    outer = known != last_location_.end() ? known->second : add(call, 0);
  }
  location_ = add(at, outer);
}

/// .file number "name" ...
void Parser::file() {
  const std::uint32_t line = token_.position.line;
  take();
  File result;
  if (token_.kind == Token::Kind::number) result.number = static_cast<std::uint32_t>(number_operand(take()).bits);
  if (token_.kind == Token::Kind::string) {
    const std::string_view quoted = take().text;
    result.name = quoted.substr(1, quoted.size() - 2);
    source_map_->files.push_back(result);
  }
  while (token_.kind != Token::Kind::end && token_.position.line == line) take();
}

bool Parser::debug_directive() {
  if (token_.is(".loc")) {
    location();
  } else if (token_.is(".file")) {
    file();
  } else if (accept(".pragma")) {
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
      fail(fmt::format("'{}' is not a directive of functions", token_.text));
    } else if (token_.kind == Token::Kind::word && colon_follows()) {
      const Token label = take();
      take();
      if (token_.is(".branchtargets") || token_.is(".calltargets") || token_.is(".callprototype")) {
        targets(function, label);
        continue;
      }
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
  while (token_.kind == Token::Kind::dotted) {
    const bool with_values = take().is(".attribute");
    if (with_values) {
      while (!token_.is(")") && token_.kind != Token::Kind::end) take();
      expect(")");
    }
  }
  if (!entry) parameters(result.results);
  result.name = expect(Token::Kind::word, "the name of a function").text;
  parameters(result.parameters);
  attributes(result);
  result.defined = !accept(";");
  location_ = 0;
  if (result.defined) body(result);
  if (!entry) {
    module.functions.push_back(std::move(result));
  } else if (result.defined) {
    module.entries.push_back(std::move(result));
  }
}

/// .alias name, of;
void Parser::alias(Module& module) {
  const Token name = expect(Token::Kind::word, "the name of a function");
  expect(",");
  const Token of = expect(Token::Kind::word, "the name of a function");
  expect(";");
  module.aliases.push_back(Alias{name.text, of.text, name.position});
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
    } else if (directive.is(".alias")) {
      alias(result);
    } else if (space != Space::generic && space != Space::param) {
      variables(space, external, result.variables);
    } else {
      throw SyntaxError(directive.position, fmt::format("'{}' is not a directive of modules", directive.text));
    }
  }
  result.source_map = std::move(source_map_);
  return result;
}

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

std::string SourceMap::describe(std::uint32_t location) const {
  std::string text;
  for (std::uint32_t at = location; at != 0; at = locations[at].inlined_at) {
    const auto file =
        std::ranges::find_if(files, [&](const File& known) { return known.number == locations[at].file; });
    if (file == files.end()) break;
    text += fmt::format("{}{}:{}", text.empty() ? "" : ", inlined at ", file->name, locations[at].line);
  }
  return text;
}

Module parse(std::string_view text) {
  return Parser(text).module();
}

}  // namespace moesaic::emulator::ptx
