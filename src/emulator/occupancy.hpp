#pragma once

#include <cstdint>

#include "emulator/machine.hpp"

namespace moesaic::emulator {

/// What one block takes of an SM.
struct Footprint {
  std::uint64_t warps = 0;
  std::uint64_t registers = 0;  ///< 0: not known
  std::uint64_t shared_bytes = 0;
};

/// What the blocks on an SM take together.
struct SmLoad {
  std::uint64_t warps = 0;
  std::uint64_t registers = 0;
  std::uint64_t shared_bytes = 0;
  std::uint64_t blocks = 0;

  /// Whether one more block fits beside them.
  bool has_room(const Footprint& block, const Device& card) const;
  void add(const Footprint& block);
  void remove(const Footprint& block);
};

/// What a block of this launch takes. Registers are given out in units of 256 per warp, shared memory with the part
/// that the system takes. Source: cuda_occupancy.h of the CUDA toolkit, which all cards of compute capability 9.0
/// and 12.x follow alike.
Footprint footprint_of(const Kernel& kernel, const Launch& launch, const Device& card);

/// The most blocks of this launch that one SM holds; 0 when a block does not fit.
int blocks_per_sm(const Kernel& kernel, const Launch& launch, const Device& card);

/// Registers of a warp whose threads have that many, as they are given out.
std::uint64_t warp_registers(std::uint32_t registers_per_thread);

}  // namespace moesaic::emulator
