#pragma once

#include <cuda.h>

#include "gemm.cuh"
#include "ptx.cuh"
#include "sizes.hpp"

/// An epilogue: sums of an mma go as bf16 through stmatrix to a swizzled tile in shared memory, and from there by
/// tensor store to global memory, which cuts off the rows that do not exist; a bulk reduction counts the tiles of each
/// column.
namespace moesaic::programs {

/// Elements of the operands: small integers, so that every product is exact.
__device__ inline float store_a(int row, int k) {
  return static_cast<float>((row * 5 + k * 3) % 7 - 3);
}
__device__ inline float store_b(int column, int k) {
  return static_cast<float>((column * 2 + k * 11) % 5 - 2);
}

/// A warp's 16 x 16 operand, rows from `row0` (PTX ISA, "Matrix Fragments for mma.m16n8k16").
__device__ inline void store_operand(std::uint32_t (&a)[4], int row0, int lane) {
  for (int i = 0; i < 4; ++i) {
    const int row = row0 + lane / 4 + i % 2 * 8;
    const int k = lane % 4 * 2 + i / 2 * 8;
    a[i] = ptx::bf16x2(store_a(row, k), store_a(row, k + 1));
  }
}

extern "C" __global__ void __launch_bounds__(kStoreThreads)
    store(const __grid_constant__ CUtensorMap out, std::uint32_t* tiles) {
  __shared__ alignas(1024) std::uint16_t tile[kStoreRows * kStoreColumns];
  __shared__ alignas(16) std::uint32_t ones[kStoreColumns];
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int row0 = static_cast<int>(blockIdx.x) * kStoreRows + warp * 16;
  if (threadIdx.x < kStoreColumns) ones[threadIdx.x] = 1;
  std::uint32_t a[4];
  store_operand(a, row0, lane);
  for (int n = 0; n < kStoreColumns; n += 16) {
    std::uint32_t halves[4];  // rows 0-7 and 8-15 of the left 8 columns, then of the right ones
    for (int side = 0; side < 2; ++side) {
      const int column = n + side * 8 + lane / 4;
      const int k = lane % 4 * 2;
      const std::uint32_t b[2] = {ptx::bf16x2(store_b(column, k), store_b(column, k + 1)),
                                  ptx::bf16x2(store_b(column, k + 8), store_b(column, k + 9))};
      float sums[4] = {};
      ptx::mma_bf16(sums, a, b);
      halves[side * 2] = ptx::bf16x2(sums[0], sums[1]);
      halves[side * 2 + 1] = ptx::bf16x2(sums[2], sums[3]);
    }
    ptx::stmatrix_x4(swizzled(ptx::smem(tile), warp * 16 + lane % 16, n / 8 + lane / 16), halves);
  }
  ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::tensor_store_2d(&out, 0, static_cast<int>(blockIdx.x) * kStoreRows, tile);
    ptx::bulk_add_u32(tiles, ones, sizeof ones);
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

}  // namespace moesaic::programs
