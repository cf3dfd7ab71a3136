#pragma once

#include <cuda.h>

#include "ptx.cuh"
#include "sizes.hpp"

/// Sums of the columns of many matrices, of which only the pointers and sizes are known, and only on the device: every
/// block makes the tensor map of its matrix out of a template, publishes it and copies through it. Rows and columns
/// beyond the end come as zeros.
namespace moesaic::programs {

/// Rewrites the template for one matrix. By one warp.
__device__ inline void make_tensormap(const CUtensorMap& pattern, const PointerArrayItem& item, CUtensorMap* own,
                                      CUtensorMap* published) {
  const unsigned lane = threadIdx.x % 32;
  reinterpret_cast<std::uint32_t*>(own)[lane] = reinterpret_cast<const std::uint32_t*>(&pattern)[lane];
  __syncwarp();
  if (lane == 0) {
    ptx::tensormap_replace_address(own, item.data);
    ptx::tensormap_replace_dim<0>(own, item.columns);
    ptx::tensormap_replace_dim<1>(own, item.rows);
    const std::uint64_t stride = item.columns * sizeof(std::uint32_t);
    asm volatile("tensormap.replace.tile.global_stride.shared::cta.b1024.b64 [%0], 0, %1;" ::"r"(ptx::smem(own)),
                 "l"(stride)
                 : "memory");
  }
  __syncwarp();
  ptx::tensormap_publish(published, own);
}

extern "C" __global__ void __launch_bounds__(kPointerArrayThreads)
    pointer_array(const __grid_constant__ CUtensorMap pattern, const PointerArrayItem* items, CUtensorMap* maps,
                  std::uint32_t* sums, unsigned widest) {
  __shared__ alignas(128) CUtensorMap own;
  __shared__ alignas(128) std::uint32_t box[2][kPointerArrayBox][32];
  __shared__ std::uint64_t full[2];
  const PointerArrayItem item = items[blockIdx.x];
  CUtensorMap* map = &maps[blockIdx.x];
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(&full[0], 1);
    ptx::mbarrier_init(&full[1], 1);
    ptx::fence_mbarrier_init();
  }
  if (threadIdx.x < 32) make_tensormap(pattern, item, &own, map);
  __syncthreads();
  if (threadIdx.x == 0) ptx::fence_proxy_tensormap_acquire(map);
  std::uint32_t round = 0;
  for (unsigned column0 = 0; column0 < item.columns; column0 += 32) {
    std::uint32_t sum = 0;
    for (unsigned row0 = 0; row0 < item.rows; row0 += kPointerArrayBox, ++round) {
      const unsigned s = round % 2;
      if (threadIdx.x == 0) {
        ptx::mbarrier_arrive_expect_tx(&full[s], sizeof box[s]);
        ptx::tensor_load_2d(box[s], map, static_cast<int>(column0), static_cast<int>(row0), &full[s]);
      }
      ptx::wait(&full[s], round / 2 % 2);
      for (unsigned row = threadIdx.x / 32; row < kPointerArrayBox; row += 2) sum += box[s][row][threadIdx.x % 32];
      __syncthreads();
    }
    const unsigned column = column0 + threadIdx.x % 32;
    if (column < item.columns) atomicAdd(&sums[blockIdx.x * widest + column], sum);
  }
}

}  // namespace moesaic::programs
