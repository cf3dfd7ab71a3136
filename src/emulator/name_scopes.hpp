#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "emulator/instruction.hpp"

namespace moesaic::emulator {

/// What a name in a function means.
struct Meaning {
  enum class Kind : std::uint8_t {
    registers,
    predicates,
    address,  ///< of a variable: `address`, to which the base of the function's frame is added when `in_frame`
    targets,  ///< `index` into ptx::Function::targets
  };
  Kind kind = Kind::registers;
  bool ranged = false;        ///< name<count>
  bool in_frame = false;      ///< a variable in local memory, or a parameter of a function or of a call
  bool is_parameter = false;  ///< declared .param
  std::uint32_t lanes = 1;    ///< slots of one register: 2 and 4 of vectors, 2 (low, high) of .b128
  std::vector<Slot> slots;    ///< -1 until used: `lanes` for each register
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;  ///< of a variable
  std::size_t index = 0;
};

/// The names of a function by the block scope that declares them. PTX ISA, "Identifiers" and "Blocks".
class NameScopes {
 public:
  /// A name's meaning, or null; for registers the slot within Meaning::slots.
  struct Found {
    Meaning* meaning = nullptr;
    std::size_t slot = 0;
    bool whole = false;  ///< all slots of a register that has several
  };

  NameScopes() : scopes_(1) {}

  /// Opens a scope within the current one; scopes are numbered in the order in which they open.
  void open();
  void close() { scope_ = scopes_[scope_].parent; }
  /// Goes through the scopes again, in the same order, when all labels are known.
  void rewind();
  void reopen() { scope_ = ++reopened_; }
  bool at_outermost() const { return scope_ == 0; }

  /// Declares a name in the current scope. Throws ptx::SyntaxError when it is declared there already.
  Meaning& declare(std::string_view name, ptx::Position position);
  void declare_label(std::string_view name, ptx::Position position, std::uint32_t pc);

  /// Looks from the current scope outwards.
  Found find(std::string_view name);
  /// Where that label stands. Throws ptx::SyntaxError when there is none.
  std::uint32_t label(std::string_view name, ptx::Position position) const;

 private:
  struct Scope {
    std::size_t parent = 0;
    std::unordered_map<std::string_view, Meaning> names;
    std::unordered_map<std::string_view, std::uint32_t> labels;
  };

  Found find_plain(std::string_view name);
  static Found find_in(Scope& scope, std::string_view name);

  std::vector<Scope> scopes_;
  std::size_t scope_ = 0;
  std::size_t reopened_ = 0;
};

}  // namespace moesaic::emulator
