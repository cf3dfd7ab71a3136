#include <bit>
#include <cstring>

#include "emulator/block.hpp"
#include "emulator/mbarrier_operand.hpp"

/// PTX ISA, "clusterlaunchcontrol": a running block takes the work of one that has not started. The answer is 16 opaque
/// bytes: here the coordinates of the cancelled block in words 0 to 2, and whether there is one in word 3.
namespace moesaic::emulator {
namespace {

using Answer = std::array<std::uint32_t, 4>;

/// Asks for a block; the answer is written late, as by an asynchronous copy of 16 bytes.
Flow try_cancel(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const ptx::Space space = instruction.row->access.space;
  for_lanes(active, [&](int lane) {
    Copy copy;
    copy.route = Copy::Route::value;
    copy.bytes = sizeof(Answer);
    copy.shared = warp.shared_address(instruction, space, warp.in(op[0])[lane] + warp.in(op[1])[lane], copy.bytes,
                                      copy.bytes, lane);
    copy.mbarrier = mbarrier_at(warp, instruction, op[2], op[3], lane).address;
    Answer answer{};
    GridControl* control = warp.block.grid.control;
    // The card may always answer that it is too late: one time in four it does.
    const bool too_late = warp.block.random().below(4) == 0;
    if (const auto taken = control == nullptr || too_late ? std::nullopt : control->cancel_block(warp.block.grid)) {
      const Extent& blocks = warp.block.grid.launch.grid;
      answer = {static_cast<std::uint32_t>(*taken % blocks.x), static_cast<std::uint32_t>(*taken / blocks.x % blocks.y),
                static_cast<std::uint32_t>(*taken / blocks.x / blocks.y), 1};
    }
    copy.data.resize(sizeof answer);
    std::memcpy(copy.data.data(), answer.data(), sizeof answer);
    copy.instruction = &instruction;
    copy.warp = warp.index;
    copy.lane = lane;
    if (Observer* observer = warp.block.observer()) {
      copy.ticket = observer->copy_issued(warp, instruction, lane, Completion::mbarrier, copy.mbarrier);
    }
    warp.block.copies().issue(std::move(copy));
  });
  return Flow::next;
}

/// A register pair that holds an answer.
std::uint32_t word_of(Warp& warp, const Slot* answer, std::size_t word, int lane) {
  return static_cast<std::uint32_t>(warp.in(answer[word / 2])[lane] >> (32 * (word % 2)));
}

Flow is_canceled(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  Lanes canceled = 0;
  for_lanes(active, [&](int lane) { canceled |= Lanes{word_of(warp, op + 1, 3, lane) == 1} << lane; });
  warp.set_predicate(op[0], active, canceled);
  return Flow::next;
}

/// All coordinates at once; the fourth element means nothing.
Flow first_block(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Answer answer{};
    for (std::size_t i = 0; i < 3; ++i) answer[i] = word_of(warp, op + 4, i, lane);
    for (std::size_t i = 0; i < answer.size(); ++i) warp.out(op[i])[lane] = answer[i];
  });
  return Flow::next;
}

template <std::size_t kDimension>
Flow first_block_along(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) { warp.out(op[0])[lane] = word_of(warp, op + 1, kDimension, lane); });
  return Flow::next;
}

}  // namespace

void add_launch_control_rows(InstructionTable& table) {
  // Which blocks are left depends on scheduling.
  const InstructionTable::Section section(table, Target::sm_100, Proof::unproven);
  for (const auto& [space, where] : {std::pair{"", ptx::Space::generic}, std::pair{".shared", ptx::Space::shared}}) {
    table.add(std::string("clusterlaunchcontrol.try_cancel.async") + space +
                  ".mbarrier::complete_tx::bytes[.multicast::cluster::all].b128",
              "a a", Class::control, try_cancel, Access{.space = where});
  }
  const std::string query = "clusterlaunchcontrol.query_cancel.";
  table.add(query + "is_canceled.pred.b128", "p S2", Class::control, is_canceled);
  table.add(query + "get_first_ctaid.v4.b32.b128", "D4 S2", Class::control, first_block);
  table.add(query + "get_first_ctaid::x.b32.b128", "d S2", Class::control, first_block_along<0>);
  table.add(query + "get_first_ctaid::y.b32.b128", "d S2", Class::control, first_block_along<1>);
  table.add(query + "get_first_ctaid::z.b32.b128", "d S2", Class::control, first_block_along<2>);
}

}  // namespace moesaic::emulator
