#pragma once

#include "planted/planted.cuh"

/// Copies to shared memory: waits, phases, byte counts, rings.
namespace moesaic::planted {

/// Nobody waits for the tile.
template <bool kBug>
__device__ void missing_wait(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::tensor_load_2d(tile, &p.load_map, 0, 8 * static_cast<int>(blockIdx.x), &full);
  }
  if (!kBug) ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];  // caught: race
}

/// The first phase has parity 0: a wait for parity 1 returns at once.
template <bool kBug>
__device__ void wrong_parity(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tile, p.in, kTileBytes, &full);
  }
  ptx::wait(&full, kBug ? 1 : 0);
  p.out[place()] = tile[threadIdx.x];  // caught: race
}

/// One stage, filled twice; the parity waited for never changes.
template <bool kBug>
__device__ void parity_never_flipped(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  u32 sum = 0;
  for (u32 round = 0; round < 2; ++round) {
    if (threadIdx.x == 0) {
      ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
      ptx::bulk_load(tile, p.in + round * kTileWords, kTileBytes, &full);
    }
    ptx::wait(&full, kBug ? 0 : round % 2);
    sum += tile[threadIdx.x];  // caught: race
    __syncthreads();
  }
  p.out[place()] = sum;
}

/// A producer and a consumer with two stages; the producer does not ask whether a stage is free.
template <bool kBug>
__device__ void stage_not_free(const Params& p) {
  __shared__ alignas(128) u32 stage[2][kTileWords];
  __shared__ u64 full[2];
  __shared__ u64 empty[2];
  for (int s = 0; s < 2; ++s) {
    open(&full[s], 1);
    open(&empty[s], 32);
  }
  u32 sum = 0;
  for (u32 round = 0; round < 6; ++round) {
    const u32 s = round % 2;
    const u32 phase = round / 2 % 2;
    if (threadIdx.x == 0) {
      if (!kBug) ptx::wait(&empty[s], phase ^ 1);
      ptx::mbarrier_arrive_expect_tx(&full[s], kTileBytes);                                      // caught: invalid
      ptx::tensor_load_2d(stage[s], &p.load_map, 0, 8 * static_cast<int>(round % 4), &full[s]);  // caught: race
    } else if (warp() == 1) {
      ptx::wait(&full[s], phase);
      sum += stage[s][threadIdx.x];
      ptx::mbarrier_arrive(&empty[s]);
    }
  }
  p.out[place()] = sum;
}

/// One lane frees the stage for its warp, without having waited for the other lanes.
template <bool kBug>
__device__ void stage_freed_by_one_lane(const Params& p) {
  __shared__ alignas(128) u32 stage[2][kTileWords];
  __shared__ u64 full[2];
  __shared__ u64 empty[2];
  for (int s = 0; s < 2; ++s) {
    open(&full[s], 1);
    open(&empty[s], 1);
  }
  u32 sum = 0;
  for (u32 round = 0; round < 6; ++round) {
    const u32 s = round % 2;
    const u32 phase = round / 2 % 2;
    if (threadIdx.x == 0) {
      ptx::wait(&empty[s], phase ^ 1);
      ptx::mbarrier_arrive_expect_tx(&full[s], kTileBytes);
      ptx::bulk_load(stage[s], p.in + round % 4 * kTileWords, kTileBytes, &full[s]);  // caught: race
    } else if (warp() == 1) {
      ptx::wait(&full[s], phase);
      sum += stage[s][threadIdx.x];
      if (!kBug) __syncwarp();
      if (lane() == 0) ptx::mbarrier_arrive(&empty[s]);
    }
  }
  p.out[place()] = sum;
}

/// The ring's stage is waited for in the right order, but freed before it is read.
template <bool kBug>
__device__ void stage_freed_before_use(const Params& p) {
  __shared__ alignas(128) u32 stage[kTileWords];
  __shared__ u64 full;
  __shared__ u64 empty;
  open(&full, 1);
  open(&empty, 32);
  u32 sum = 0;
  for (u32 round = 0; round < 4; ++round) {
    if (threadIdx.x == 32) {
      ptx::wait(&empty, round % 2 ^ 1);
      ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
      ptx::bulk_load(stage, p.in + round * kTileWords, kTileBytes, &full);
    } else if (warp() == 0) {
      ptx::wait(&full, round % 2);
      if (kBug) ptx::mbarrier_arrive(&empty);
      sum += stage[lane() * 8];  // caught: race
      if (!kBug) ptx::mbarrier_arrive(&empty);
    }
  }
  p.out[place()] = sum;
}

/// More bytes are announced than will come.
template <bool kBug>
__device__ void too_many_bytes_expected(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes + (kBug ? 16 : 0));
    ptx::tensor_load_2d(tile, &p.load_map, 0, 0, &full);
  }
  ptx::wait(&full, 0);  // caught: deadlock
  p.out[place()] = tile[threadIdx.x];
}

/// Two copies, the bytes of one of them announced: the phase ends when either has come.
template <bool kBug>
__device__ void too_few_bytes_expected(const Params& p) {
  __shared__ alignas(128) u32 tiles[2][kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, (kBug ? 1 : 2) * kTileBytes);
    ptx::bulk_load(tiles[0], p.in, kTileBytes, &full);               // caught: invalid
    ptx::bulk_load(tiles[1], p.in + kTileWords, kTileBytes, &full);  // caught: invalid
  }
  ptx::wait(&full, 0);
  p.out[place()] = tiles[0][threadIdx.x] + tiles[1][threadIdx.x];  // caught: race
}

/// The announcement of the second copy comes without its arrival being counted: the phase may end before it.
template <bool kBug>
__device__ void expected_after_arrival(const Params& p) {
  __shared__ alignas(128) u32 tiles[2][kTileWords];
  __shared__ u64 full;
  open(&full, kBug ? 1 : 2);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tiles[0], p.in, kTileBytes, &full);  // caught sometimes: invalid
  }
  if (threadIdx.x == 32) {
    ptx::mbarrier_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tiles[1], p.in + kTileWords, kTileBytes, &full);  // caught sometimes: invalid
    if (!kBug) ptx::mbarrier_arrive(&full);
  }
  ptx::wait(&full, 0);
  p.out[place()] = tiles[0][threadIdx.x] + tiles[1][threadIdx.x];  // caught sometimes: race
}

/// cp.async is committed and never waited for.
template <bool kBug>
__device__ void async_copy_not_waited(const Params& p) {
  __shared__ alignas(16) u32 tile[kTileWords];
  ptx::copy_async_16(&tile[threadIdx.x * 4], p.in + threadIdx.x * 4);
  ptx::copy_async_commit();
  if (!kBug) ptx::copy_async_wait<0>();
  __syncthreads();
  p.out[place()] = tile[threadIdx.x];  // caught: race
}

/// Two groups, and the wait leaves the second one pending.
template <bool kBug>
__device__ void async_group_still_pending(const Params& p) {
  __shared__ alignas(16) u32 tiles[2][kTileWords];
  for (u32 i = 0; i < 2; ++i) {
    ptx::copy_async_16(&tiles[i][threadIdx.x * 4], p.in + i * kTileWords + threadIdx.x * 4);
    ptx::copy_async_commit();
  }
  ptx::copy_async_wait<kBug ? 1 : 0>();
  __syncthreads();
  p.out[place()] = tiles[1][threadIdx.x];  // caught: race
}

/// The wait covers this thread's copies only; those of others need a barrier.
template <bool kBug>
__device__ void async_copy_of_others(const Params& p) {
  __shared__ alignas(16) u32 tile[kTileWords];
  ptx::copy_async_16(&tile[threadIdx.x * 4], p.in + threadIdx.x * 4);
  ptx::copy_async_commit();
  ptx::copy_async_wait<0>();
  if (!kBug) __syncthreads();
  p.out[place()] = tile[kTileWords - 1 - threadIdx.x];  // caught: race
}

/// Copies that arrive on an mbarrier: an ordinary arrival does not wait for them.
template <bool kBug>
__device__ void async_copy_plain_arrival(const Params& p) {
  __shared__ alignas(16) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 64);
  ptx::copy_async_16(&tile[threadIdx.x * 4], p.in + threadIdx.x * 4);
  if (kBug) {
    ptx::mbarrier_arrive(&full);
  } else {
    ptx::copy_async_arrive(&full);
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x * 4 ^ 4];  // caught: race
}

}  // namespace moesaic::planted

PLANTED(missing_wait, 2, 64)
PLANTED(wrong_parity, 1, 64)
PLANTED(parity_never_flipped, 1, 64)
PLANTED(stage_not_free, 1, 64)
PLANTED(stage_freed_by_one_lane, 1, 64)
PLANTED(stage_freed_before_use, 1, 64)
PLANTED(too_many_bytes_expected, 1, 64)
PLANTED(too_few_bytes_expected, 1, 64)
PLANTED(expected_after_arrival, 1, 64)
PLANTED(async_copy_not_waited, 1, 64)
PLANTED(async_group_still_pending, 1, 64)
PLANTED(async_copy_of_others, 1, 64)
PLANTED(async_copy_plain_arrival, 1, 64)
