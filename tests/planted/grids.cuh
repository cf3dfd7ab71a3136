#pragma once

#include "planted/planted.cuh"

/// Data races between blocks and between grids, programmatic dependent launch, registers.
namespace moesaic::planted {

/// Two blocks write the same words.
template <bool kBug>
__device__ void race_across_blocks(const Params& p) {
  const u32 i = kBug ? threadIdx.x : place();
  p.out[i] = blockIdx.x;  // caught: race
}

/// One block writes a row, sets a flag with a relaxed store; the other waits for it.
template <bool kBug>
__device__ void flag_set_relaxed(const Params& p) {
  u32* flag = &p.zeros[8];
  if (blockIdx.x == 0) {
    p.out[threadIdx.x] = p.in[threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) {
      if (kBug) {
        ptx::store_relaxed(flag, 1);
      } else {
        ptx::store_release(flag, 1);
      }
    }
  } else {
    while (ptx::load_acquire(flag) == 0) {
    }
    p.out[place()] = p.out[threadIdx.x];  // caught: race
  }
}

/// The same with the other half missing: the flag is read without acquiring.
template <bool kBug>
__device__ void flag_read_relaxed(const Params& p) {
  u32* flag = &p.zeros[8];
  if (blockIdx.x == 0) {
    p.out[threadIdx.x] = p.in[threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) ptx::store_release(flag, 1);
  } else {
    if (threadIdx.x == 0) {
      while (ptx::load_relaxed(flag) == 0) {
      }
      if (!kBug) __threadfence();
    }
    __syncthreads();
    p.out[place()] = p.out[threadIdx.x];  // caught: race
  }
}

/// The flag's fence reaches the block, and the reader is in another one.
template <bool kBug>
__device__ void fence_of_the_block(const Params& p) {
  u32* flag = &p.zeros[8];
  if (blockIdx.x == 0) {
    if (threadIdx.x == 0) {
      p.out[0] = 5;
      if (kBug) {
        __threadfence_block();
      } else {
        __threadfence();
      }
      ptx::store_relaxed(flag, 1);
    }
  } else if (threadIdx.x == 0) {
    while (ptx::load_acquire(flag) == 0) {
    }
    p.out[64] = p.out[0];  // caught: race
  }
}

/// Counting over blocks with atomics of block scope.
template <bool kBug>
__device__ void atomics_of_the_block(const Params& p) {
  if (kBug) {
    atomicAdd_block(&p.zeros[threadIdx.x % 4], 1);  // caught: race
  } else {
    atomicAdd(&p.zeros[threadIdx.x % 4], 1);
  }
}

/// One block counts atomically, the other adds with a load and a store.
template <bool kBug>
__device__ void atomic_and_plain(const Params& p) {
  if (threadIdx.x != 0) return;
  if (kBug && blockIdx.x == 1) {
    p.zeros[3] = p.zeros[3] + 1;  // caught: race
  } else {
    atomicAdd(&p.zeros[3], 1);  // caught: race
  }
}

/// The last block to finish adds up what all have written; the counter is not fenced.
template <bool kBug>
__device__ void last_block_without_fence(const Params& p) {
  __shared__ bool last;
  p.out[place()] = p.in[place()] * 3;
  __syncthreads();
  if (threadIdx.x == 0) {
    if (!kBug) __threadfence();
    last = atomicAdd(&p.zeros[0], 1) == gridDim.x - 1;
    if (!kBug) __threadfence();
  }
  __syncthreads();
  if (!last) return;
  u32 sum = 0;
  for (u32 i = threadIdx.x; i < gridDim.x * blockDim.x; i += blockDim.x) sum += p.out[i];  // caught: race
  p.out[512 + threadIdx.x] = sum;
}

/// The same with the fence before the block's barrier: it releases what its own thread has written, not what the others
/// have.
template <bool kBug>
__device__ void last_block_fenced_too_early(const Params& p) {
  __shared__ bool last;
  p.out[place()] = p.in[place()] * 3;
  if (kBug) __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    if (!kBug) __threadfence();
    last = atomicAdd(&p.zeros[0], 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last) p.out[512 + threadIdx.x] = p.out[threadIdx.x + 64] + p.out[threadIdx.x + 128];  // caught: race
}

/// Half of the blocks' rows overlap by one word.
template <bool kBug>
__device__ void rows_overlap(const Params& p) {
  const u32 words = 64 + (kBug ? 1 : 0);
  for (u32 i = threadIdx.x; i < words; i += blockDim.x) p.out[blockIdx.x * 64 + i] = blockIdx.x;  // caught: race
}

/// The first of two kernels; it lets the second start at once.
template <bool kBug>
__device__ void early_read_primary(const Params& p) {
  ptx::launch_dependents();
  p.zeros[place()] = p.in[place()] + 1;
}

/// The second reads what the first writes before it has waited for it.
template <bool kBug>
__device__ void early_read(const Params& p) {
  u32 value = 0;
  if (kBug) value = p.zeros[place()];  // caught: early_read
  ptx::wait_for_primary();
  if (!kBug) value = p.zeros[place()];
  p.out[place()] = value;
}

/// The first kernel says that others may start, and then writes what they read.
template <bool kBug>
__device__ void dependents_never_wait_primary(const Params& p) {
  if (!kBug) p.zeros[place()] = p.in[place()] + 1;
  ptx::launch_dependents();
  if (kBug) p.zeros[place()] = p.in[place()] + 1;
}

/// The second never waits; that others were told to start when the data was there does not make it visible.
template <bool kBug>
__device__ void dependents_never_wait(const Params& p) {
  if (!kBug) ptx::wait_for_primary();
  p.out[place()] = p.zeros[place()];  // caught: early_read
}

/// A kernel that starts early overwrites what the first one still reads.
template <bool kBug>
__device__ void early_write_primary(const Params& p) {
  ptx::launch_dependents();
  p.out[place()] = p.zeros[place()];  // caught: race|early_read
}

template <bool kBug>
__device__ void early_write(const Params& p) {
  if (!kBug) ptx::wait_for_primary();
  p.zeros[place()] = 7;  // caught: race|early_read
}

/// Two warpgroups: one asks for registers that the other never gives back.
template <bool kBug>
__device__ void registers_never_come(const Params& p) {
  if (threadIdx.x < 128) {
    if (!kBug) ptx::fewer_registers<40>();
    p.out[place()] = 1;
  } else {
    ptx::more_registers<208>();  // caught: deadlock
    p.out[place()] = 2;
  }
  __syncthreads();
}

}  // namespace moesaic::planted

PLANTED(race_across_blocks, 2, 64)
PLANTED(flag_set_relaxed, 2, 64)
PLANTED(flag_read_relaxed, 2, 64)
PLANTED(fence_of_the_block, 2, 64)
PLANTED(atomics_of_the_block, 2, 64)
PLANTED(atomic_and_plain, 2, 64)
PLANTED(last_block_without_fence, 4, 64)
PLANTED(last_block_fenced_too_early, 4, 64)
PLANTED(rows_overlap, 4, 64)
PLANTED_PAIR(early_read, 2, 64)
PLANTED_PAIR(dependents_never_wait, 2, 64)
PLANTED_PAIR(early_write, 2, 64)

// setmaxnreg asks for a kernel whose registers are known.
extern "C" __global__ void __maxnreg__(128)
    registers_never_come_buggy(const __grid_constant__ moesaic::planted::Params p) {
  moesaic::planted::registers_never_come<true>(p);
}
extern "C" __global__ void __maxnreg__(128)
    registers_never_come_right(const __grid_constant__ moesaic::planted::Params p) {
  moesaic::planted::registers_never_come<false>(p);
}
PLANTED_BY_HAND(registers_never_come, 1, 256)
