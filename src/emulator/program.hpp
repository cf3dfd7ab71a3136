#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "emulator/instruction.hpp"
#include "emulator/special_register.hpp"

namespace moesaic::emulator {

// Windows of the generic address space, 4 GiB each. Global addresses are generic addresses as they are.
inline constexpr std::uint64_t kSharedWindow = 0x7e00'0000'0000;
inline constexpr std::uint64_t kLocalWindow = 0x7e10'0000'0000;
inline constexpr std::uint64_t kParamWindow = 0x7e20'0000'0000;
inline constexpr std::uint64_t kWindowBytes = std::uint64_t{1} << 32;

/// Where the addresses of functions begin. Nothing can be loaded from there.
inline constexpr std::uint64_t kCodeWindow = 0x7e30'0000'0000;
inline constexpr std::uint64_t kCodeStep = 16;  ///< from one function to the next

/// The first address of a block's shared memory: as on the card, the system's part lies below it. It is a multiple of
/// 1024, so that 128-byte swizzle patterns begin where the window begins.
inline constexpr std::uint32_t kSharedBase = 1024;

/// Where an argument or a result of a call is: in a register, or in the frame of its function.
struct Argument {
  Slot slot = kNoSlot;       ///< a register; kNoSlot: in memory
  std::uint32_t offset = 0;  ///< in the frame
  std::uint32_t bytes = 0;
};

/// A function of a program. Each has registers of its own; what a call overwrites of a function that may be under way
/// already is saved with the call. Local variables and parameters lie in a frame in local memory.
struct FunctionCode {
  /// Functions that every module may call without defining them.
  enum class Builtin : std::uint8_t { none, print, assertion };

  std::string name;
  std::uint64_t address = 0;
  std::uint32_t entry = 0;  ///< its first instruction
  std::uint32_t frame_bytes = 0;
  Builtin builtin = Builtin::none;
  bool defined = true;
  bool recursive = false;  ///< it can be called while it is under way
  std::vector<Argument> parameters;
  std::vector<Argument> results;
  std::vector<std::pair<Slot, std::uint32_t>> frame_slots;  ///< registers that hold the frame's base plus an offset
  std::vector<Slot> registers;                              ///< its own, those of the frame included
  std::vector<Slot> predicates;
};

/// One call instruction, named by Instruction::target.
struct CallSite {
  std::int32_t function = -1;  ///< in Program::functions; -1: the one whose address is in `address`
  Slot address = kNoSlot;
  std::vector<Argument> arguments;
  std::vector<Argument> results;
};

/// A kernel, ready to run.
struct Program {
  static constexpr Slot kTrue = 0;           ///< the predicate that always holds; kTrue + 1 never does
  static constexpr Slot kPredicateSink = 2;  ///< takes what nobody wants
  static constexpr Slot kSink = 0;           ///< the register that takes what nobody wants
  /// Rows in which Warp puts the operands of lanes that come to a .sync instruction from different places.
  static constexpr Slot kExchange = 1;
  static constexpr std::uint32_t kExchangeRows = 8;
  static constexpr Slot kExchangePredicate = 4;
  static constexpr std::uint32_t kExchangePredicates = 4;

  std::string name;
  std::shared_ptr<const std::string> text;
  std::vector<Instruction> code;  ///< of the kernel, which ends with an exit, and of the functions that it may call
  std::vector<std::uint32_t> locations;  ///< of each instruction, in the source map
  std::shared_ptr<const ptx::SourceMap> source_map;
  std::vector<Slot> operands;
  std::vector<std::uint64_t> constants;  ///< rows of 32 equal values
  std::vector<std::pair<Slot, Special>> specials;
  std::vector<FunctionCode> functions;  ///< the kernel itself first
  std::vector<CallSite> calls;
  std::vector<std::vector<std::uint32_t>> jump_tables;  ///< of brx.idx, named by Instruction::target
  std::uint32_t registers = 1 + kExchangeRows;
  std::uint32_t predicates = 2 + kExchangePredicates;
  std::uint32_t static_shared_bytes = 0;
  /// Of a thread: all frames that can be on top of one another; where functions call themselves it is what a thread
  /// starts with, and up to `most_local_bytes` come to it.
  std::uint32_t local_bytes = 0;
  std::uint32_t most_local_bytes = 0;
  /// The first instruction that the table does not have, when there is one: the kernel cannot be launched.
  std::string unsupported;
  std::string unsupported_why;
  std::uint32_t unsupported_line = 0;

  /// The text of an instruction of `code`, on one line.
  std::string text_of(const Instruction& instruction) const;
  /// "file.cu:12" of an instruction of `code`, and where that was inlined; "" where the text does not say.
  std::string source_of(const Instruction& instruction) const;
};

/// Says where a module's global and constant variables were placed: pairs of name and address.
using VariableAddresses = std::vector<std::pair<std::string_view, std::uint64_t>>;

/// What the functions of a module refer to.
struct Linkage {
  /// `first_code` is the address of the module's first function; the others follow at kCodeStep.
  Linkage(const ptx::Module& of_module, std::uint64_t first_code);

  const ptx::Module& module;
  VariableAddresses variables;
  std::unordered_map<std::string_view, const ptx::Function*> functions;  ///< aliases included
  std::unordered_map<std::string_view, std::uint64_t> code;              ///< their addresses
  std::vector<std::string_view> addressed;  ///< functions whose address is taken somewhere in the module

  /// The address that a name in an initial value stands for. Throws ptx::SyntaxError when it has none.
  std::uint64_t address_of(const ptx::Operand& name) const;
};

/// Resolves one entry of a module. Throws ptx::SyntaxError when a name is unknown or operands do not fit.
Kernel build_kernel(const ptx::Function& entry, const Linkage& linkage, const std::shared_ptr<const std::string>& text);

}  // namespace moesaic::emulator
