#pragma once

#include "emulator/warp.hpp"

namespace moesaic::emulator {

/// To be called by instructions that address the memory of a cluster: st.async, red.async, bulk copies and reductions
/// into shared memory from shared memory, multicast. An H200 stops at them with an illegal instruction when the kernel
/// was not launched in clusters. Throws Fault.
void require_clusters(const Warp& warp, const Instruction& instruction, Lanes active);

/// Of a cluster of one block: only its own bit may be set in a multicast mask. Throws Fault.
void check_multicast(const Warp& warp, const Instruction& instruction, Slot mask, int lane);

}  // namespace moesaic::emulator
