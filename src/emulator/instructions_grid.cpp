#include <fmt/format.h>

#include "emulator/block.hpp"

/// What concerns the launch: PTX ISA, griddepcontrol, setmaxnreg.
namespace moesaic::emulator {
namespace {

Flow wait_for_prerequisites(Warp& warp, const Instruction&, Lanes active) {
  if (const Grid& grid = warp.block.grid; grid.control != nullptr && !grid.control->prerequisites_completed(grid)) {
    warp.wait_for(Wait::grids, 0);
    return Flow::wait;
  }
  warp.block.note_waited();
  if (Observer* observer = warp.block.observer()) observer->dependency_waited(warp, active);
  return Flow::next;
}

/// Others may run now: a dependent grid may start.
Flow launch_dependents(Warp& warp, const Instruction&, Lanes) {
  warp.block.release_dependents();
  return Flow::yield;
}

constexpr std::uint64_t kFewestRegisters = 24;  // of a thread
constexpr std::uint64_t kMostRegisters = 256;
constexpr std::uint64_t kRegisterStep = 8;

/// Registers go between the warp and the block's pool, which is empty at first. Where the kernel's registers are not
/// known nothing can be counted.
template <bool kMore>
Flow set_registers(Warp& warp, const Instruction& instruction, Lanes active) {
  if (!warp.gather(active, kAllLanes)) return Flow::wait;
  const std::uint64_t wanted = warp.in(instruction.operands[0])[std::countr_zero(active)];
  if (wanted < kFewestRegisters || wanted > kMostRegisters || wanted % kRegisterStep != 0) {
    warp.fail(Fault::Kind::invalid, instruction, active,
              fmt::format("{} registers; multiples of 8 from 24 to 256 are legal", wanted));
  }
  const std::uint64_t owned = warp.thread_registers;
  if (owned == 0) return Flow::next;
  if (kMore ? wanted < owned : wanted > owned) {
    warp.fail(Fault::Kind::invalid, instruction, active,
              fmt::format("a thread has {} registers, and {} are not {}", owned, wanted, kMore ? "more" : "fewer"));
  }
  if constexpr (kMore) {
    if (!warp.block.take_registers((wanted - owned) * kWarpLanes)) {
      warp.wait_for(Wait::registers, static_cast<std::uint32_t>((wanted - owned) * kWarpLanes));
      return Flow::wait;
    }
  } else {
    warp.block.give_registers((owned - wanted) * kWarpLanes);
  }
  warp.thread_registers = static_cast<std::uint32_t>(wanted);
  return Flow::next;
}

}  // namespace

void add_grid_rows(InstructionTable& table) {
  const InstructionTable::Section section(table, Target::any, Proof::unproven);
  table.add("griddepcontrol.wait", "", Class::control, wait_for_prerequisites);
  table.add("griddepcontrol.launch_dependents", "", Class::control, launch_dependents);
  table.add("setmaxnreg.inc.sync.aligned.u32", "s", Class::control, set_registers<true>);
  table.add("setmaxnreg.dec.sync.aligned.u32", "s", Class::control, set_registers<false>);
}

}  // namespace moesaic::emulator
