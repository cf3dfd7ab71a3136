#include "emulator/cluster.hpp"

#include <fmt/format.h>

#include "emulator/block.hpp"

namespace moesaic::emulator {

void require_clusters(const Warp& warp, const Instruction& instruction, Lanes active) {
  if (warp.block.grid.launch.in_clusters) return;
  warp.fail(Fault::Kind::invalid, instruction, active,
            "it addresses the memory of a cluster, and the kernel was not launched in clusters; .reqnctapercluster "
            "1, 1, 1 or the launch attribute for clusters of 1 x 1 x 1 blocks would do that");
}

void check_multicast(const Warp& warp, const Instruction& instruction, Slot mask, int lane) {
  const auto blocks = static_cast<std::uint16_t>(warp.in(mask)[lane]);
  if (blocks == 1) return;
  warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
            fmt::format("multicast to blocks {:#x} of a cluster of one block: only the mask 1 is legal", blocks));
}

}  // namespace moesaic::emulator
