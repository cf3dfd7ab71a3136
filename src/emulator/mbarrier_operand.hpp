#pragma once

#include <fmt/format.h>

#include "emulator/block.hpp"

namespace moesaic::emulator {

/// The mbarrier that a lane's address operand (slots `base` and `offset`) names. Throws Fault when there is none.
inline Mbarrier& mbarrier_at(Warp& warp, const Instruction& instruction, Slot base, Slot offset, int lane,
                             ptx::Space space) {
  const std::uint64_t address = warp.in(base)[lane] + warp.in(offset)[lane];
  const std::uint32_t at = warp.shared_address(instruction, space, address, 8, 8, lane);
  Mbarrier* barrier = warp.block.find_mbarrier(at);
  if (barrier == nullptr) {
    warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane, fmt::format("there is no mbarrier at {:#x}", at));
  }
  return *barrier;
}

/// Likewise, in the space that the instruction's row is about.
inline Mbarrier& mbarrier_at(Warp& warp, const Instruction& instruction, Slot base, Slot offset, int lane) {
  return mbarrier_at(warp, instruction, base, offset, lane, instruction.row->access.space);
}

}  // namespace moesaic::emulator
