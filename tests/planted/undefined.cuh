#pragma once

#include "planted/planted.cuh"

/// Values that nobody has given, where they matter.
namespace moesaic::planted {

/// Half of the table is filled, all of it is used. The loop over p.zeros[0] + n keeps the compiler from knowing.
template <bool kBug>
__device__ void fill_table(const Params& p, u32* table) {
  const u32 end = p.zeros[0] + (kBug ? 32 : 64);
  if (threadIdx.x < end) table[threadIdx.x] = 2 * threadIdx.x % 64;
  __syncthreads();
}

/// An undefined value is stored where the host will see it.
template <bool kBug>
__device__ void undefined_stored(const Params& p) {
  __shared__ u32 table[64];
  fill_table<kBug>(p, table);
  p.out[place()] = table[threadIdx.x] + 7;  // caught: undefined
}

/// An undefined value chooses an address.
template <bool kBug>
__device__ void undefined_address(const Params& p) {
  __shared__ u32 table[64];
  fill_table<kBug>(p, table);
  p.out[place()] = p.in[table[threadIdx.x] % 64];  // caught: undefined
}

/// An undefined value decides a branch.
template <bool kBug>
__device__ void undefined_branch(const Params& p) {
  __shared__ u32 table[64];
  fill_table<kBug>(p, table);
  u32 steps = 0;
#pragma unroll 1
  for (u32 i = table[threadIdx.x] % 8; i != 0; --i) steps += p.in[i] * steps + 1;  // caught: undefined
  p.out[place()] = steps;
}

/// Two bytes of four are written, four are stored.
template <bool kBug>
__device__ void partly_undefined(const Params& p) {
  __shared__ u32 table[64];
  u16* halves = reinterpret_cast<u16*>(table);
  const u32 end = p.zeros[0] + (kBug ? 1 : 2);
  for (u32 i = 0; i < end; ++i) halves[threadIdx.x * 2 + i] = static_cast<u16>(threadIdx.x + i);
  __syncthreads();
  p.out[place()] = table[threadIdx.x ^ 1];  // caught: undefined
}

/// A sum in a buffer that nobody has zeroed.
template <bool kBug>
__device__ void sum_never_zeroed(const Params& p) {
  if (!kBug) {
    p.out[place()] = 0;
    __syncthreads();
  }
  atomicAdd(&p.out[threadIdx.x / 2], p.in[threadIdx.x]);  // caught: undefined
}

/// What the kernel before should have written is copied on, by bulk copy.
template <bool kBug>
__device__ void undefined_copied(const Params& p) {
  __shared__ alignas(128) u32 tile[kTileWords];
  for (u32 i = threadIdx.x; i < kTileWords - (kBug ? 16 + p.zeros[0] : 0); i += blockDim.x) tile[i] = i;
  ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::bulk_store(p.out, tile, kTileBytes);  // caught: undefined
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

/// A multiply over a tile of which 8 rows of 16 were loaded: the results of the others are garbage, which may be
/// computed and may not be stored.
template <bool kBug>
__device__ void undefined_rows_of_a_product(const Params& p) {
  __shared__ alignas(16) u32 a_rows[16][8];  // 16 x 16 bf16
  const u32 rows = 8 + p.zeros[0];
  if (lane() < 2 * rows) {
    for (u32 i = 0; i < 4; ++i) a_rows[lane() / 2][lane() % 2 * 4 + i] = 0x3f803f80;  // 1.0
  }
  __syncwarp();
  u32 a[4];
  ptx::ldmatrix_x4(a, ptx::smem(&a_rows[lane() % 16][lane() / 16 * 4]));
  const u32 b[2] = {0x40004000, 0x40004000};  // 2.0
  float d[4] = {};
  ptx::mma_bf16(d, a, b);
  p.out[lane() * 2] = __float_as_uint(d[0] + d[1]);
  if (kBug) p.out[lane() * 2 + 1] = __float_as_uint(d[2] + d[3]);  // caught: undefined
}

/// A lane that takes no part has nothing to give.
template <bool kBug>
__device__ void shuffle_from_an_absent_lane(const Params& p) {
  const u32 source = p.zeros[0] + (kBug ? 20 : 12);
  u32 value = p.in[threadIdx.x];
  if (lane() < 16) {
    value += __shfl_sync(0xffff, value, static_cast<int>(source));  // caught: undefined|invalid
    p.out[place()] = value;                                         // caught: undefined
  }
}

/// The count of a barrier is undefined.
template <bool kBug>
__device__ void undefined_barrier(const Params& p) {
  __shared__ u32 table[64];
  const u32 end = p.zeros[0] + (kBug ? 32 : 64);
  if (threadIdx.x < end) table[threadIdx.x] = 64;
  __syncwarp();
  asm volatile("barrier.cta.sync 1, %0;" ::"r"(table[threadIdx.x]) : "memory");  // caught: undefined
  p.out[place()] = 1;
}

}  // namespace moesaic::planted

PLANTED(undefined_stored, 1, 64)
PLANTED(undefined_address, 1, 64)
PLANTED(undefined_branch, 1, 64)
PLANTED(partly_undefined, 1, 64)
PLANTED(sum_never_zeroed, 1, 64)
PLANTED(undefined_copied, 1, 64)
PLANTED(undefined_rows_of_a_product, 1, 32)
PLANTED(shuffle_from_an_absent_lane, 1, 32)
PLANTED(undefined_barrier, 1, 64)
