#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
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

/// The first address of a block's shared memory: as on the card, the system's part lies below it. It is a multiple of
/// 1024, so that 128-byte swizzle patterns begin where the window begins.
inline constexpr std::uint32_t kSharedBase = 1024;

/// A kernel, ready to run.
struct Program {
  static constexpr Slot kTrue = 0;           ///< the predicate that always holds; kTrue + 1 never does
  static constexpr Slot kPredicateSink = 2;  ///< takes what nobody wants
  static constexpr Slot kSink = 0;           ///< the register that takes what nobody wants

  std::string name;
  std::shared_ptr<const std::string> text;
  std::vector<Instruction> code;  ///< ends with an exit
  std::vector<Slot> operands;
  std::vector<std::uint64_t> constants;  ///< rows of 32 equal values
  std::vector<std::pair<Slot, Special>> specials;
  std::uint32_t registers = 1;
  std::uint32_t predicates = 2;
  std::uint32_t static_shared_bytes = 0;
  std::uint32_t local_bytes = 0;
  /// The first instruction that the table does not have, when there is one: the kernel cannot be launched.
  std::string unsupported;
  std::uint32_t unsupported_line = 0;
};

/// Says where a module's global and constant variables were placed: pairs of name and address.
using VariableAddresses = std::vector<std::pair<std::string_view, std::uint64_t>>;

/// Resolves one entry of a module. Throws ptx::SyntaxError when a name is unknown or operands do not fit.
Kernel build_kernel(const ptx::Function& entry, const ptx::Module& module, const VariableAddresses& addresses,
                    const std::shared_ptr<const std::string>& text);

}  // namespace moesaic::emulator
