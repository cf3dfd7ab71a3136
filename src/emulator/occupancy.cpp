#include "emulator/occupancy.hpp"

#include <algorithm>

#include "emulator/instruction.hpp"

namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kMaxThreads = 1024;   // of a block, on every card
constexpr std::uint64_t kRegisterUnit = 256;  // in which a warp gets registers
constexpr std::uint64_t kSharedUnit = 128;    // in which a block gets shared memory
constexpr std::uint64_t kPartitions = 4;      // of an SM; each has its own registers
constexpr std::uint32_t kMaxRegistersOfThread = 255;

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

std::uint64_t unsigned_of(int value) {
  return static_cast<std::uint64_t>(std::max(value, 0));
}

}  // namespace

std::uint64_t warp_registers(std::uint32_t registers_per_thread) {
  return round_up(std::uint64_t{registers_per_thread} * kWarpLanes, kRegisterUnit);
}

Footprint footprint_of(const Kernel& kernel, const Launch& launch, const Device& card) {
  const std::uint64_t warps = (launch.block.count() + kWarpLanes - 1) / kWarpLanes;
  const std::uint64_t shared = std::uint64_t{kernel.static_shared_bytes} + launch.dynamic_shared_bytes;
  return Footprint{.warps = warps,
                   .registers = warps * warp_registers(kernel.registers),
                   .shared_bytes = round_up(shared + unsigned_of(card.smem_reserved_bytes), kSharedUnit)};
}

int blocks_per_sm(const Kernel& kernel, const Launch& launch, const Device& card) {
  const std::uint64_t shared = std::uint64_t{kernel.static_shared_bytes} + launch.dynamic_shared_bytes;
  const std::uint64_t threads = launch.block.count();
  if (threads == 0 || threads > kMaxThreads || shared > unsigned_of(card.smem_per_block_bytes)) return 0;
  const Footprint block = footprint_of(kernel, launch, card);
  std::uint64_t most =
      std::min(unsigned_of(card.blocks_per_sm), unsigned_of(card.threads_per_sm) / kWarpLanes / block.warps);
  if (block.shared_bytes != 0) most = std::min(most, unsigned_of(card.smem_per_sm_bytes) / block.shared_bytes);
  if (kernel.registers != 0) {
    const std::uint64_t of_warp = warp_registers(kernel.registers);
    const std::uint64_t checked = of_warp * round_up(block.warps, kPartitions);
    if (kernel.registers > kMaxRegistersOfThread || checked > unsigned_of(card.registers_per_block)) return 0;
    const std::uint64_t warps = unsigned_of(card.registers_per_sm) / kPartitions / of_warp * kPartitions;
    most = std::min(most, warps / block.warps);
  }
  return static_cast<int>(most);
}

bool SmLoad::has_room(const Footprint& block, const Device& card) const {
  return blocks < unsigned_of(card.blocks_per_sm) &&
         warps + block.warps <= unsigned_of(card.threads_per_sm) / kWarpLanes &&
         registers + block.registers <= unsigned_of(card.registers_per_sm) &&
         shared_bytes + block.shared_bytes <= unsigned_of(card.smem_per_sm_bytes);
}

void SmLoad::add(const Footprint& block) {
  warps += block.warps;
  registers += block.registers;
  shared_bytes += block.shared_bytes;
  ++blocks;
}

void SmLoad::remove(const Footprint& block) {
  warps -= block.warps;
  registers -= block.registers;
  shared_bytes -= block.shared_bytes;
  --blocks;
}

}  // namespace moesaic::emulator
