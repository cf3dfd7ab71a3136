#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Machine code as `cuobjdump --dump-sass` writes it, and its loops.
namespace moesaic::kernel_report {

struct Instruction {
  std::uint32_t address = 0;  ///< in bytes, from the function's first instruction
  bool predicated = false;
  std::string opcode;    ///< with its modifiers: "LDSM.16.M88.4"
  std::string operands;  ///< as they are written
};

/// One function for one target.
struct Code {
  std::string function;
  std::string target;  ///< "sm_120f"
  std::vector<Instruction> instructions;
};

/// The functions in the order of the text. Throws Error when instructions do not follow each other.
std::vector<Code> parse_sass(std::string_view text);

/// What an instruction is there for in a GEMM's main loop.
enum class Kind : std::uint8_t {
  mma,
  conversion,  ///< between formats of floats: how sm_90a multiplies e4m3
  ldmatrix,
  integer,  ///< addresses, counters, moves
  wait,     ///< barriers and branches
  nop,      ///< nothing: what sm_120f has behind an mma where ptxas found nothing else to issue
  other,
};

inline constexpr std::array<std::string_view, 7> kKindNames{"mma",  "conversion", "ldmatrix", "integer",
                                                            "wait", "nop",        "other"};

Kind kind_of(const Instruction& instruction);

/// Whether the opcode, without its modifiers, is that: "LDL.LU" is "LDL".
bool is(const Instruction& instruction, std::string_view opcode);

/// How many instructions of each kind.
using Counts = std::array<int, kKindNames.size()>;

/// An innermost loop around mma instructions.
struct MainLoop {
  std::vector<std::size_t>
      body;                   ///< indices of its instructions, ascending; those of loops with mma inside it left out
  std::size_t first_mma = 0;  ///< index of an instruction
  std::size_t last_mma = 0;

  int mma_count(const Code& code) const;
  /// Instructions from the first mma to the last: each is issued once a turn, but for those of a wait that has to be
  /// repeated.
  Counts between(const Code& code) const;
  /// The same of the whole body.
  Counts whole(const Code& code) const;
};

/// Natural loops (a branch back to an instruction that every way to the branch passes) that hold an mma which no loop
/// inside them holds, in the order of their first mma.
std::vector<MainLoop> main_loops(const Code& code);

}  // namespace moesaic::kernel_report
