#pragma once

#include "emulator/block.hpp"

namespace moesaic::emulator {

/// Runs all blocks of a grid on the host's threads and returns what they executed. At most `resident` blocks are under
/// way at once; they start in order, and a block that waits for another's memory lets the next one start. Throws the
/// Fault of the lowest faulting block.
Statistics run_grid(const Grid& grid, std::uint64_t resident, int host_threads);

}  // namespace moesaic::emulator
