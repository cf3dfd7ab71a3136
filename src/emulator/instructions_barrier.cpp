#include <fmt/format.h>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"

/// PTX ISA, "Parallel Synchronization and Communication Instructions": barrier.
namespace moesaic::emulator {
namespace {

std::uint32_t uniform(const Warp& warp, Slot slot, Lanes active) {
  return static_cast<std::uint32_t>(warp.in(slot)[std::countr_zero(active)]);
}

std::uint32_t barrier_id(const Warp& warp, const Instruction& instruction, Lanes active, Slot slot) {
  const std::uint32_t id = uniform(warp, slot, active);
  if (id >= Block::kBarriers) {
    warp.fail(Fault::Kind::invalid, instruction, active, fmt::format("barrier {}; 0 to 15 are legal", id));
  }
  return id;
}

/// The threads that a barrier is for; 0 stands for the whole block.
std::uint32_t barrier_count(const Warp& warp, const Instruction& instruction, Lanes active, Slot slot) {
  if (slot == kNoSlot) return 0;
  const std::uint32_t count = uniform(warp, slot, active);
  const std::uint32_t most = (warp.block.thread_count() + kWarpLanes - 1) / kWarpLanes * kWarpLanes;
  if (count == 0 || count % kWarpLanes != 0 || count > most) {
    warp.fail(Fault::Kind::invalid, instruction, active,
              fmt::format("a barrier for {} threads; multiples of 32 up to {} are legal", count, most));
  }
  return count;
}

void arrive(Warp& warp, const Instruction& instruction, Lanes active, std::uint32_t id, std::uint32_t count,
            bool waits) {
  if (warp.block.arrive(warp, id, count, waits)) return;
  warp.fail(Fault::Kind::invalid, instruction, active,
            fmt::format("barrier {} for {} threads, but others wait there for {}", id, count,
                        warp.block.barrier(id).expected));
}

/// A fragment comes to a barrier and waits; with the last lanes of its warp the warp has come.
void come(Warp& warp, const Instruction& instruction, Lanes active, Slot id_slot, Slot count_slot) {
  const std::uint32_t id = barrier_id(warp, instruction, active, id_slot);
  const std::uint32_t count = barrier_count(warp, instruction, active, count_slot);
  const Lanes here = warp.waiting_at(id) | active;
  warp.wait_at_barrier(id, count);
  if (here == warp.live()) arrive(warp, instruction, active, id, count, true);
}

Flow barrier_sync(Warp& warp, const Instruction& instruction, Lanes active) {
  if (warp.take_release()) return Flow::next;
  come(warp, instruction, active, instruction.operands[0], instruction.operands[1]);
  return Flow::wait;
}

Flow barrier_arrive(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!warp.gather(active, kAllLanes)) return Flow::wait;
  const std::uint32_t id = barrier_id(warp, instruction, active, op[0]);
  arrive(warp, instruction, active, id, barrier_count(warp, instruction, active, op[1]), false);
  return Flow::next;
}

enum class Reduce : std::uint8_t { popc, conj, disj };

/// bar.red d, id[, count], p.
template <Reduce kReduce, bool kCounted>
Flow barrier_reduce(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (!warp.take_release()) {
    NamedBarrier& barrier = warp.block.barrier(barrier_id(warp, instruction, active, op[1]));
    const Lanes votes = warp.predicate(op[kCounted ? 3 : 2]) & active;
    barrier.votes += static_cast<std::uint32_t>(std::popcount(votes));
    barrier.voters += static_cast<std::uint32_t>(std::popcount(active));
    come(warp, instruction, active, op[1], kCounted ? op[2] : kNoSlot);
    return Flow::wait;
  }
  const BarrierResult result = warp.release_result();
  if constexpr (kReduce == Reduce::popc) {
    std::uint64_t* out = warp.out(op[0]);
    for_lanes(active, [&](int lane) { out[lane] = result.votes; });
  } else {
    const bool holds = kReduce == Reduce::conj ? result.all : result.votes != 0;
    warp.set_predicate(op[0], active, holds ? kAllLanes : 0);
  }
  return Flow::next;
}

}  // namespace

void add_barrier_rows(InstructionTable& table) {
  const auto row = [&](const char* name, const char* operands, Handler handler) {
    table.add(name, operands, Class::barrier, handler);
  };
  row("(bar|barrier).sync", "s s?", barrier_sync);
  row("(bar|barrier).arrive", "s s", barrier_arrive);
  row("(bar|barrier).red.popc.u32", "d s q", barrier_reduce<Reduce::popc, false>);
  row("(bar|barrier).red.popc.u32", "d s s q", barrier_reduce<Reduce::popc, true>);
  row("(bar|barrier).red.and.pred", "p s q", barrier_reduce<Reduce::conj, false>);
  row("(bar|barrier).red.and.pred", "p s s q", barrier_reduce<Reduce::conj, true>);
  row("(bar|barrier).red.or.pred", "p s q", barrier_reduce<Reduce::disj, false>);
  row("(bar|barrier).red.or.pred", "p s s q", barrier_reduce<Reduce::disj, true>);
}

}  // namespace moesaic::emulator
