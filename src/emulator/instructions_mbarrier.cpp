#include <fmt/format.h>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/mbarrier_operand.hpp"

/// PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier". Scopes do not matter with clusters of
/// one block; whether an operation releases or acquires is for the observer.
namespace moesaic::emulator {
namespace {

using ptx::Space;

std::uint32_t low_word(const Warp& warp, Slot slot, int lane) {
  return static_cast<std::uint32_t>(warp.in(slot)[lane]);
}

/// Throws what an operation on an mbarrier found wrong, and lets those go on who waited for the phase that it ended.
template <typename Operation>
void change(Warp& warp, const Instruction& instruction, Mbarrier& barrier, int lane, bool arrives,
            Operation&& operation) {
  const std::uint64_t phase = barrier.phase;
  Observer* observer = warp.block.observer();
  if (arrives && observer != nullptr) observer->mbarrier_arrived(warp, lane, barrier);
  const std::string wrong = operation(barrier);
  if (!wrong.empty()) warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane, wrong);
  warp.block.mbarrier_changed(barrier, phase);
  warp.block.note_effect();
}

/// Throws if bytes are pending or under way at an mbarrier that is to end.
void check_idle(Warp& warp, const Instruction& instruction, const Mbarrier& barrier, int lane) {
  const std::uint64_t under_way = warp.block.copies().bytes_under_way(barrier.address);
  if (barrier.bytes == 0 && under_way == 0) return;
  warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
            fmt::format("the mbarrier at {:#x} ends in {}, and {} bytes of copies are under way to it", barrier.address,
                        barrier.description(), under_way));
}

Flow mbarrier_init(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const std::uint64_t address = warp.in(op[0])[lane] + warp.in(op[1])[lane];
    const std::uint32_t at = warp.shared_address(instruction, instruction.row->access.space, address, 8, 8, lane);
    const std::int64_t count = low_word(warp, op[2], lane);
    if (count < 1 || count > Mbarrier::kMaxCount) {
      warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
                fmt::format("an mbarrier for {} arrivals; 1 to 2^20 - 1 are legal", count));
    }
    if (const Mbarrier* old = warp.block.find_mbarrier(at)) check_idle(warp, instruction, *old, lane);
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
    check_idle(warp, instruction, barrier, lane);
    if (Observer* observer = warp.block.observer()) observer->mbarrier_removed(warp, lane, barrier);
    warp.block.remove_mbarrier(barrier.address);
  });
  warp.block.note_effect();
  return Flow::next;
}

enum class Arrival : std::uint8_t { plain, drop };

/// mbarrier.arrive and arrive_drop state, [a][, count]: with .noComplete the phase may not end.
template <Arrival kArrival, bool kCompletes>
Flow mbarrier_arrive(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Mbarrier& barrier = mbarrier_at(warp, instruction, op[1], op[2], lane);
    const std::uint64_t state = barrier.state();
    const std::int64_t count = op[3] == kNoSlot ? 1 : low_word(warp, op[3], lane);
    change(warp, instruction, barrier, lane, true, [&](Mbarrier& b) {
      if (!kCompletes && b.pending == count && b.bytes == 0) {
        return fmt::format("a .noComplete arrival ends a phase of the mbarrier at {:#x}, which is in {}", b.address,
                           b.description());
      }
      return kArrival == Arrival::drop ? b.drop(count) : b.arrive(count);
    });
    warp.out(op[0])[lane] = state;
  });
  return Flow::next;
}

/// mbarrier.arrive.expect_tx and arrive_drop.expect_tx state, [a], bytes.
template <Arrival kArrival>
Flow mbarrier_arrive_expecting(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Mbarrier& barrier = mbarrier_at(warp, instruction, op[1], op[2], lane);
    const std::uint64_t state = barrier.state();
    const std::int64_t bytes = low_word(warp, op[3], lane);
    change(warp, instruction, barrier, lane, true, [&](Mbarrier& b) {
      std::string wrong = b.expect(bytes);
      if (!wrong.empty()) return wrong;
      return kArrival == Arrival::drop ? b.drop(1) : b.arrive(1);
    });
    warp.out(op[0])[lane] = state;
  });
  return Flow::next;
}

template <bool kComplete>
Flow mbarrier_bytes(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Mbarrier& barrier = mbarrier_at(warp, instruction, op[0], op[1], lane);
    const std::int64_t bytes = low_word(warp, op[2], lane);
    change(warp, instruction, barrier, lane, false,
           [&](Mbarrier& b) { return kComplete ? b.complete(bytes) : b.expect(bytes); });
  });
  return Flow::next;
}

constexpr std::uint32_t kEarlyAnswerOdds = 4;

/// test_wait and try_wait p, [a], state or parity[, time]. Both may answer late; false comes when the wait has timed
/// out, which may be at once: a program that does not look at the answer is to be seen.
template <bool kParity>
Flow mbarrier_wait(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  Lanes passed = 0;
  std::uint32_t first_address = 0;
  bool first_parity = false;
  for_lanes(active, [&](int lane) {
    const Mbarrier& barrier = mbarrier_at(warp, instruction, op[1], op[2], lane);
    const std::uint64_t operand = warp.in(op[3])[lane];
    const bool parity = ((kParity ? operand : Mbarrier::phase_of(operand)) & 1U) != 0;
    const bool done = kParity ? barrier.passed(parity) : barrier.phase > Mbarrier::phase_of(operand);
    passed |= Lanes{done} << lane;
    Observer* observer = warp.block.observer();
    if (done && observer != nullptr) observer->mbarrier_passed(warp, lane, barrier);
    if (!done && first_address == 0) {
      first_address = barrier.address;
      first_parity = parity;
    }
  });
  const bool timed_out = warp.take_release();
  if (passed != active && !timed_out && warp.block.random().below(kEarlyAnswerOdds) != 0) {
    warp.wait_for(Wait::phase, first_address, first_parity);
    return Flow::wait;
  }
  warp.set_predicate(op[0], active, passed);
  return passed == active ? Flow::next : Flow::yield;
}

/// d, state.
Flow pending_count(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) { warp.out(op[0])[lane] = Mbarrier::pending_of(warp.in(op[1])[lane]); });
  return Flow::next;
}

/// cp.async.mbarrier.arrive [a]: an arrival when the lane's cp.async are complete; without .noinc it is one that the
/// phase had not expected.
template <bool kIncrements>
Flow arrive_after_copies(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Mbarrier& barrier = mbarrier_at(warp, instruction, op[0], op[1], lane);
    const std::string wrong = kIncrements ? barrier.add_pending() : std::string();
    if (!wrong.empty()) warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane, wrong);
    if (Observer* observer = warp.block.observer()) observer->copies_will_arrive(warp, lane, barrier);
    warp.block.copies().arrive_after_copies(instruction, warp.index, lane, barrier.address);
  });
  return Flow::next;
}

void add_rows(InstructionTable& table, const std::string& space, Space where) {
  const Access access{.space = where};
  const auto row = [&](const std::string& name, const char* operands, Handler handler) {
    table.add("mbarrier." + name + space + ".b64", operands, Class::barrier, handler, access);
  };
  row("init", "a s", mbarrier_init);
  row("inval", "a", mbarrier_inval);
  row("arrive", "d a s?", mbarrier_arrive<Arrival::plain, true>);
  row("arrive.noComplete", "d a s", mbarrier_arrive<Arrival::plain, false>);
  row("arrive.expect_tx", "d a s", mbarrier_arrive_expecting<Arrival::plain>);
  row("arrive_drop", "d a s?", mbarrier_arrive<Arrival::drop, true>);
  row("arrive_drop.noComplete", "d a s", mbarrier_arrive<Arrival::drop, false>);
  row("arrive_drop.expect_tx", "d a s", mbarrier_arrive_expecting<Arrival::drop>);
  row("expect_tx", "a s", mbarrier_bytes<false>);
  row("complete_tx", "a s", mbarrier_bytes<true>);
  row("(test_wait|try_wait)", "p a s s?", mbarrier_wait<false>);
  row("(test_wait|try_wait).parity", "p a s s?", mbarrier_wait<true>);
  table.add("cp.async.mbarrier.arrive" + space + ".b64", "a", Class::barrier, arrive_after_copies<true>, access);
  table.add("cp.async.mbarrier.arrive.noinc" + space + ".b64", "a", Class::barrier, arrive_after_copies<false>, access);
}

}  // namespace

void add_mbarrier_rows(InstructionTable& table) {
  add_rows(table, "", Space::generic);
  add_rows(table, ".shared", Space::shared);
  table.add("mbarrier.pending_count.b64", "d s", Class::barrier, pending_count);
}

}  // namespace moesaic::emulator
