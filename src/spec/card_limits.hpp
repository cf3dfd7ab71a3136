#pragma once

#include "spec/device.hpp"

/// A card held to another's limits, so that what is measured on it resembles the other.
namespace moesaic {

/// The least dynamic shared memory of a block with which no more than `blocks` of them fit one SM, in bytes.
constexpr int smem_bytes_for(const Device& device, int blocks) {
  constexpr int kGranularity = 1024;
  const int bytes = device.smem_per_sm_bytes / (blocks + 1) - device.smem_reserved_bytes;
  return (bytes / kGranularity + 1) * kGranularity;
}

/// The card held to what compute capability 12.x allows of shared memory, threads and blocks. Its instructions stay its
/// own.
constexpr Device held_to_12x(Device card) {
  const Device& blackwell = *find_device("gb10");
  card.smem_per_block_bytes = blackwell.smem_per_block_bytes;
  card.smem_per_sm_bytes = blackwell.smem_per_sm_bytes;
  card.smem_reserved_bytes = blackwell.smem_reserved_bytes;
  card.registers_per_sm = blackwell.registers_per_sm;
  card.registers_per_block = blackwell.registers_per_block;
  card.threads_per_sm = blackwell.threads_per_sm;
  card.blocks_per_sm = blackwell.blocks_per_sm;
  return card;
}

}  // namespace moesaic
