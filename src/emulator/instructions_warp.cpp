#include <algorithm>
#include <array>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"

/// What the lanes of a warp do together. PTX ISA, "Data Movement and Conversion Instructions: shfl.sync" and "Parallel
/// Synchronization and Communication Instructions": vote, match, redux, activemask, elect, bar.warp.
namespace moesaic::emulator {
namespace {

Lanes mask_of(const Warp& warp, Slot slot, Lanes active) {
  return static_cast<Lanes>(warp.in(slot)[std::countr_zero(active)]);
}

/// The lanes that the instruction names. Executing it without being named is an error of the program.
Lanes members(Warp& warp, const Instruction& instruction, Lanes active, Slot mask) {
  const Lanes wanted = mask_of(warp, mask, active);
  if ((active & ~wanted) != 0) {
    warp.fail(Fault::Kind::invalid, instruction, active & ~wanted, "these lanes are not in the member mask");
  }
  return wanted;
}

/// Lanes that name others do not meet: false when there are several masks, and the lanes part.
bool has_one_mask(Warp& warp, Lanes active, Slot mask) {
  const std::uint64_t* masks = warp.in(mask);
  const auto first = static_cast<Lanes>(masks[std::countr_zero(active)]);
  Lanes group = 0;
  for_lanes(active, [&](int lane) { group |= Lanes{static_cast<Lanes>(masks[lane]) == first} << lane; });
  if (group != active) warp.part(group);
  return group == active;
}

/// Waits for the lanes that the instruction names to come to it, or to another one of its row.
bool together(Warp& warp, const Instruction& instruction, Lanes active, Slot mask) {
  return has_one_mask(warp, active, mask) &&
         warp.exchange(instruction, active, members(warp, instruction, active, mask));
}

enum class Shuffle : std::uint8_t { up, down, bfly, idx };

/// The lane that `lane` reads from, and whether it lies in range.
template <Shuffle kMode>
std::pair<int, bool> source_of(int lane, std::uint32_t by, std::uint32_t control) {
  const int clamp = static_cast<int>(control & 31U);
  const int segments = static_cast<int>((control >> 8) & 31U);
  const int b = static_cast<int>(by & 31U);
  const int lowest = lane & segments;
  const int limit = lowest | (clamp & ~segments & 31);
  if constexpr (kMode == Shuffle::up) return {lane - b, lane - b >= limit};
  if constexpr (kMode == Shuffle::down) return {lane + b, lane + b <= limit};
  if constexpr (kMode == Shuffle::bfly) return {lane ^ b, (lane ^ b) <= limit};
  const int chosen = lowest | (b & ~segments & 31);
  return {chosen, chosen <= limit};
}

template <Shuffle kMode>
Flow shuffle(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!together(warp, instruction, active, op[5])) return Flow::wait;
  std::array<std::uint64_t, kWarpLanes> values{};
  std::copy_n(warp.in(op[2]), kWarpLanes, values.begin());
  std::uint64_t* out = warp.out(op[0]);
  const std::uint64_t* by = warp.in(op[3]);
  const std::uint64_t* control = warp.in(op[4]);
  Lanes in_range = 0;
  std::array<std::uint64_t, kWarpLanes> results{};
  for_lanes(active, [&](int lane) {
    const auto [source, valid] =
        source_of<kMode>(lane, static_cast<std::uint32_t>(by[lane]), static_cast<std::uint32_t>(control[lane]));
    in_range |= Lanes{valid} << lane;
    const int from = valid ? source : lane;
    // What an inactive lane gives is undefined.
    const bool given = ((active >> from) & 1U) != 0;
    results[static_cast<std::size_t>(lane)] =
        given ? values[static_cast<std::size_t>(from)] & 0xffffffffU : 0xffffffffU;
  });
  for_lanes(active, [&](int lane) { out[lane] = results[static_cast<std::size_t>(lane)]; });
  warp.set_predicate(op[1], active, in_range);
  return Flow::next;
}

enum class Vote : std::uint8_t { all, any, uni };

template <Vote kVote>
Flow vote(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!together(warp, instruction, active, op[2])) return Flow::wait;
  const Lanes votes = warp.predicate(op[1]) & active;
  const bool all = votes == active;
  const bool result = kVote == Vote::all ? all : kVote == Vote::any ? votes != 0 : all || votes == 0;
  warp.set_predicate(op[0], active, result ? kAllLanes : 0);
  return Flow::next;
}

void give_all(Warp& warp, Slot slot, Lanes active, std::uint64_t value) {
  std::uint64_t* out = warp.out(slot);
  for_lanes(active, [&](int lane) { out[lane] = value; });
}

Flow ballot(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!together(warp, instruction, active, op[2])) return Flow::wait;
  give_all(warp, op[0], active, warp.predicate(op[1]) & active);
  return Flow::next;
}

Flow active_mask(Warp& warp, const Instruction& instruction, Lanes active) {
  give_all(warp, instruction.operands[0], active, active);
  return Flow::next;
}

/// The lowest lane is elected: the ISA only asks for a deterministic choice.
Flow elect(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!together(warp, instruction, active, op[2])) return Flow::wait;
  const int leader = std::countr_zero(active);
  give_all(warp, op[0], active, static_cast<std::uint64_t>(leader));
  warp.set_predicate(op[1], active, Lanes{1} << leader);
  return Flow::next;
}

template <typename T, T (*kFunction)(T, T)>
Flow redux(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!together(warp, instruction, active, op[2])) return Flow::wait;
  const std::uint64_t* in = warp.in(op[1]);
  T total = from_bits<T>(in[std::countr_zero(active)]);
  for_lanes(active & (active - 1), [&](int lane) { total = kFunction(total, from_bits<T>(in[lane])); });
  give_all(warp, op[0], active, to_bits<T>(total));
  return Flow::next;
}
std::uint32_t add(std::uint32_t a, std::uint32_t b) {
  return a + b;
}
std::uint32_t bit_and(std::uint32_t a, std::uint32_t b) {
  return a & b;
}
std::uint32_t bit_or(std::uint32_t a, std::uint32_t b) {
  return a | b;
}
std::uint32_t bit_xor(std::uint32_t a, std::uint32_t b) {
  return a ^ b;
}
template <typename T>
T minimum(T a, T b) {
  return std::min(a, b);
}
template <typename T>
T maximum(T a, T b) {
  return std::max(a, b);
}

template <typename T>
Flow match_any(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!together(warp, instruction, active, op[2])) return Flow::wait;
  std::array<T, kWarpLanes> values{};
  for_lanes(active, [&](int lane) { values[static_cast<std::size_t>(lane)] = static_cast<T>(warp.in(op[1])[lane]); });
  for_lanes(active, [&](int lane) {
    Lanes same = 0;
    for_lanes(active, [&](int other) {
      const bool equal = values[static_cast<std::size_t>(lane)] == values[static_cast<std::size_t>(other)];
      same |= Lanes{equal} << other;
    });
    warp.out(op[0])[lane] = same;
  });
  return Flow::next;
}

template <typename T>
Flow match_all(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!together(warp, instruction, active, op[3])) return Flow::wait;
  const std::uint64_t* in = warp.in(op[2]);
  const auto first = static_cast<T>(in[std::countr_zero(active)]);
  bool all = true;
  for_lanes(active, [&](int lane) { all = all && static_cast<T>(in[lane]) == first; });
  give_all(warp, op[0], active, all ? active : 0);
  warp.set_predicate(op[1], active, all ? kAllLanes : 0);
  return Flow::next;
}

/// Lanes may come to different instructions: only the masks have to agree.
Flow warp_barrier(Warp& warp, const Instruction& instruction, Lanes active) {
  if (!has_one_mask(warp, active, instruction.operands[0])) return Flow::wait;
  const Lanes wanted = members(warp, instruction, active, instruction.operands[0]);
  return warp.meet(instruction, active, wanted) ? Flow::next : Flow::wait;
}

}  // namespace

void add_warp_rows(InstructionTable& table) {
  const auto add_row = [&](const char* name, const char* operands, Handler handler) {
    table.add(name, operands, Class::warp, handler);
  };
  add_row("shfl.sync.up.b32", "d| s s s s", shuffle<Shuffle::up>);
  add_row("shfl.sync.down.b32", "d| s s s s", shuffle<Shuffle::down>);
  add_row("shfl.sync.bfly.b32", "d| s s s s", shuffle<Shuffle::bfly>);
  add_row("shfl.sync.idx.b32", "d| s s s s", shuffle<Shuffle::idx>);
  add_row("vote.sync.all.pred", "p q s", vote<Vote::all>);
  add_row("vote.sync.any.pred", "p q s", vote<Vote::any>);
  add_row("vote.sync.uni.pred", "p q s", vote<Vote::uni>);
  add_row("vote.sync.ballot.b32", "d q s", ballot);
  add_row("elect.sync", "d| s", elect);
  add_row("redux.sync.add.(u32|s32)", "d s s", redux<std::uint32_t, add>);
  add_row("redux.sync.min.u32", "d s s", redux<std::uint32_t, minimum<std::uint32_t>>);
  add_row("redux.sync.max.u32", "d s s", redux<std::uint32_t, maximum<std::uint32_t>>);
  add_row("redux.sync.min.s32", "d s s", redux<std::int32_t, minimum<std::int32_t>>);
  add_row("redux.sync.max.s32", "d s s", redux<std::int32_t, maximum<std::int32_t>>);
  add_row("redux.sync.and.b32", "d s s", redux<std::uint32_t, bit_and>);
  add_row("redux.sync.or.b32", "d s s", redux<std::uint32_t, bit_or>);
  add_row("redux.sync.xor.b32", "d s s", redux<std::uint32_t, bit_xor>);
  add_row("match.any.sync.b32", "d s s", match_any<std::uint32_t>);
  add_row("match.any.sync.b64", "d s s", match_any<std::uint64_t>);
  add_row("match.all.sync.b32", "d| s s", match_all<std::uint32_t>);
  add_row("match.all.sync.b64", "d| s s", match_all<std::uint64_t>);
  add_row("bar.warp.sync", "s", warp_barrier);
  const InstructionTable::Section scheduling(table, Target::any, Proof::unproven);
  add_row("activemask.b32", "d", active_mask);
}

}  // namespace moesaic::emulator
