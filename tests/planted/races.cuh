#pragma once

#include "planted/planted.cuh"

/// Data races within a block.
namespace moesaic::planted {

/// One warp reads what the other wrote, with no barrier between.
template <bool kBug>
__device__ void race_across_warps(const Params& p) {
  __shared__ u32 row[64];
  row[threadIdx.x] = p.in[threadIdx.x];
  if (!kBug) __syncthreads();
  p.out[place()] = row[63 - threadIdx.x];  // caught: race
}

/// Lanes of a warp trade values through shared memory. That they run together orders nothing.
template <bool kBug>
__device__ void race_within_a_warp(const Params& p) {
  __shared__ u32 row[64];
  row[threadIdx.x] = p.in[threadIdx.x];
  if (!kBug) __syncwarp();
  p.out[place()] = row[threadIdx.x ^ 1];  // caught: race
}

/// A shuffle trades registers; it does not order memory.
template <bool kBug>
__device__ void shuffle_is_no_barrier(const Params& p) {
  __shared__ u32 row[64];
  row[threadIdx.x] = p.in[threadIdx.x];
  const u32 other = __shfl_xor_sync(0xffffffff, threadIdx.x, 1);
  if (!kBug) __syncwarp();
  p.out[place()] = row[other];  // caught: race
}

/// __syncwarp of two halves does not order one half after the other.
template <bool kBug>
__device__ void syncwarp_of_halves(const Params& p) {
  __shared__ u32 row[32];
  row[lane()] = p.in[lane()];
  if (lane() < 16) {
    __syncwarp(kBug ? 0xffff : 0xffffffff);
  } else {
    __syncwarp(kBug ? 0xffff0000 : 0xffffffff);
  }
  p.out[place()] = row[31 - lane()];  // caught: race
}

/// A sum by halving, without a barrier between the steps.
template <bool kBug>
__device__ void reduction_without_barriers(const Params& p) {
  __shared__ u32 sums[128];
  sums[threadIdx.x] = p.in[threadIdx.x];
  __syncthreads();
  for (u32 half = 64; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];  // caught: race
    if (!kBug) __syncthreads();
  }
  if (threadIdx.x == 0) p.out[0] = sums[0];
}

/// The buffer is filled again while others still read what was there.
template <bool kBug>
__device__ void overwritten_while_read(const Params& p) {
  __shared__ u32 row[64];
  u32 sum = 0;
  for (u32 round = 0; round < 4; ++round) {
    row[threadIdx.x] = p.in[round * 64 + threadIdx.x];  // caught: race
    __syncthreads();
    sum += row[63 - threadIdx.x];
    if (!kBug) __syncthreads();
  }
  p.out[place()] = sum;
}

/// All threads of a block count in one word, not atomically.
template <bool kBug>
__device__ void count_without_atomics(const Params& p) {
  __shared__ u32 count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  if (p.in[threadIdx.x] % 3 == 0) {
    if (kBug) {
      ++count;  // caught: race
    } else {
      atomicAdd(&count, 1);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) p.out[0] = count;
}

/// A named barrier lets the producers go on; the consumers do not wait at it.
template <bool kBug>
__device__ void consumer_at_another_barrier(const Params& p) {
  __shared__ u32 row[64];
  if (warp() == 0) {
    row[lane()] = p.in[lane()];
    ptx::bar_arrive(1, 64);
    ptx::bar_sync(2, 32);
  } else {
    ptx::bar_sync(kBug ? 3 : 1, kBug ? 32 : 64);
    p.out[place()] = row[lane()];  // caught: race
  }
}

/// The first warp writes, arrives and then writes again.
template <bool kBug>
__device__ void written_after_arrival(const Params& p) {
  __shared__ u32 row[64];
  if (warp() == 0) {
    row[lane()] = 1;
    if (!kBug) row[lane() + 32] = 2;
    ptx::bar_arrive(1, 64);
    if (kBug) row[lane() + 32] = 2;  // caught: race
  } else {
    ptx::bar_sync(1, 64);
    p.out[place()] = row[lane()] + row[lane() + 32];  // caught: race
  }
}

/// A relaxed arrival completes the phase and releases nothing.
template <bool kBug>
__device__ void relaxed_arrival(const Params& p) {
  __shared__ u32 row[32];
  __shared__ u64 ready;
  open(&ready, 32);
  if (warp() == 0) {
    row[lane()] = p.in[lane()];
    if (kBug) {
      ptx::mbarrier_arrive_relaxed(&ready);
    } else {
      ptx::mbarrier_arrive(&ready);
    }
  } else {
    ptx::wait(&ready, 0);
    p.out[place()] = row[lane()];  // caught: race
  }
}

/// A relaxed wait sees the phase complete and acquires nothing.
template <bool kBug>
__device__ void relaxed_wait(const Params& p) {
  __shared__ u32 row[32];
  __shared__ u64 ready;
  open(&ready, 32);
  if (warp() == 0) {
    row[lane()] = p.in[lane()];
    ptx::mbarrier_arrive(&ready);
  } else {
    if (kBug) {
      while (!ptx::mbarrier_test_wait_relaxed(&ready, 0)) {
      }
    } else {
      ptx::wait(&ready, 0);
    }
    p.out[place()] = row[31 - lane()];  // caught: race
  }
}

/// Bytes of one word that belong to different threads are no race; one thread that writes the whole word is.
template <bool kBug>
__device__ void neighbours_in_a_word(const Params& p) {
  __shared__ u32 row[16];
  if (kBug && threadIdx.x == 63) row[3] = 0;
  reinterpret_cast<unsigned char*>(row)[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);  // caught: race
  __syncthreads();
  if (threadIdx.x < 16) p.out[threadIdx.x] = row[threadIdx.x];
}

/// All who find something set one flag: to the same value that is no race, to values of their own it is.
template <bool kBug>
__device__ void flag_set_by_many(const Params& p) {
  __shared__ u32 found;
  if (threadIdx.x == 0) found = 0;
  __syncthreads();
  if (p.in[threadIdx.x] % 3 == 1) found = kBug ? threadIdx.x : 1;  // caught: race
  __syncthreads();
  p.out[place()] = found;
}

/// A word is shared with the asynchronous reduction of another thread, which has not been waited for.
template <bool kBug>
__device__ void plain_read_beside_reduction(const Params& p) {
  __shared__ alignas(128) u32 ones[kTileWords];
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) ones[i] = 1;
  ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::bulk_add_u32(p.zeros, ones, kTileBytes);
    ptx::bulk_commit();
    if (!kBug) ptx::bulk_wait<0>();
  }
  __syncthreads();
  p.out[place()] = p.zeros[threadIdx.x];  // caught: race
  if (threadIdx.x == 0) ptx::bulk_wait<0>();
}

/// A ticket lock whose holder gives it back without releasing what it wrote.
template <bool kBug>
__device__ void unlocked_relaxed(const Params& p) {
  u32* lock = p.zeros;
  if (lane() != 0) return;
  while (atomicCAS(lock, 0, 1) != 0) {
  }
  __threadfence();
  p.zeros[64] = p.zeros[64] + 1;  // caught: race
  if (!kBug) __threadfence();
  atomicExch(lock, 0);
}

}  // namespace moesaic::planted

PLANTED(race_across_warps, 1, 64)
PLANTED(race_within_a_warp, 1, 64)
PLANTED(shuffle_is_no_barrier, 1, 64)
PLANTED(syncwarp_of_halves, 1, 32)
PLANTED(reduction_without_barriers, 1, 128)
PLANTED(overwritten_while_read, 1, 64)
PLANTED(count_without_atomics, 1, 64)
PLANTED(consumer_at_another_barrier, 1, 64)
PLANTED(written_after_arrival, 1, 64)
PLANTED(relaxed_arrival, 1, 64)
PLANTED(relaxed_wait, 1, 64)
PLANTED(neighbours_in_a_word, 1, 64)
PLANTED(flag_set_by_many, 1, 64)
PLANTED(plain_read_beside_reduction, 1, 64)
PLANTED(unlocked_relaxed, 2, 64)
