#include <fmt/format.h>

#include "emulator/block.hpp"

/// What a block says when it cannot go on.
namespace moesaic::emulator {
namespace {

std::string place_of(const Warp& warp, const Fragment& fragment) {
  const Program& program = warp.block.grid.program;
  const Instruction& at = program.code[fragment.pc];
  const std::string source = program.source_of(at);
  return fmt::format("\n  warp {} lanes {:#010x} at line {} `{}`{}", warp.index, fragment.lanes, at.line,
                     program.text_of(at), source.empty() ? "" : " (" + source + ")");
}

std::string describe(const Block& block, const Warp& warp, const Fragment& fragment, const Mbarrier* mbarrier) {
  const std::string who = place_of(warp, fragment) + ": ";
  switch (fragment.wait) {
    case Wait::nothing:
      return who + "runs";
    case Wait::lanes:
      return who + fmt::format("waits for lanes {:#010x} to come there too",
                               fragment.waits_on & warp.live() & ~fragment.lanes);
    case Wait::barrier:
      return who + fmt::format("waits at barrier {}{}", fragment.waits_on,
                               fragment.expected == 0 ? "" : fmt::format(" for {} threads", fragment.expected));
    case Wait::registers:
      return who + fmt::format("waits for {} registers; the block's pool has {}, and no warp is left to give it more",
                               fragment.waits_on, block.spare_registers());
    case Wait::grids:
      return who + "waits for the grids that this one depends on";
    case Wait::copies:
      return who + "waits for asynchronous copies";
    case Wait::cluster:
      return who + "waits at the cluster's barrier for threads of the block that have not arrived there";
    case Wait::phase:
      break;
  }
  if (mbarrier == nullptr)
    return who + fmt::format("waits for the mbarrier at {:#x}, which is gone", fragment.waits_on);
  return who +
         fmt::format(
             "waits for parity {} of the mbarrier at {:#x}, which is in phase {} (parity {}) with {} of {} arrivals"
             " and {} bytes pending",
             fragment.parity ? 1 : 0, mbarrier->address, mbarrier->phase, mbarrier->phase & 1, mbarrier->pending,
             mbarrier->expected, mbarrier->bytes);
}

}  // namespace

void Block::report_deadlock() const {
  std::string what = "deadlock: all threads of the block wait and nothing is in flight";
  for (const auto& warp : warps_) {
    for (const Fragment& fragment : warp->fragments()) {
      const Mbarrier* mbarrier = nullptr;
      for (const Mbarrier& candidate : mbarriers_) {
        if (candidate.address == fragment.waits_on) mbarrier = &candidate;
      }
      what += describe(*this, *warp, fragment, mbarrier);
    }
  }
  for (std::uint32_t id = 0; id < kBarriers; ++id) {
    if (barriers_[id].arrived == 0) continue;
    what += fmt::format(
        "\n  barrier {}: {} threads have come, it waits for {}", id, barriers_[id].arrived,
        barriers_[id].expected == 0 ? "all that have not exited" : fmt::format("{}", barriers_[id].expected));
  }
  throw Fault(
      Fault::Kind::deadlock,
      Fault::Place{
          .kernel = grid.program.name, .instruction = {}, .source = {}, .block = index, .seed = grid.options.seed},
      what);
}

void Block::report_livelock() const {
  std::string what = fmt::format("livelock: {} warp instructions of the block changed nothing (Options::spin_limit)",
                                 step_ - step_of_effect_);
  for (const auto& warp : warps_) {
    for (const Fragment& fragment : warp->fragments()) what += place_of(*warp, fragment);
  }
  throw Fault(
      Fault::Kind::livelock,
      Fault::Place{
          .kernel = grid.program.name, .instruction = {}, .source = {}, .block = index, .seed = grid.options.seed},
      what);
}

}  // namespace moesaic::emulator
