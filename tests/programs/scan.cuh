#pragma once

#include "ptx.cuh"
#include "sizes.hpp"

/// Exclusive prefix sums of 32-bit integers in one pass over the blocks: every block publishes the sum of its items and
/// looks back at those before it (Merrill, Garland, "Single-pass Parallel Prefix Scan with Decoupled Look-back", 2016).
namespace moesaic::programs {

constexpr unsigned kAll = 0xffffffff;

/// A block's state is one 64-bit word, so that reading it needs no order: the value below, how far it is above.
enum State : std::uint64_t { kNothing = 0, kOwnSum = 1, kPrefix = 2 };

__device__ inline void publish(std::uint64_t* to, State state, std::uint32_t value) {
  const std::uint64_t word = static_cast<std::uint64_t>(state) << 32 | value;
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"(word) : "memory");
}

__device__ inline std::uint64_t inspect(const std::uint64_t* from) {
  std::uint64_t word;
  asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(word) : "l"(from) : "memory");
  return word;
}

/// The sum over the lanes up to this one.
__device__ inline std::uint32_t inclusive(std::uint32_t value, unsigned lane) {
  for (unsigned distance = 1; distance < 32; distance *= 2) {
    const std::uint32_t lower = __shfl_up_sync(kAll, value, distance);
    if (lane >= distance) value += lower;
  }
  return value;
}

/// The sum of all blocks before `block`. By one warp: lane l looks at block - 1 - l, then 32 further back.
__device__ inline std::uint32_t look_back(const std::uint64_t* states, int block, unsigned lane) {
  std::uint32_t sum = 0;
  for (int last = block - 1;; last -= 32) {
    const int mine = last - static_cast<int>(lane);
    std::uint64_t word = static_cast<std::uint64_t>(kPrefix) << 32;  // nothing comes before the first block
    do {
      if (mine >= 0) word = inspect(&states[mine]);
    } while (__any_sync(kAll, word >> 32 == kNothing));
    const unsigned prefixes = __ballot_sync(kAll, word >> 32 == kPrefix);
    const unsigned end = prefixes == 0 ? 31 : static_cast<unsigned>(__ffs(static_cast<int>(prefixes))) - 1;
    sum += __reduce_add_sync(kAll, lane <= end ? static_cast<std::uint32_t>(word) : 0);
    if (prefixes != 0) return sum;
  }
}

extern "C" __global__ void __launch_bounds__(kScanThreads)
    scan(const std::uint32_t* in, std::uint32_t* out, std::uint64_t* states, std::uint32_t* ticket) {
  __shared__ std::uint32_t warp_sums[kScanThreads / 32];
  __shared__ int block;
  __shared__ std::uint32_t before;
  const unsigned lane = threadIdx.x % 32;
  const unsigned warp = threadIdx.x / 32;
  if (threadIdx.x == 0) block = static_cast<int>(atomicAdd(ticket, 1));
  __syncthreads();
  const unsigned first = (static_cast<unsigned>(block) * kScanThreads + threadIdx.x) * kScanItems;
  const uint4 items = *reinterpret_cast<const uint4*>(in + first);
  const std::uint32_t own = items.x + items.y + items.z + items.w;
  const std::uint32_t through = inclusive(own, lane);
  if (lane == 31) warp_sums[warp] = through;
  __syncthreads();
  if (warp == 0) {
    const std::uint32_t sums = inclusive(lane < kScanThreads / 32 ? warp_sums[lane] : 0, lane);
    const std::uint32_t total = __shfl_sync(kAll, sums, 31);
    if (lane == 0) publish(&states[block], block == 0 ? kPrefix : kOwnSum, total);
    const std::uint32_t earlier = block == 0 ? 0 : look_back(states, block, lane);
    if (lane == 0 && block != 0) publish(&states[block], kPrefix, earlier + total);
    if (lane == 0) before = earlier;
    if (lane < kScanThreads / 32) warp_sums[lane] = sums;
  }
  __syncthreads();
  const std::uint32_t start = before + (warp == 0 ? 0 : warp_sums[warp - 1]) + through - own;
  *reinterpret_cast<uint4*>(out + first) =
      make_uint4(start, start + items.x, start + items.x + items.y, start + items.x + items.y + items.z);
}

}  // namespace moesaic::programs
