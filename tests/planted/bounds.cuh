#pragma once

#include "planted/planted.cuh"

/// Addresses: beyond the end, or not aligned.
namespace moesaic::planted {

/// The last row is one row too far.
template <bool kBug>
__device__ void shared_overrun(const Params& p) {
  extern __shared__ u32 rows[];  // 32 rows of 32 words
  const u32 last = kBug ? 32 : 31;
  for (u32 row = warp(); row <= last; row += 2) rows[row * 32 + lane()] = row;  // caught: out_of_bounds
  __syncthreads();
  p.out[place()] = rows[threadIdx.x];
}

/// One thread too many takes part.
template <bool kBug>
__device__ void global_overrun(const Params& p) {
  const u32 i = place();
  const u32 end = kBug ? kWords + 1 : kWords;
  if (i < end) p.out[i] = p.in[i];  // caught: out_of_bounds
}

/// A row before the first one.
template <bool kBug>
__device__ void global_underrun(const Params& p) {
  const int i = static_cast<int>(place()) - 1;
  if (kBug || i >= 0) p.out[place()] = p.in[i];  // caught: out_of_bounds
}

/// A loop over a local array runs once too often. The index depends on data, so that the array has addresses.
template <bool kBug>
__device__ void local_overrun(const Params& p) {
  u32 history[16];
  const u32 end = p.zeros[0] + (kBug ? 17 : 16);
#pragma unroll 1
  for (u32 i = 0; i < end; ++i) history[i] = i * i;  // caught: out_of_bounds
  p.out[place()] = history[p.in[threadIdx.x] % 16];
}

/// Four words at a time from an address of one.
template <bool kBug>
__device__ void misaligned_vector(const Params& p) {
  const u32* from = p.in + threadIdx.x * 4 + (kBug ? 1 : 0);
  const uint4 four = *reinterpret_cast<const uint4*>(from);  // caught: misaligned
  p.out[place()] = four.x ^ four.w;
}

/// The same in shared memory, and only where the row is odd.
template <bool kBug>
__device__ void misaligned_shared(const Params& p) {
  __shared__ alignas(16) u32 rows[64 * 4 + 64];
  constexpr u32 kPitch = kBug ? 5 : 4;  // words: 5 keeps rows in different banks
  for (u32 i = 0; i < 4; ++i) rows[threadIdx.x * kPitch + i] = i;
  __syncthreads();
  const uint4 four = *reinterpret_cast<const uint4*>(&rows[threadIdx.x * kPitch]);  // caught: misaligned
  p.out[place()] = four.x + four.y + four.z + four.w;
}

/// A tensor copy's destination must be a multiple of 128 bytes.
template <bool kBug>
__device__ void misaligned_tile(const Params& p) {
  __shared__ alignas(128) u32 room[kTileWords + 32];
  __shared__ u64 full;
  open(&full, 1);
  u32* tile = room + (kBug ? 4 : 0);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::tensor_load_2d(tile, &p.load_map, 0, 0, &full);  // caught: misaligned
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// A tensor map must lie at a multiple of 64 bytes.
template <bool kBug>
__device__ void misaligned_tensormap(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  u32* words = reinterpret_cast<u32*>(p.map) + (kBug ? 8 : 0);
  if (warp() == 0) {
    words[lane()] = p.load_map.words[lane()];
    __syncwarp();
    ptx::fence_proxy_tensormap_release();
    if (lane() == 0) {
      ptx::fence_proxy_tensormap_acquire(words);  // caught: misaligned
      ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
      ptx::tensor_load_2d(tile, words, 0, 0, &full);  // caught: misaligned|invalid
    }
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// Bulk copies move multiples of 16 bytes.
template <bool kBug>
__device__ void odd_bulk_size(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  const u32 bytes = kTileBytes - (kBug ? 4 : 0);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, bytes);
    ptx::bulk_load(tile, p.in, bytes, &full);  // caught: misaligned|invalid
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

/// A bulk copy runs past the end of the buffer that it reads.
template <bool kBug>
__device__ void bulk_overrun(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  __shared__ u64 full;
  open(&full, 1);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(&full, kTileBytes);
    ptx::bulk_load(tile, p.in + kWords - kTileWords + (kBug ? 4 : 0), kTileBytes, &full);  // caught: out_of_bounds
  }
  ptx::wait(&full, 0);
  p.out[place()] = tile[threadIdx.x];
}

}  // namespace moesaic::planted

PLANTED(shared_overrun, 1, 64)  // with 4096 bytes of dynamic shared memory, as all have
PLANTED(global_overrun, 17, 64)
PLANTED(global_underrun, 2, 64)
PLANTED(local_overrun, 1, 64)
PLANTED(misaligned_vector, 1, 64)
PLANTED(misaligned_shared, 1, 64)
PLANTED(misaligned_tile, 1, 64)
PLANTED(misaligned_tensormap, 1, 64)
PLANTED(odd_bulk_size, 1, 64)
PLANTED(bulk_overrun, 1, 64)
