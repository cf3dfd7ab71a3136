#pragma once

#include "planted/planted.cuh"

/// The generic and the asynchronous proxy, stores by bulk copy, tensor maps that a kernel writes.
namespace moesaic::planted {

/// What threads wrote is stored by bulk copy without a proxy fence.
template <bool kBug>
__device__ void missing_fence_before_bulk_store(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) tile[i] = 3 * i;
  if (!kBug) ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::bulk_store(p.out, tile, kTileBytes);  // caught: proxy_race
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

/// The same with a tensor store, and with a fence that stands before the writes.
template <bool kBug>
__device__ void fence_too_early_before_tensor_store(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  if (kBug) ptx::fence_proxy_async();
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) tile[i] = 3 * i;
  if (!kBug) ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::tensor_store_2d(&p.store_map, 0, 8, tile);  // caught: proxy_race
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

/// The same with a bulk reduction.
template <bool kBug>
__device__ void missing_fence_before_bulk_reduction(const Params& p) {
  __shared__ alignas(128) u32 ones[kTileWords];
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) ones[i] = 1;
  if (!kBug) ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 32) {
    ptx::bulk_add_u32(p.zeros, ones, kTileBytes);  // caught: proxy_race
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

/// The tile is cleared by threads and then filled by a copy: the copy may come before the zeros.
template <bool kBug>
__device__ void missing_fence_after_zeros(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) tile[i] = 0;
  if (!kBug) ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes / 2);
    ptx::bulk_load(tile, p.in, kTileBytes / 2, &full);  // caught: proxy_race
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x] + tile[threadIdx.x + kTileWords / 2];
}

/// A thread writes global memory that its block then reads by bulk copy.
template <bool kBug>
__device__ void missing_fence_for_global(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) p.zeros[i] = i;
  if (!kBug) asm volatile("fence.proxy.async.global;" ::: "memory");
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tile, p.zeros, kTileBytes, &full);  // caught: proxy_race
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// The barrier is made in the generic proxy and used by a copy without a fence between.
template <bool kBug>
__device__ void mbarrier_not_fenced(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(&full, 1);
    if (!kBug) ptx::fence_mbarrier_init();
  }
  __syncthreads();
  if (threadIdx.x == 32) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tile, p.in, kTileBytes, &full);  // caught: proxy_race
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// The source of a bulk store is written again before the store has read it.
template <bool kBug>
__device__ void bulk_source_overwritten(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  for (u32 round = 0; round < 3; ++round) {
    for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) tile[i] = round + i;  // caught: race
    ptx::fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      ptx::bulk_store(p.out + round * kTileWords, tile, kTileBytes);
      ptx::bulk_commit();
      if (!kBug) ptx::bulk_wait_read<0>();
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) ptx::bulk_wait<0>();
}

/// Two buffers in turns, and a wait that leaves one store too many pending.
template <bool kBug>
__device__ void bulk_store_still_reading(const Params& p) {
  __shared__ alignas(128) u32 tiles[2][kTileWords];
  for (u32 round = 0; round < 4; ++round) {
    u32* tile = tiles[round % 2];
    if (threadIdx.x == 0) ptx::bulk_wait_read<kBug ? 2 : 1>();
    __syncthreads();
    for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) tile[i] = round * i;  // caught: race
    ptx::fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      ptx::tensor_store_2d(&p.store_map, 0, static_cast<int>(8 * round), tile);
      ptx::bulk_commit();
    }
  }
  if (threadIdx.x == 0) ptx::bulk_wait<0>();
}

/// wait_group.read says that the source was read, not that the result is there.
template <bool kBug>
__device__ void bulk_result_read_too_early(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) tile[i] = i;
  ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::bulk_store(p.zeros, tile, kTileBytes);
    ptx::bulk_commit();
    if (kBug) {
      ptx::bulk_wait_read<0>();
    } else {
      ptx::bulk_wait<0>();
    }
    p.out[0] = p.zeros[5];  // caught: race
  }
}

/// The block ends while a bulk store may still read its shared memory.
template <bool kBug>
__device__ void exit_before_bulk_store(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  for (u32 i = threadIdx.x; i < kTileWords; i += blockDim.x) tile[i] = i;
  ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::bulk_store(p.out, tile, kTileBytes);  // caught: invalid|unfinished_copy
    ptx::bulk_commit();
    if (!kBug) ptx::bulk_wait_read<0>();
  }
}

/// This block's own tensor map: load_map moved to the second quarter of `in`. By the first warp.
__device__ inline void make_map(const Params& p, TensorMapBytes* own) {
  own->words[lane()] = p.load_map.words[lane()];
  __syncwarp();
  if (lane() == 0) ptx::tensormap_replace_address(own, p.in + kTileWords);
  __syncwarp();
}

/// A tensor map that the block has written is used without acquiring it.
template <bool kBug>
__device__ void tensormap_not_acquired(const Params& p) {
  __shared__ alignas(128) TensorMapBytes own;
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  TensorMapBytes* map = p.map + blockIdx.x;
  if (warp() == 0) {
    make_map(p, &own);
    ptx::tensormap_publish(map, &own);
    if (lane() == 0) {
      if (!kBug) ptx::fence_proxy_tensormap_acquire(map);
      ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
      ptx::tensor_load_2d(tile, map, 0, 0, &full);  // caught: tensormap_race
    }
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// The map is changed in global memory and not released to the tensor map's proxy.
template <bool kBug>
__device__ void tensormap_not_released(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  TensorMapBytes* map = p.map + blockIdx.x;
  if (threadIdx.x == 0) {
    ptx::tensormap_replace_global_address(map, p.in + kTileWords);
    if (!kBug) ptx::fence_proxy_tensormap_release();
  }
  __syncthreads();
  if (threadIdx.x == 32) {
    ptx::fence_proxy_tensormap_acquire(map);
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::tensor_load_2d(tile, map, 0, 0, &full);  // caught: tensormap_race
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

}  // namespace moesaic::planted

PLANTED(missing_fence_before_bulk_store, 1, 64)
PLANTED(fence_too_early_before_tensor_store, 1, 64)
PLANTED(missing_fence_before_bulk_reduction, 1, 64)
PLANTED(missing_fence_after_zeros, 1, 64)
PLANTED(missing_fence_for_global, 1, 64)
PLANTED(mbarrier_not_fenced, 1, 64)
PLANTED(bulk_source_overwritten, 1, 64)
PLANTED(bulk_store_still_reading, 1, 64)
PLANTED(bulk_result_read_too_early, 1, 64)
PLANTED(exit_before_bulk_store, 1, 64)
PLANTED(tensormap_not_acquired, 2, 64)
PLANTED(tensormap_not_released, 2, 64)
