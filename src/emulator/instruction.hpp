#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/machine.hpp"
#include "emulator/ptx.hpp"

namespace moesaic::emulator {

class Warp;
struct Instruction;

/// A set of the lanes of a warp, lane i in bit i.
using Lanes = std::uint32_t;
inline constexpr int kWarpLanes = 32;
inline constexpr Lanes kAllLanes = ~Lanes{0};

/// Where an operand lives. Values: a register row when >= 0, else row ~slot of the program's constants. Predicates:
/// twice the index in the predicate file, plus 1 when negated.
using Slot = std::int32_t;

/// What becomes of the fragment that executed an instruction.
enum class Flow : std::uint8_t {
  next,    ///< goes on
  yield,   ///< goes on, but lets others run first
  branch,  ///< the active lanes go to Instruction::target
  exit,    ///< the active lanes are done
  jump,    ///< each active lane goes where the handler has said; see Warp::jump
  wait,    ///< the active lanes stay at this instruction; the handler has said for what they wait
};

/// Executes one instruction for the active lanes of a warp, at least one.
using Handler = Flow (*)(Warp& warp, const Instruction& instruction, Lanes active);

/// What loads, stores and atomics are about.
struct Access {
  ptx::Space space = ptx::Space::generic;
  std::uint8_t bytes = 0;  ///< of an element
  std::uint8_t count = 1;  ///< elements of the vector
};

/// The .target that a module must have for an instruction. PTX ISA, the target notes of each instruction.
enum class Target : std::uint8_t {
  any,      ///< every target that is emulated: sm_90 and later
  sm_100,   ///< sm_100 or later
  sm_120f,  ///< 12.x with its own features: sm_120a, sm_120f, sm_121a, sm_121f
};

/// How it was proven that the emulator computes what a card does. isa.hpp prints it; tests/isa holds each row to it.
enum class Proof : std::uint8_t {
  silicon,      ///< an H200 answered the same, bit for bit
  independent,  ///< a test computes it another way; for approximate functions it holds them to the ISA's bound
  model,        ///< a test computes it another way from a published model of the arithmetic
  unproven,     ///< exempt by name: the result depends on time or on scheduling, or nothing can be seen of it
};

/// One row of the table of instructions.
///
/// `operands` spells what the instruction takes, one code for each operand; a handler finds the slots in that order.
///   d   destination register           p   destination predicate
///   d|  destination register with an optional predicate: 2 slots
///   p|  destination predicate with an optional second one: 2 slots
///   s   source: register, number, special register or address of a variable
///   q   source predicate               l   label
///   Dn  destination vector of n        Sn  source vector of n
///   a   address: 2 slots, base and offset
///   tn  tensor address with n coordinates: 2 + n slots
///   ?   after a code: the operand and those after it may be missing; their slots are kNoSlot
struct Row {
  std::string name;
  std::string operands;
  Class kind = Class::integer;
  Handler run = nullptr;
  Access access{};
  std::uint16_t form = 0;  ///< which one, when `run` serves several rows by a table of its own
  Target target = Target::any;
  Proof proof = Proof::silicon;
};

inline constexpr Slot kNoSlot = INT32_MIN;

/// An instruction of a program, ready to run.
struct Instruction {
  Handler run = nullptr;
  const Slot* operands = nullptr;
  Slot guard = kNoSlot;  ///< a predicate
  std::uint32_t target = 0;
  std::uint32_t line = 0;
  Class kind = Class::integer;
  const Row* row = nullptr;
  std::string_view text;  ///< in the program's copy of the PTX
};

/// The table of instructions: everything that the machine executes, each row once.
class InstructionTable {
 public:
  /// The one table.
  static const InstructionTable& get();

  /// All rows, in the order of the families.
  const std::vector<Row>& rows() const { return rows_; }

  /// The rows of that canonical name (see canonical_name); several when operands of different shapes have one name.
  std::vector<const Row*> find(std::string_view name) const;

  /// Adds rows for every spelling of `pattern`, where [x] may be missing and (a|b) are alternatives.
  void add(std::string_view pattern, std::string_view operands, Class kind, Handler run, Access access = {},
           std::uint16_t form = 0);

  /// As long as one lives, the rows that are added have its target and its proof.
  class Section {
   public:
    Section(InstructionTable& table, Target target, Proof proof)
        : table_(table), target_before_(table.target_), proof_before_(table.proof_) {
      table_.target_ = target;
      table_.proof_ = proof;
    }
    ~Section() {
      table_.target_ = target_before_;
      table_.proof_ = proof_before_;
    }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    InstructionTable& table_;
    Target target_before_;
    Proof proof_before_;
  };

 private:
  InstructionTable();

  std::vector<Row> rows_;
  std::vector<std::uint32_t> by_name_;  // indices of rows, sorted by name
  Target target_ = Target::any;
  Proof proof_ = Proof::silicon;
};

/// Empty when a module for `target` ("sm_90a") may use the row; else the sentence that says why not.
std::string why_not(const Row& row, std::string_view target);

/// The name under which the table knows an instruction: its opcode and modifiers without those that do not change
/// what the emulator does (cache operators, memory order and scope, .uni, ...), in one order (ptxas takes any).
std::string canonical_name(const ptx::Instruction& instruction);

// The families. Each adds its rows.
void add_integer_rows(InstructionTable& table);
void add_carry_rows(InstructionTable& table);
void add_logic_rows(InstructionTable& table);
void add_compare_rows(InstructionTable& table);
void add_float_rows(InstructionTable& table);
void add_min_max_rows(InstructionTable& table);
void add_approximate_rows(InstructionTable& table);
void add_half_rows(InstructionTable& table);
void add_conversion_rows(InstructionTable& table);
void add_packed_conversion_rows(InstructionTable& table);
void add_move_rows(InstructionTable& table);
void add_memory_rows(InstructionTable& table);
void add_atomic_rows(InstructionTable& table);
void add_control_rows(InstructionTable& table);
void add_call_rows(InstructionTable& table);
void add_grid_rows(InstructionTable& table);
void add_launch_control_rows(InstructionTable& table);
void add_warp_rows(InstructionTable& table);
void add_barrier_rows(InstructionTable& table);
void add_cluster_rows(InstructionTable& table);
void add_mbarrier_rows(InstructionTable& table);
void add_copy_rows(InstructionTable& table);
void add_tensor_copy_rows(InstructionTable& table);
void add_async_rows(InstructionTable& table);
void add_tensor_map_rows(InstructionTable& table);
void add_matrix_rows(InstructionTable& table);
void add_mma_rows(InstructionTable& table);

/// Calls visit(lane) for each lane of the set.
template <typename Visit>
inline void for_lanes(Lanes lanes, Visit&& visit) {
  if (lanes == kAllLanes) {
    for (int lane = 0; lane < kWarpLanes; ++lane) visit(lane);
  } else {
    for (; lanes != 0; lanes &= lanes - 1) visit(std::countr_zero(lanes));
  }
}

}  // namespace moesaic::emulator
