#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "emulator/instruction.hpp"

namespace moesaic::emulator {

struct Program;

/// PTX ISA, "Memory Consistency Model": how an access takes part in it. Everything but weak is strong.
enum class MemoryOrder : std::uint8_t { weak, relaxed, acquire, release, acq_rel, sc };

/// PTX ISA, "Scope". A cluster of one block is a block.
enum class Scope : std::uint8_t { none, cta, cluster, gpu, sys };

/// What an instruction means to the order of accesses, beyond accessing memory.
enum class Fence : std::uint8_t {
  none,
  thread,             ///< fence, membar
  mbarrier_init,      ///< fence.mbarrier_init
  proxy_async,        ///< fence.proxy.async of both spaces
  proxy_shared,       ///< ... .shared::cta, .shared::cluster
  proxy_global,       ///< ... .global
  tensormap_release,  ///< fence.proxy.tensormap::generic.release
  tensormap_acquire,  ///< fence.proxy.tensormap::generic.acquire
};

/// How undefined bits travel through an instruction; see definedness_rules.cpp.
enum class Travel : std::uint8_t {
  strict,  ///< any undefined bit of a source makes the whole result undefined
  none,    ///< the result is always defined
  copy,
  pack,
  unpack,
  bit_and,
  bit_or,
  bit_xor,
  lop3,
  shift_left,
  shift_right,
  shift_right_signed,
  funnel,
  prmt,
  upward,  ///< sums and products: from the lowest undefined bit on
  halves,  ///< each 16-bit half by itself
  words,   ///< each 32-bit half by itself
  extract,
  insert,
  select,
  convert,       ///< between integers: bits are kept, zeros or the sign are added
  convert_pair,  ///< two sources, each to its half: the first to the upper one
  predicate_and,
  predicate_or,
  shuffle,
  ballot,
  gather,  ///< every lane's result depends on all lanes
  load,
  store,
  atomic,
  load_matrix,
  store_matrix,
  move_matrix,
  multiply,  ///< mma
};

/// What observers know of an instruction: read once from its row and its text.
struct Traits {
  MemoryOrder order = MemoryOrder::weak;
  Scope scope = Scope::none;
  Fence fence = Fence::none;
  Travel travel = Travel::strict;
  bool has_effect = false;        ///< beyond its destinations: whether it runs at all must be defined
  bool needs_defined = false;     ///< all of its sources decide something
  std::uint8_t half_bits = 0;     ///< of each half of the result, for convert_pair
  bool left = false;              ///< shf
  bool clamps = false;            ///< shf
  char mode = 'i';                ///< of shfl: up, down, bfly, idx by their first letters
  bool is_signed = false;         ///< its (source) type
  std::uint8_t bits = 64;         ///< of its type; of a conversion: the source's
  std::uint8_t result_bits = 64;  ///< of a conversion
  std::uint8_t parts = 1;         ///< elements of a vector operand
  std::vector<Slot> results;
  std::vector<Slot> result_predicates;
  std::vector<Slot> sources;  ///< registers and constants, addresses not among them
  std::vector<Slot> source_predicates;
  std::vector<Slot> addresses;  ///< their bases

  bool is_strong() const { return order != MemoryOrder::weak; }
  bool acquires() const {
    return order == MemoryOrder::acquire || order == MemoryOrder::acq_rel || order == MemoryOrder::sc;
  }
  bool releases() const {
    return order == MemoryOrder::release || order == MemoryOrder::acq_rel || order == MemoryOrder::sc;
  }
};

/// The traits of an instruction; of a call without the register that holds the function's address.
Traits traits_of(const Instruction& instruction);

/// The traits of each instruction of a program.
std::vector<Traits> traits_of(const Program& program);

/// The opcode and the modifiers of an instruction's text, as the text has them: "ld", ".acquire", ".gpu", ...
std::vector<std::string_view> words_of(std::string_view text);

}  // namespace moesaic::emulator
