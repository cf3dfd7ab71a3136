#include <atomic>

#include "emulator/block.hpp"

/// PTX ISA, "Control Flow Instructions", "Miscellaneous Instructions", fences and what paces a kernel.
namespace moesaic::emulator {
namespace {

Flow branch(Warp&, const Instruction&, Lanes) {
  return Flow::branch;
}
Flow leave(Warp&, const Instruction&, Lanes) {
  return Flow::exit;
}
Flow pause(Warp&, const Instruction&, Lanes) {
  return Flow::yield;
}

Flow trap(Warp& warp, const Instruction& instruction, Lanes active) {
  warp.fail(Fault::Kind::trap, instruction, active, "the kernel trapped");
}

/// Without a debugger a breakpoint ends the kernel.
Flow stop_at_breakpoint(Warp& warp, const Instruction& instruction, Lanes active) {
  warp.fail(Fault::Kind::trap, instruction, active, "the kernel came to a breakpoint, and there is no debugger");
}

Flow fence(Warp&, const Instruction&, Lanes) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return Flow::next;
}

}  // namespace

void add_control_rows(InstructionTable& table) {
  table.add("bra", "l", Class::control, branch);
  table.add("exit", "", Class::control, leave);
  add_call_rows(table);
  // What they do is end the launch, pass time, or order what is ordered here anyway.
  const InstructionTable::Section unseen(table, Target::any, Proof::unproven);
  table.add("trap", "", Class::control, trap);
  table.add("brkpt", "", Class::control, stop_at_breakpoint);
  table.add("nanosleep.u32", "s", Class::control, pause);
  table.add("(fence|membar)", "", Class::control, fence);
  table.add("membar.gl", "", Class::control, fence);
  // Stores reach memory at once and copies read it when they happen, so these order nothing more.
  table.add("fence.proxy.(alias|async|async.global|tensormap|async::generic)", "", Class::control, fence);
  table.add("fence.mbarrier_init", "", Class::control, fence);
  add_grid_rows(table);
  add_launch_control_rows(table);
}

}  // namespace moesaic::emulator
