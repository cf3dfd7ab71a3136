#include <fmt/format.h>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"

/// PTX ISA, "Parallel Synchronization and Communication Instructions": barrier and mbarrier.
namespace moesaic::emulator {
namespace {

using ptx::Space;

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

/// The mbarrier that a lane's address operand (slots `at` and the next) names.
Mbarrier& mbarrier_at(Warp& warp, const Instruction& instruction, Slot base, Slot offset, int lane) {
  const std::uint64_t address = warp.in(base)[lane] + warp.in(offset)[lane];
  const std::uint32_t at = warp.shared_address(instruction, instruction.row->access.space, address, 8, 8, lane);
  Mbarrier* barrier = warp.block.find_mbarrier(at);
  if (barrier == nullptr) {
    warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane, fmt::format("there is no mbarrier at {:#x}", at));
  }
  return *barrier;
}

/// Throws what an operation on an mbarrier found wrong, and wakes those who waited for the phase that it ended.
template <typename Operation>
void change(Warp& warp, const Instruction& instruction, Mbarrier& barrier, int lane, bool arrives,
            Operation&& operation) {
  const std::uint64_t phase = barrier.phase;
  Observer* observer = warp.block.observer();
  if (arrives && observer != nullptr) observer->mbarrier_arrived(warp, lane, barrier);
  if (const char* wrong = operation(barrier)) {
    warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
              fmt::format("mbarrier at {:#x}, phase {}: {}", barrier.address, barrier.phase, wrong));
  }
  if (barrier.phase != phase) {
    if (observer != nullptr) observer->mbarrier_advanced(barrier);
    warp.block.wake(barrier.address);
  }
  warp.block.note_effect();
}

Flow mbarrier_init(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const std::uint64_t address = warp.in(op[0])[lane] + warp.in(op[1])[lane];
    const std::uint32_t at = warp.shared_address(instruction, instruction.row->access.space, address, 8, 8, lane);
    const auto count = static_cast<std::int64_t>(warp.in(op[2])[lane] & 0xffffffffU);
    if (count < 1 || count > Mbarrier::kMaxCount) {
      warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
                fmt::format("an mbarrier for {} arrivals; 1 to 2^20 - 1 are legal", count));
    }
    warp.block.remove_mbarrier(at);
    const Mbarrier barrier{.address = at, .expected = count, .pending = count};
    warp.block.add_mbarrier(barrier);
    if (Observer* observer = warp.block.observer()) observer->mbarrier_initialised(warp, lane, barrier);
  });
  warp.block.note_effect();
  return Flow::next;
}

Flow mbarrier_inval(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const Mbarrier& barrier = mbarrier_at(warp, instruction, op[0], op[1], lane);
    if (Observer* observer = warp.block.observer()) observer->mbarrier_removed(warp, lane, barrier);
    warp.block.remove_mbarrier(barrier.address);
  });
  warp.block.note_effect();
  return Flow::next;
}

enum class Arrival : std::uint8_t { plain, expect, drop };

/// mbarrier.arrive state, [a][, count or bytes]. The state is the number of the phase.
template <Arrival kArrival>
Flow mbarrier_arrive(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Mbarrier& barrier = mbarrier_at(warp, instruction, op[1], op[2], lane);
    const std::uint64_t phase = barrier.phase;
    const auto operand = static_cast<std::int64_t>(op[3] == kNoSlot ? 1 : warp.in(op[3])[lane] & 0xffffffffU);
    change(warp, instruction, barrier, lane, true, [&](Mbarrier& b) {
      if constexpr (kArrival == Arrival::expect) {
        const char* wrong = b.expect(operand);
        return wrong != nullptr ? wrong : b.arrive(1);
      }
      if constexpr (kArrival == Arrival::drop) b.expected -= operand;
      return b.arrive(operand);
    });
    warp.out(op[0])[lane] = phase;
  });
  return Flow::next;
}

template <bool kComplete>
Flow mbarrier_bytes(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Mbarrier& barrier = mbarrier_at(warp, instruction, op[0], op[1], lane);
    const auto bytes = static_cast<std::int64_t>(warp.in(op[2])[lane] & 0xffffffffU);
    change(warp, instruction, barrier, lane, false,
           [&](Mbarrier& b) { return kComplete ? b.complete(bytes) : b.expect(bytes); });
  });
  return Flow::next;
}

/// test_wait and try_wait p, [a], state or parity. Both may answer late; false comes when the wait has timed out.
template <bool kParity>
Flow mbarrier_wait(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  Lanes passed = 0;
  std::uint32_t first_address = 0;
  bool first_parity = false;
  for_lanes(active, [&](int lane) {
    const Mbarrier& barrier = mbarrier_at(warp, instruction, op[1], op[2], lane);
    const std::uint64_t operand = warp.in(op[3])[lane];
    const bool done = kParity ? barrier.passed((operand & 1U) != 0) : barrier.phase > operand;
    passed |= Lanes{done} << lane;
    Observer* observer = warp.block.observer();
    if (done && observer != nullptr) observer->mbarrier_passed(warp, lane, barrier);
    if (!done && first_address == 0) {
      first_address = barrier.address;
      first_parity = (operand & 1U) != 0;
    }
  });
  const bool timed_out = warp.take_release();
  if (passed != active && !timed_out) {
    warp.wait_for(Wait::phase, first_address, first_parity);
    return Flow::wait;
  }
  warp.set_predicate(op[0], active, passed);
  return passed == active ? Flow::next : Flow::yield;
}

void add_mbarrier_rows(InstructionTable& table, const std::string& space, Space where) {
  const Access access{.space = where};
  const auto row = [&](const std::string& name, const char* operands, Handler handler) {
    table.add("mbarrier." + name + space + ".b64", operands, Class::barrier, handler, access);
  };
  row("init", "a s", mbarrier_init);
  row("inval", "a", mbarrier_inval);
  row("arrive", "d a s?", mbarrier_arrive<Arrival::plain>);
  row("arrive_drop", "d a s?", mbarrier_arrive<Arrival::drop>);
  row("arrive.expect_tx", "d a s", mbarrier_arrive<Arrival::expect>);
  row("expect_tx", "a s", mbarrier_bytes<false>);
  row("complete_tx", "a s", mbarrier_bytes<true>);
  row("(test_wait|try_wait)", "p a s s?", mbarrier_wait<false>);
  row("(test_wait|try_wait).parity", "p a s s?", mbarrier_wait<true>);
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
  add_mbarrier_rows(table, "", Space::generic);
  add_mbarrier_rows(table, ".shared", Space::shared);
}

}  // namespace moesaic::emulator
