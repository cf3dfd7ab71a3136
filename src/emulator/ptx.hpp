#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spec/error.hpp"

/// PTX text as a tree: what the text says, nothing resolved. Views point into the text that was parsed.
namespace moesaic::emulator::ptx {

/// A place in the text, both counted from 1.
struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
};

/// The text is not PTX; what() begins with "PTX line L, column C: ".
struct SyntaxError : Error {
  SyntaxError(Position where, const std::string& what_is_wrong);
  Position position;
};

/// State spaces in which variables are declared and memory is accessed.
enum class Space : std::uint8_t { generic, global, constant, shared, local, param };

/// An operand of an instruction, or a part of one.
struct Operand {
  enum class Kind : std::uint8_t {
    symbol,   ///< `text` with `offset` added: %r1, %tid.x, variable+4, label, _
    integer,  ///< `bits`
    single,   ///< `bits` of an f32
    real,     ///< `bits` of an f64
    vector,   ///< {items}
    address,  ///< [items[0] + offset], with items[1] the vector of coordinates of a tensor
    pair,     ///< items[0] | items[1]
    list,     ///< (items), of calls: the arguments, or what is returned
  };
  Kind kind = Kind::symbol;
  bool negated = false;      ///< !p
  bool is_unsigned = false;  ///< of an integer: PTX ISA, "Integer Constants"
  std::string_view text;
  int component = -1;  ///< one slot of the register `text` that has several; set by who resolves names
  std::uint64_t bits = 0;
  std::int64_t offset = 0;
  std::vector<Operand> items;
  Position position;
};

/// A line of the source that was compiled; line 0: not known.
struct Location {
  std::uint32_t file = 0;  ///< number that a .file directive gave it
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t inlined_at = 0;  ///< in SourceMap::locations; 0: it was not inlined
};

/// One instruction: @guard opcode.modifier.modifier operands;
struct Instruction {
  std::string_view guard;  ///< empty: none
  bool guard_negated = false;
  std::string_view opcode;
  std::vector<std::string_view> modifiers;  ///< each with its leading dot
  std::vector<Operand> operands;
  std::string_view text;  ///< all of it
  Position position;
  std::uint32_t location = 0;  ///< in SourceMap::locations, from the last .loc before it
};

/// .reg of one name, or of `count` names %r0, %r1, ... for %r<count>.
struct Registers {
  std::string_view name;
  std::string_view type;    ///< ".b32"
  std::uint32_t lanes = 1;  ///< 2 and 4 for .v2 and .v4
  std::uint32_t count = 0;  ///< 0: one register that bears the plain name
  Position position;
};

/// One initial value: a number, or the address of a variable or function, or those of its bits that `mask` selects.
struct Initial {
  Operand value;
  std::uint64_t mask = ~std::uint64_t{0};  ///< 0xff00(variable): bits 8 to 15 of the address, shifted down
};

/// A variable or a parameter.
struct Variable {
  std::string_view name;
  Space space = Space::global;
  bool in_register = false;  ///< a parameter of a function: .reg instead of .param
  std::uint32_t element_bytes = 1;
  std::uint32_t alignment = 1;
  std::uint64_t bytes = 0;  ///< 0: name[], sized at launch
  bool external = false;
  std::vector<Initial> initial;  ///< of the leading elements; the others are zero
  Position position;
};

/// What stands between the braces of a function, in order.
struct Statement {
  enum class Kind : std::uint8_t { instruction, label, open, close, registers, variable, targets };
  Kind kind = Kind::instruction;
  std::uint32_t index = 0;  ///< into the vector of Function that the kind names
};

/// A label and where it stands.
struct Label {
  std::string_view name;
  Position position;
};

/// A list of labels or functions (name: .branchtargets a, b;), or a prototype for indirect calls.
struct Targets {
  enum class Kind : std::uint8_t { branches, calls, prototype };
  Kind kind = Kind::branches;
  std::string_view name;
  std::vector<Operand> items;  ///< the labels or functions
  Position position;
};

/// An .entry or a .func with its body.
struct Function {
  std::string_view name;
  bool defined = false;  ///< it has a body; else this is a prototype
  std::vector<Variable> results;
  std::vector<Variable> parameters;
  std::array<std::uint32_t, 3> max_extent{};       ///< .maxntid, zeros when absent
  std::array<std::uint32_t, 3> required_extent{};  ///< .reqntid, zeros when absent
  std::uint32_t min_blocks_per_sm = 0;
  std::uint32_t max_registers = 0;
  std::array<std::uint32_t, 3> cluster{};  ///< .reqnctapercluster, zeros when absent
  std::vector<Statement> body;
  std::vector<Instruction> instructions;
  std::vector<Label> labels;
  std::vector<Registers> registers;
  std::vector<Variable> variables;
  std::vector<Targets> targets;
  Position position;
};

/// .alias name, of;
struct Alias {
  std::string_view name;
  std::string_view of;
  Position position;
};

/// A file that .loc directives name.
struct File {
  std::uint32_t number = 0;
  std::string_view name;
};

/// Where instructions come from.
struct SourceMap {
  std::vector<File> files;
  std::vector<Location> locations{{}};  ///< the first stands for an unknown place; each is inlined at one before it

  /// "copy.hpp:12, inlined at kernel.cu:5", outwards to the end; "" when the place is unknown.
  std::string describe(std::uint32_t location) const;
};

/// A whole text.
struct Module {
  std::string_view target;  ///< "sm_120f"
  std::vector<Function> entries;
  std::vector<Function> functions;  ///< definitions and prototypes, as they come
  std::vector<Variable> variables;
  std::vector<Alias> aliases;
  std::shared_ptr<const SourceMap> source_map;
};

/// Reads PTX text, which must outlive the result. Throws SyntaxError.
Module parse(std::string_view text);

/// Bytes of a fundamental type such as ".f32", 0 when it is none (.pred is none).
std::uint32_t type_bytes(std::string_view type);

}  // namespace moesaic::emulator::ptx
