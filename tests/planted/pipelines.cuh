#pragma once

#include "planted/planted.cuh"

/// What goes wrong where producers, consumers, copies and grids meet: other shapes than in copies.cuh and proxies.cuh.
namespace moesaic::planted {

__device__ inline void fill_tile(u32* tile, u32 value) {
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) tile[i] = value + i;
}

/// A store that was not committed is in no group, and the wait does not wait for it.
template <bool kBug>
__device__ void bulk_store_not_committed(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  for (u32 round = 0; round < 2; ++round) {
    fill_tile(tile, round);  // caught: race
    ptx::fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      ptx::bulk_store(p.out + round * kTileWords, tile, kTileBytes);  // caught: race|unfinished_copy|invalid
      if (!kBug) ptx::bulk_commit();
      ptx::bulk_wait<0>();
    }
    __syncthreads();
  }
}

/// Groups belong to the thread that commits them: another one waits for nothing.
template <bool kBug>
__device__ void bulk_group_of_another_thread(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  fill_tile(tile, 1);
  ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::bulk_store(p.out, tile, kTileBytes);
    ptx::bulk_commit();
    if (!kBug) ptx::bulk_wait_read<0>();
  }
  if (kBug && threadIdx.x == 32) ptx::bulk_wait_read<0>();
  __syncthreads();
  tile[threadIdx.x] = 0;  // caught: race
  __syncthreads();
  if (threadIdx.x == 0) ptx::bulk_wait<0>();
  p.zeros[place()] = tile[63 - threadIdx.x];
}

/// The fence of one thread covers what it has written or knows of, not what the others are about to hand over.
template <bool kBug>
__device__ void fence_of_one_thread(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  fill_tile(tile, 1);
  if (!kBug || threadIdx.x == 0) ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::bulk_store(p.out, tile, kTileBytes);  // caught: proxy_race
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

/// A fence for global memory does nothing for shared memory.
template <bool kBug>
__device__ void fence_of_the_other_space(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  fill_tile(tile, 1);
  if (kBug) {
    asm volatile("fence.proxy.async.global;" ::: "memory");
  } else {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::bulk_store(p.out, tile, kTileBytes);  // caught: proxy_race
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

/// One block writes rows and raises a flag; another copies the rows in. The flag orders, and does not cross proxies.
template <bool kBug>
__device__ void missing_fence_between_blocks(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  u32* rows = p.zeros + kTileWords;
  open(&full, 1);
  if (blockIdx.x == 0) {
    fill_tile(rows, 5);
    __syncthreads();
    if (threadIdx.x == 0) ptx::store_release(p.zeros, 1);
    return;
  }
  if (threadIdx.x == 0) {
    while (ptx::load_acquire(p.zeros) == 0) {
    }
    if (!kBug) asm volatile("fence.proxy.async.global;" ::: "memory");
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tile, rows, kTileBytes, &full);  // caught: proxy_race
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// One try is no wait: it may end before the phase does.
template <bool kBug>
__device__ void tried_once(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tile, p.in, kTileBytes, &full);
  }
  if (kBug) {
    ptx::mbarrier_try_wait(&full, 0);
  } else {
    ptx::wait(&full, 0);
  }
  p.out[place()] = tile[threadIdx.x];  // caught sometimes: race
  __syncthreads();
  ptx::wait(&full, 0);
}

/// The bytes are announced to one barrier and counted by the other.
template <bool kBug>
__device__ void bytes_for_another_barrier(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full[2];
  open(&full[0], 1);
  open(&full[1], 1);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full[0], kTileBytes);
    ptx::bulk_load(tile, p.in, kTileBytes, &full[kBug ? 1 : 0]);  // caught: invalid|transaction_count
  }
  ptx::wait(&full[0], 0);  // caught: deadlock
  p.out[place()] = tile[threadIdx.x];
}

/// Some consumer arrives twice: the stage is free before the other one has read it.
template <bool kBug>
__device__ void arrived_twice(const Params& p) {
  __shared__ u32 stage[32];
  __shared__ u64 full;
  __shared__ u64 empty;
  open(&full, 32);
  open(&empty, 2);
  for (u32 round = 0; round < 4; ++round) {
    if (warp() == 0) {
      ptx::wait(&empty, round % 2 ^ 1);
      stage[lane()] = round;  // caught: race
      ptx::mbarrier_arrive(&full);
    } else {
      ptx::wait(&full, round % 2);
      const u32 value = stage[31 - lane()];  // caught: race
      __syncwarp();
      if (lane() == 0) {
        if (kBug ? warp() == 1 : true) ptx::mbarrier_arrive(&empty);  // caught: invalid
        if (kBug && warp() == 1) ptx::mbarrier_arrive(&empty);        // caught: invalid
      }
      p.out[(round * 2 + warp() - 1) * 32 + lane()] = value;
    }
  }
}

/// The consumer reads the stage that comes next.
template <bool kBug>
__device__ void another_stage_read(const Params& p) {
  __shared__ alignas(128) u32 stage[2][kTileWords];
  __shared__ u64 full[2];
  open(&full[0], 1);
  open(&full[1], 1);
  if (threadIdx.x == 0) {
    for (u32 s = 0; s < 2; ++s) {
      ptx::mbarrier_arrive_expect_tx(&full[s], kTileBytes);
      ptx::bulk_load(stage[s], p.in + s * kTileWords, kTileBytes, &full[s]);
    }
  }
  u32 sum = 0;
  for (u32 s = 0; s < 2; ++s) {
    ptx::wait(&full[s], 0);
    sum += stage[kBug ? s ^ 1 : s][threadIdx.x];  // caught: race
  }
  p.out[place()] = sum;
}

/// Two blocks store boxes that share a row.
template <bool kBug>
__device__ void boxes_overlap(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  fill_tile(tile, blockIdx.x);
  ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::tensor_store_2d(&p.store_map, 0, static_cast<int>(blockIdx.x) * (kBug ? 7 : 8), tile);  // caught: race
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

/// Time passes, and orders nothing.
template <bool kBug>
__device__ void sleep_is_no_barrier(const Params& p) {
  __shared__ u32 row[64];
  row[threadIdx.x] = p.in[threadIdx.x];
  __nanosleep(10000);
  if (!kBug) __syncthreads();
  p.out[place()] = row[63 - threadIdx.x];  // caught: race
}

/// A volatile flag is seen, and what came before it is not ordered by it.
template <bool kBug>
__device__ void volatile_flag(const Params& p) {
  __shared__ u32 row[32];
  __shared__ volatile u32 ready;
  if (threadIdx.x == 0) ready = 0;
  __syncthreads();
  if (warp() == 0) {
    row[lane()] = p.in[lane()];
    __syncwarp();
    if (!kBug) __threadfence_block();
    if (lane() == 0) ready = 1;
  } else {
    while (ready == 0) {
    }
    if (!kBug) __threadfence_block();
    p.out[place()] = row[lane()];  // caught: race
  }
}

/// Releases to its own block what another block acquires.
template <bool kBug>
__device__ void reduction_of_the_block(const Params& p) {
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    p.out[0] = 5;
    if (kBug) {
      asm volatile("red.release.cta.global.add.u32 [%0], 1;" ::"l"(p.zeros) : "memory");  // caught: race
    } else {
      asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(p.zeros) : "memory");
    }
  } else {
    while (ptx::load_acquire(p.zeros) == 0) {  // caught: race
    }
    p.out[64] = p.out[0];  // caught: race
  }
}

/// The tensor map is copied to its place by threads, and only then acquired by a thread that is not the one that uses
/// it, with nothing between the two.
template <bool kBug>
__device__ void tensormap_acquired_by_another(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  TensorMapBytes* map = p.map + blockIdx.x;
  if (warp() == 0) {
    map->words[lane()] = p.load_map.words[lane()];
    ptx::fence_proxy_tensormap_release();
  }
  __syncthreads();
  if (threadIdx.x == (kBug ? 33 : 32)) ptx::fence_proxy_tensormap_acquire(map);
  if (threadIdx.x == 32) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::tensor_load_2d(tile, map, 0, 0, &full);  // caught: tensormap_race
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// A kernel that starts early fetches a tile of what the first still writes.
template <bool kBug>
__device__ void early_tile_primary(const Params& p) {
  ptx::launch_dependents();
  p.zeros[place()] = p.in[place()] + 1;
}
template <bool kBug>
__device__ void early_tile(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  if (!kBug) ptx::wait_for_primary();
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, 256);
    ptx::bulk_load(tile, p.zeros, 256, &full);  // caught: early_read
  }
  if (kBug) ptx::wait_for_primary();
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// One thread waits for the first kernel; the others go on without a barrier.
template <bool kBug>
__device__ void one_thread_waits_primary(const Params& p) {
  ptx::launch_dependents();
  p.zeros[place()] = p.in[place()] + 1;
}
template <bool kBug>
__device__ void one_thread_waits(const Params& p) {
  if (threadIdx.x == 0) ptx::wait_for_primary();
  if (!kBug) __syncthreads();
  p.out[place()] = p.zeros[place()];  // caught: early_read
}

/// Threads arrive at the cluster's barrier and go on without waiting.
template <bool kBug>
__device__ void cluster_barrier_not_waited(const Params& p) {
  __shared__ u32 row[64];
  row[threadIdx.x] = p.in[threadIdx.x];
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  if (!kBug) asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  p.out[place()] = row[63 - threadIdx.x];  // caught: race
  if (kBug) asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// A relaxed arrival is counted and releases nothing.
template <bool kBug>
__device__ void cluster_arrival_relaxed(const Params& p) {
  __shared__ u32 row[64];
  row[threadIdx.x] = p.in[threadIdx.x];
  if (kBug) {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
  } else {
    asm volatile("barrier.cluster.arrive.aligned;" ::: "memory");
  }
  asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
  p.out[place()] = row[63 - threadIdx.x];  // caught: race
}

/// One warp does not come to the cluster's barrier.
template <bool kBug>
__device__ void cluster_barrier_missed(const Params& p) {
  if (!kBug || warp() == 0 || p.zeros[0] == 1) {
    asm volatile("barrier.cluster.arrive.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.aligned;" ::: "memory");  // caught: deadlock
  } else {
    ptx::bar_sync(1, 64);  // caught: deadlock
  }
  p.out[place()] = 1;
}

__device__ inline void store_async(u32* to, u32 value, u64* barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(ptx::smem(to)),
               "r"(value), "r"(ptx::smem(barrier))
               : "memory");
}

/// Without a launch in clusters there is no cluster's memory to address; within a block another instruction does it.
template <bool kBug>
__device__ void cluster_address_without_clusters(const Params& p) {
  __shared__ alignas(16) u32 word[4];
  __shared__ u64 full;
  open(&full, 1);
  if (threadIdx.x == 0) {
    if (kBug) {
      ptx::mbarrier_arrive_expect_tx(&full, 4);
      store_async(word, 7, &full);  // caught: invalid
    } else {
      word[0] = 7;
      ptx::mbarrier_arrive(&full);
    }
  }
  ptx::wait(&full, 0);
  p.out[place()] = word[0];
}

/// Three warps ask for more than the fourth gives back.
template <bool kBug>
__device__ void too_few_registers_given_back(const Params& p) {
  if (threadIdx.x < 128) {
    ptx::fewer_registers<kBug ? 96 : 40>();
    p.out[place()] = 1;
  } else {
    ptx::more_registers<208>();  // caught: deadlock
    p.out[place()] = 2;
  }
}

}  // namespace moesaic::planted

PLANTED(bulk_store_not_committed, 1, 64)
PLANTED(bulk_group_of_another_thread, 1, 64)
PLANTED(fence_of_one_thread, 1, 64)
PLANTED(fence_of_the_other_space, 1, 64)
PLANTED(missing_fence_between_blocks, 2, 64)
PLANTED(tried_once, 1, 64)
PLANTED(bytes_for_another_barrier, 1, 64)
PLANTED(arrived_twice, 1, 96)
PLANTED(another_stage_read, 1, 64)
PLANTED(boxes_overlap, 3, 64)
PLANTED(sleep_is_no_barrier, 1, 64)
PLANTED(volatile_flag, 1, 64)
PLANTED(reduction_of_the_block, 2, 64)
PLANTED(tensormap_acquired_by_another, 2, 64)
PLANTED_PAIR(early_tile, 2, 64)
PLANTED_PAIR(one_thread_waits, 2, 64)
PLANTED(cluster_barrier_not_waited, 1, 64)
PLANTED(cluster_arrival_relaxed, 1, 64)
PLANTED(cluster_barrier_missed, 1, 64)
PLANTED(cluster_address_without_clusters, 1, 64)

extern "C" __global__ void __maxnreg__(128)
    too_few_registers_given_back_buggy(const __grid_constant__ moesaic::planted::Params p) {
  moesaic::planted::too_few_registers_given_back<true>(p);
}
extern "C" __global__ void __maxnreg__(128)
    too_few_registers_given_back_right(const __grid_constant__ moesaic::planted::Params p) {
  moesaic::planted::too_few_registers_given_back<false>(p);
}
PLANTED_BY_HAND(too_few_registers_given_back, 1, 256)
