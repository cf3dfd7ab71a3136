#pragma once

#include "planted/planted.cuh"

/// Threads that wait for each other in vain, and barriers that are not what they should be.
namespace moesaic::planted {

/// Half of the block goes to one barrier, half to another.
template <bool kBug>
__device__ void barrier_of_another_number(const Params& p) {
  ptx::bar_sync(kBug ? 1 + warp() : 1, 64);  // caught: deadlock
  p.out[place()] = 1;
}

/// One warp says 64 threads, the other 96.
template <bool kBug>
__device__ void barrier_of_another_size(const Params& p) {
  ptx::bar_sync(1, kBug && warp() == 1 ? 96 : 64);  // caught: invalid|deadlock
  p.out[place()] = 1;
}

/// A barrier in a loop that one warp leaves earlier.
template <bool kBug>
__device__ void barrier_in_an_uneven_loop(const Params& p) {
  __shared__ u32 row[64];
  const u32 rounds = p.zeros[0] + (kBug ? 3 - warp() : 3);
  for (u32 round = 0; round < rounds; ++round) {
    row[threadIdx.x] = round;
    ptx::bar_sync(3, 64);  // caught: deadlock
  }
  p.out[place()] = row[threadIdx.x];
}

/// More arrivals are asked for than there are threads that arrive.
template <bool kBug>
__device__ void too_many_arrivals_expected(const Params& p) {
  __shared__ u64 done;
  open(&done, kBug ? 33 : 32);
  if (warp() == 0) ptx::mbarrier_arrive(&done);
  ptx::wait(&done, 0);  // caught: deadlock
  p.out[place()] = 1;
}

/// Producer and consumer both wait first.
template <bool kBug>
__device__ void both_wait_first(const Params& p) {
  __shared__ u64 full;
  __shared__ u64 empty;
  __shared__ u32 row[32];
  open(&full, 32);
  open(&empty, 32);
  if (warp() == 0) {
    ptx::wait(&empty, kBug ? 0 : 1);  // caught: deadlock
    row[lane()] = lane();
    ptx::mbarrier_arrive(&full);
  } else {
    ptx::wait(&full, 0);  // caught: deadlock
    p.out[place()] = row[31 - lane()];
    ptx::mbarrier_arrive(&empty);
  }
}

/// The barrier may be used before it is made.
template <bool kBug>
__device__ void mbarrier_not_yet_made(const Params& p) {
  __shared__ u64 ready;
  if (threadIdx.x == 0) ptx::mbarrier_init(&ready, 64);  // caught: race|invalid
  if (!kBug) __syncthreads();
  ptx::mbarrier_arrive(&ready);  // caught: race|invalid
  ptx::wait(&ready, 0);
  p.out[place()] = 1;
}

/// A barrier that is in use is made again.
template <bool kBug>
__device__ void mbarrier_made_twice(const Params& p) {
  __shared__ u64 ready;
  open(&ready, 64);
  ptx::mbarrier_arrive(&ready);
  ptx::wait(&ready, 0);
  __syncthreads();
  if (threadIdx.x == 0) {
    if (!kBug) ptx::mbarrier_inval(&ready);
    ptx::mbarrier_init(&ready, 32);  // caught: mbarrier_overwritten
  }
  __syncthreads();
  if (warp() == 0) ptx::mbarrier_arrive(&ready);
  ptx::wait(&ready, 0);
  p.out[place()] = 1;
}

/// An ordinary store hits a barrier that is in use.
template <bool kBug>
__device__ void mbarrier_overwritten(const Params& p) {
  struct Stage {
    u32 row[64];
    u64 ready;
  };
  __shared__ Stage stage;
  open(&stage.ready, 64);
  const u32 end = p.zeros[0] + (kBug ? 66 : 64);
  for (u32 i = threadIdx.x; i < end; i += blockDim.x) stage.row[i] = 0;  // caught: mbarrier_overwritten
  ptx::mbarrier_arrive(&stage.ready);
  ptx::wait(&stage.ready, 0);
  p.out[place()] = stage.row[63 - threadIdx.x];
}

/// A barrier is given up while a copy still has to report to it.
template <bool kBug>
__device__ void mbarrier_given_up(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tile, p.in, kTileBytes, &full);  // caught: invalid|transaction_count
    if (!kBug) ptx::wait(&full, 0);
    ptx::mbarrier_inval(&full);  // caught: invalid|transaction_count
  }
  __syncthreads();
  p.out[place()] = 1;
}

/// A lane calls __syncwarp with a mask that it is not in.
template <bool kBug>
__device__ void syncwarp_without_itself(const Params& p) {
  __shared__ u32 row[32];
  row[lane()] = p.in[lane()];
  if (kBug) {
    asm volatile("bar.warp.sync 0x0000ffff;" ::: "memory");  // caught: invalid|deadlock
  } else {
    asm volatile("bar.warp.sync 0xffffffff;" ::: "memory");
  }
  p.out[place()] = row[31 - lane()];
}

/// Half of the lanes wait for all, the other half only for themselves.
template <bool kBug>
__device__ void syncwarp_masks_differ(const Params& p) {
  if (lane() < 16) {
    asm volatile("bar.warp.sync 0xffffffff;" ::: "memory");  // caught: deadlock|invalid
    p.out[place()] = 1;
  } else {
    if (kBug) {
      asm volatile("bar.warp.sync 0xffff0000;" ::: "memory");
      while (p.zeros[0] == 0) asm volatile("bar.warp.sync 0xffff0000;" ::: "memory");  // caught: livelock
    } else {
      asm volatile("bar.warp.sync 0xffffffff;" ::: "memory");
    }
    p.out[place()] = 2;
  }
}

/// Nobody sets the flag.
template <bool kBug>
__device__ void flag_never_set(const Params& p) {
  if (threadIdx.x == 0 && !kBug) ptx::store_release(&p.zeros[1], 1);
  if (threadIdx.x == 32) {
    while (ptx::load_acquire(&p.zeros[1]) == 0) {  // caught: livelock
    }
  }
  p.out[place()] = 1;
}

}  // namespace moesaic::planted

PLANTED(barrier_of_another_number, 1, 64)
PLANTED(barrier_of_another_size, 1, 64)
PLANTED(barrier_in_an_uneven_loop, 1, 64)
PLANTED(too_many_arrivals_expected, 1, 64)
PLANTED(both_wait_first, 1, 64)
PLANTED(mbarrier_not_yet_made, 1, 64)
PLANTED(mbarrier_made_twice, 1, 64)
PLANTED(mbarrier_overwritten, 1, 64)
PLANTED(mbarrier_given_up, 1, 64)
PLANTED(syncwarp_without_itself, 1, 32)
PLANTED(syncwarp_masks_differ, 1, 32)
PLANTED(flag_never_set, 1, 64)
