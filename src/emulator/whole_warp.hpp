#pragma once

#include "emulator/warp.hpp"

namespace moesaic::emulator {

/// .aligned: all 32 lanes execute the instruction together; false while some have yet to come. Throws Fault when some
/// never will, because they have exited.
inline bool whole_warp(Warp& warp, const Instruction& instruction, Lanes active) {
  if (warp.live() != kAllLanes) {
    warp.fail(Fault::Kind::invalid, instruction, ~warp.live(), "these lanes have exited and all 32 must take part");
  }
  return warp.gather(active, kAllLanes);
}

}  // namespace moesaic::emulator
