#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator/defined_bytes.hpp"
#include "emulator/instruction_traits.hpp"
#include "emulator/observer.hpp"

namespace moesaic::emulator {

class GridObserver;

/// A row of a register: bits that nobody has given a value, for each lane.
using UndefinedRow = std::array<std::uint64_t, kWarpLanes>;

/// Follows which bits of registers, predicates and memory hold values that somebody wrote. Values without one may be
/// moved and computed with (a tile may have rows that nobody looks at); what is reported is an address, a branch, a
/// barrier, a copy or a tensor map that depends on one, and one that goes to global memory. What has been reported
/// counts as defined from there on.
class Definedness {
 public:
  explicit Definedness(Block& block);

  // As in Observer.
  void begin(Warp& warp, const Instruction& instruction, const Traits& traits, Lanes asked, Lanes active);
  void end(Warp& warp, const Instruction& instruction, const Traits& traits, Lanes active);
  void touch(Warp& warp, const Instruction& instruction, ptx::Space space, std::uint64_t address, std::uint32_t bytes,
             int lane, Purpose purpose);
  void copy_moved(const Instruction& instruction, int warp, Lanes lane, Location to, const Location* from,
                  std::uint32_t bytes);
  void called(const Warp& warp, const Passage& passage, const FunctionCode& function, std::uint32_t frame, Lanes lanes);
  void returned(const Warp& warp, const Passage& passage, const FunctionCode& function, std::uint32_t frame,
                Lanes lanes);
  void move(const Warp& warp, const std::vector<MovedSlot>& moved);
  void local_grows(std::uint32_t from_bytes, std::uint32_t to_bytes);
  void printed(const Warp& warp, const Instruction& instruction, int lane, std::uint64_t address, std::uint32_t bytes);

 private:
  /// Of the registers of a function that was under way already when it was called: as they were before.
  struct SavedShadow {
    std::vector<UndefinedRow> bits;
    std::vector<Lanes> predicates;
  };
  struct WarpShadow {
    std::vector<std::uint64_t> bits;  ///< rows of 32; meaningful where `lanes` says so
    std::vector<Lanes> lanes;         ///< of each register: those with any undefined bit
    std::vector<Lanes> predicates;
    std::vector<SavedShadow> saved;  ///< by frame
  };
  struct Touch {
    ptx::Space space = ptx::Space::global;
    Purpose purpose = Purpose::read;
    int lane = 0;
    std::uint64_t address = 0;
    std::uint32_t bytes = 0;
  };
  struct Result {
    Slot slot = 0;
    UndefinedRow bits{};
  };

  WarpShadow& shadow_of(const Warp& warp);
  Lanes undefined_lanes(const WarpShadow& shadow, Slot slot) const { return slot >= 0 ? shadow.lanes[index(slot)] : 0; }
  std::uint64_t undefined_bits(const WarpShadow& shadow, Slot slot, int lane) const;
  Lanes undefined_predicate(const WarpShadow& shadow, Slot slot) const { return shadow.predicates[index(slot >> 1)]; }
  static std::size_t index(Slot slot) { return static_cast<std::size_t>(slot); }
  void set(WarpShadow& shadow, Slot slot, Lanes lanes, const UndefinedRow& bits);
  void report(const Warp& warp, const Instruction& instruction, Lanes lanes, const std::string& what);

  // Calls (definedness_calls.cpp).
  std::vector<UndefinedRow> taken(const Warp& warp, const Passage& passage, Lanes lanes);
  void give(const Warp& warp, const Passage& passage, const std::vector<UndefinedRow>& values, Lanes lanes);
  std::uint64_t place_in_local(const Warp& warp, int lane, std::uint64_t address) const;

  // Memory.
  DefinedBytes* bytes_at(const Warp& warp, const Touch& touch, std::uint64_t& at);
  std::uint64_t undefined_bytes(const Warp& warp, const Touch& touch);
  void load(const Warp& warp, const Traits& traits);
  void store(Warp& warp, const Instruction& instruction, const Traits& traits, WarpShadow& shadow);
  void exchange(Warp& warp, const Instruction& instruction, const Traits& traits, WarpShadow& shadow);

  // How undefined bits travel (definedness_travel.cpp).
  void travel(Warp& warp, const Instruction& instruction, const Traits& traits, const WarpShadow& shadow, Lanes active);
  void travel_lanes(Warp& warp, const Traits& traits, const WarpShadow& shadow, Lanes active);
  void travel_predicates(Warp& warp, const Traits& traits, const WarpShadow& shadow, Lanes active);
  void shuffle(Warp& warp, const Traits& traits, const WarpShadow& shadow, Lanes active);
  void unpack(const Traits& traits, const WarpShadow& shadow, Lanes active);

  // Matrices (definedness_matrix.cpp).
  void load_matrix(Warp& warp, const Instruction& instruction, const Traits& traits, WarpShadow& shadow);
  void store_matrix(Warp& warp, const Instruction& instruction, const Traits& traits, const WarpShadow& shadow);
  void move_matrix(const Traits& traits, const WarpShadow& shadow);
  void multiply(Warp& warp, const Instruction& instruction, const WarpShadow& shadow);

  Block& block_;
  GridObserver& grid_;
  std::vector<WarpShadow> warps_;
  DefinedBytes shared_;
  DefinedBytes local_;

  // Of the instruction that runs.
  std::vector<Touch> touches_;
  bool any_undefined_ = false;      // among its sources
  Lanes unknown_ = 0;               // lanes whose guard is undefined
  std::vector<Result> results_;     // those that are not wholly defined
  Lanes undefined_predicates_ = 0;  // of its destination predicates
};

}  // namespace moesaic::emulator
