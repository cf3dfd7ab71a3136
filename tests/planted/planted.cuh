#pragma once

#include "planted/params.hpp"
#include "programs/ptx.cuh"

/// Kernels with one planted bug each. A bug is a template `name<bool kBug>`, followed by PLANTED(name, blocks,
/// threads), which makes the kernels name_buggy and name_right and says how planted_test launches them. PLANTED_PAIR is
/// for two kernels, name_primary and name, of which the second starts while the first may still run (programmatic
/// dependent launch).
///
/// A comment `caught: KIND` stands on the line of the statement that the emulator must name when it runs name_buggy,
/// with the kind of its finding or fault (one of several, where the rules of PTX leave open what happens: a|b). What
/// depends on the order of things is `caught sometimes: KIND`. It must say nothing of name_right.
#define PLANTED_KERNEL(function, kernel, bug, threads)                                                               \
  extern "C" __global__ void __launch_bounds__(threads) kernel(const __grid_constant__ moesaic::planted::Params p) { \
    moesaic::planted::function<bug>(p);                                                                              \
  }
/// What else a program makes of each: runtime/planted.cu makes a list.
#ifndef PLANTED_ENTRY
#define PLANTED_ENTRY(name, blocks, threads)
#define PLANTED_ENTRY_PAIR(name, blocks, threads)
#endif
#define PLANTED(name, blocks, threads)               \
  PLANTED_KERNEL(name, name##_buggy, true, threads)  \
  PLANTED_KERNEL(name, name##_right, false, threads) \
  PLANTED_ENTRY(name, blocks, threads)
/// For kernels that are declared by hand.
#define PLANTED_BY_HAND(name, blocks, threads) PLANTED_ENTRY(name, blocks, threads)
#define PLANTED_PAIR(name, blocks, threads)                            \
  PLANTED_KERNEL(name##_primary, name##_primary_buggy, true, threads)  \
  PLANTED_KERNEL(name##_primary, name##_primary_right, false, threads) \
  PLANTED_KERNEL(name, name##_buggy, true, threads)                    \
  PLANTED_KERNEL(name, name##_right, false, threads)                   \
  PLANTED_ENTRY_PAIR(name, blocks, threads)

namespace moesaic::planted {

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

__device__ inline u32 lane() {
  return threadIdx.x % 32;
}

__device__ inline u32 warp() {
  return threadIdx.x / 32;
}

/// The place in `out` that belongs to this thread alone.
__device__ inline u32 place() {
  return blockIdx.x * blockDim.x + threadIdx.x;
}

/// Makes an mbarrier ready for all threads and for copies. By all threads of the block.
__device__ inline void open(u64* barrier, u32 arrivals) {
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(barrier, arrivals);
    ptx::fence_mbarrier_init();
    ptx::fence_proxy_async();
  }
  __syncthreads();
}

}  // namespace moesaic::planted
