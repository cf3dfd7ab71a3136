#include <fmt/format.h>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"

/// PTX ISA, "Data Movement and Conversion Instructions: Non-bulk copy" (cp.async), and the groups in which threads wait
/// for asynchronous operations.
namespace moesaic::emulator {
namespace {

using ptx::Space;

/// What the operand after the size of cp.async means.
enum class Source : std::uint8_t {
  whole,
  sized,    ///< the bytes that are copied, the rest being zeros; may be missing
  ignored,  ///< a predicate: nothing is copied, all are zeros
};

/// [to], [from], size[, source bytes or predicate][, policy].
template <Source kSource>
Flow copy_async(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const Lanes ignored = kSource == Source::ignored ? warp.predicate(op[5]) : 0;
  for_lanes(active, [&](int lane) {
    Copy copy{.route = Copy::Route::load, .completion = Completion::group};
    copy.bytes = static_cast<std::uint32_t>(warp.in(op[4])[lane]);
    if (copy.bytes != 4 && copy.bytes != 8 && copy.bytes != 16) {
      warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
                fmt::format("cp.async copies 4, 8 or 16 bytes, not {}", copy.bytes));
    }
    copy.source_bytes = copy.bytes;
    if (kSource == Source::sized && op[5] != kNoSlot) {
      copy.source_bytes = static_cast<std::uint32_t>(warp.in(op[5])[lane]);
      if (copy.source_bytes > copy.bytes) {
        warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
                  fmt::format("{} bytes of a copy of {}", copy.source_bytes, copy.bytes));
      }
    }
    if ((ignored >> lane & 1U) != 0) copy.source_bytes = 0;
    copy.global = warp.in(op[2])[lane] + warp.in(op[3])[lane];
    if (copy.global % copy.bytes != 0) {
      warp.fail(Fault::Kind::misaligned, instruction, Lanes{1} << lane,
                fmt::format("address {:#x} is not a multiple of {}, the bytes copied", copy.global, copy.bytes));
    }
    copy.shared = warp.shared_address(instruction, Space::shared, warp.in(op[0])[lane] + warp.in(op[1])[lane],
                                      copy.bytes, copy.bytes, lane);
    copy.instruction = &instruction;
    copy.warp = warp.index;
    copy.lane = lane;
    if (Observer* observer = warp.block.observer()) {
      copy.ticket = observer->copy_issued(warp, instruction, lane, copy.completion);
    }
    warp.block.copies().issue(std::move(copy));
  });
  return Flow::next;
}

template <Completion kCompletion>
Flow commit_group(Warp& warp, const Instruction&, Lanes active) {
  warp.block.copies().commit(warp.index, active, kCompletion);
  if (Observer* observer = warp.block.observer()) observer->group_committed(warp, active, kCompletion);
  return Flow::next;
}

/// wait_group n.
template <Completion kCompletion, bool kOnlyRead>
Flow wait_group(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::uint64_t pending = static_cast<std::uint32_t>(warp.in(instruction.operands[0])[std::countr_zero(active)]);
  if (!warp.block.copies().groups_done(warp.index, active, kCompletion, pending, kOnlyRead)) {
    warp.wait_for(Wait::copies, 0);
    return Flow::wait;
  }
  if (Observer* observer = warp.block.observer()) {
    observer->group_waited(warp, active, kCompletion, pending, kOnlyRead);
  }
  return Flow::next;
}

Flow wait_all(Warp& warp, const Instruction&, Lanes active) {
  if (!warp.block.copies().all_done(warp.index, active)) {
    warp.wait_for(Wait::copies, 0);
    return Flow::wait;
  }
  if (Observer* observer = warp.block.observer()) observer->all_waited(warp, active);
  return Flow::next;
}

}  // namespace

void add_async_rows(InstructionTable& table) {
  const auto row = [&](const char* name, const char* operands, Handler handler) {
    table.add(name, operands, Class::copy, handler);
  };
  row("cp.async.shared.global", "a a s s?", copy_async<Source::sized>);
  row("cp.async.shared.global", "a a s q", copy_async<Source::ignored>);
  row("cp.async.commit_group", "", commit_group<Completion::group>);
  row("cp.async.wait_group", "s", wait_group<Completion::group, false>);
  row("cp.async.wait_all", "", wait_all);
  row("cp.async.bulk.commit_group", "", commit_group<Completion::bulk_group>);
  row("cp.async.bulk.wait_group", "s", wait_group<Completion::bulk_group, false>);
  row("cp.async.bulk.wait_group.read", "s", wait_group<Completion::bulk_group, true>);
  // An H200 under driver 580 stops at them with an illegal instruction, whatever the policy.
  const InstructionTable::Section hints(table, Target::any, Proof::unproven);
  row("cp.async.shared.global.L2::cache_hint", "a a s s", copy_async<Source::whole>);
  row("cp.async.shared.global.L2::cache_hint", "a a s s s", copy_async<Source::sized>);
  row("cp.async.shared.global.L2::cache_hint", "a a s q s", copy_async<Source::ignored>);
}

}  // namespace moesaic::emulator
