#pragma once

#include <cuda.h>

#include "ptx.cuh"
#include "sizes.hpp"

/// C = A B^T for bf16 A [m, k] and B [n, k], f32 C [m, n]: a producer warp fills a ring of stages by tensor copies,
/// four warps multiply. m and n are multiples of 64, k of 8.
namespace moesaic::programs {

struct GemmStage {
  std::uint16_t a[kGemmTile * kGemmTileK];
  std::uint16_t b[kGemmTile * kGemmTileK];
};

/// A chunk of 16 bytes in a tile of 128-byte rows with the 128-byte swizzle.
__device__ inline std::uint32_t swizzled(std::uint32_t tile, int row, int chunk) {
  return tile + static_cast<std::uint32_t>(row * 128 + ((chunk ^ (row % 8)) * 16));
}

__device__ inline void gemm_produce(const CUtensorMap& a, const CUtensorMap& b, int steps, GemmStage* stages,
                                    std::uint64_t* full, std::uint64_t* empty) {
  for (int step = 0; step < steps; ++step) {
    const int s = step % kGemmStages;
    ptx::wait(&empty[s], static_cast<std::uint32_t>(step / kGemmStages) % 2 ^ 1);
    ptx::mbarrier_arrive_expect_tx(&full[s], sizeof(GemmStage));
    ptx::tensor_load_2d(stages[s].a, &a, step * kGemmTileK, static_cast<int>(blockIdx.y) * kGemmTile, &full[s]);
    ptx::tensor_load_2d(stages[s].b, &b, step * kGemmTileK, static_cast<int>(blockIdx.x) * kGemmTile, &full[s]);
  }
}

/// 16 rows of the warp times 64 columns.
__device__ inline void gemm_multiply(float (&sums)[8][4], const GemmStage& stage, int warp, int lane) {
  for (int chunk = 0; chunk < 8; chunk += 2) {
    std::uint32_t a[4];
    ptx::ldmatrix_x4(a, swizzled(ptx::smem(stage.a), warp * 16 + lane % 16, chunk + lane / 16));
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      std::uint32_t b[2];
      ptx::ldmatrix_x2(b, swizzled(ptx::smem(stage.b), n * 8 + lane % 8, chunk + lane / 8 % 2));
      ptx::mma_bf16(sums[n], a, b);
    }
  }
}

extern "C" __global__ void __launch_bounds__(kGemmThreads)
    gemm(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b, float* c, int n, int k) {
  extern __shared__ __align__(1024) unsigned char dynamic_shared[];
  auto* stages = reinterpret_cast<GemmStage*>(dynamic_shared);
  __shared__ std::uint64_t full[kGemmStages];
  __shared__ std::uint64_t empty[kGemmStages];
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int steps = (k + kGemmTileK - 1) / kGemmTileK;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kGemmStages; ++s) {
      ptx::mbarrier_init(&full[s], 1);
      ptx::mbarrier_init(&empty[s], 4);
    }
    ptx::fence_mbarrier_init();
  }
  __syncthreads();
  if (warp == 4) {
    if (lane == 0) gemm_produce(a, b, steps, stages, full, empty);
    return;
  }
  float sums[8][4] = {};
  for (int step = 0; step < steps; ++step) {
    const int s = step % kGemmStages;
    ptx::wait(&full[s], static_cast<std::uint32_t>(step / kGemmStages) % 2);
    gemm_multiply(sums, stages[s], warp, lane);
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(&empty[s]);
  }
  const int row = static_cast<int>(blockIdx.y) * kGemmTile + warp * 16 + lane / 4;
  const int column = static_cast<int>(blockIdx.x) * kGemmTile + lane % 4 * 2;
  for (int i = 0; i < 8; ++i) {
    *reinterpret_cast<float2*>(&c[row * n + column + i * 8]) = make_float2(sums[i][0], sums[i][1]);
    *reinterpret_cast<float2*>(&c[(row + 8) * n + column + i * 8]) = make_float2(sums[i][2], sums[i][3]);
  }
}

}  // namespace moesaic::programs
