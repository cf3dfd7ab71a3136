// Kernels that only the bench has: what a card can do at most, and random codes to measure on. Compiled twice: as it
// is, and with MOESAIC_S8_PROXY, which makes mma_fp8 an s8 multiply.

#include "bench/probe_params.hpp"
#include "kernels/ptx.cuh"

namespace moesaic::bench {
namespace {

/// SplitMix64's output function: 64 random bits from a counter.
__device__ std::uint64_t random_codes(std::uint64_t counter) {
  std::uint64_t z = counter * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  z ^= z >> 31;
  // e4m3 has its NaN at 0x7f and 0xff: their lowest bit goes, in all eight bytes at once.
  const std::uint64_t nan = ((z & 0x7f7f7f7f7f7f7f7fU) + 0x0101010101010101U) & 0x8080808080808080U;
  return z ^ (nan >> 7);
}

__device__ void wait(std::uint64_t* barrier, std::uint32_t parity) {
  while (!ptx::mbarrier_try_wait(barrier, parity)) {
  }
}

/// Address of 16-byte chunk `chunk` of row `row`, rows of 128 bytes, swizzled so that ldmatrix meets no bank twice.
__device__ std::uint32_t chunk_address(std::uint32_t base, int row, int chunk) {
  return base + static_cast<std::uint32_t>(row * kMmaProbeDepth + ((chunk ^ (row & 7)) << 4));
}

/// One warp's 64 x 64 sums over the 128 k of a stage.
__device__ void multiply_stage(float (&sums)[4][8][4], std::uint32_t features, std::uint32_t tokens) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int step = 0; step < kMmaProbeDepth / 32; ++step) {
    std::uint32_t a[4][4];
    std::uint32_t b[4][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      ptx::ldmatrix_x4(a[i], chunk_address(features, 16 * i + lane % 16, 2 * step + lane / 16));
      ptx::ldmatrix_x4(b[i], chunk_address(tokens, 16 * i + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
    }
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        ptx::mma_fp8<Multiply::fast, TokenFormat::e4m3>(sums[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
      }
    }
  }
}

}  // namespace
}  // namespace moesaic::bench

using namespace moesaic;         // NOLINT: entry points
using namespace moesaic::bench;  // NOLINT

extern "C" __global__ void __launch_bounds__(kFillThreads) bench_fill(const __grid_constant__ FillParams p) {
  const auto step = static_cast<std::int64_t>(gridDim.x) * kFillThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kFillThreads + threadIdx.x; i < p.count; i += step) {
    p.words[i] = random_codes(p.seed + static_cast<std::uint64_t>(i));
  }
}

/// One thread of the block keeps every stage of the ring in flight.
extern "C" __global__ void __launch_bounds__(kStreamThreads) bench_stream(const __grid_constant__ StreamProbeParams p) {
  extern __shared__ __align__(128) std::uint8_t ring[];
  __shared__ std::uint64_t full[kStreamStages];
  if (threadIdx.x != 0) return;
  for (std::uint64_t& barrier : full) ptx::mbarrier_init(&barrier, 1);
  ptx::fence_proxy_async();
  const std::uint64_t policy = ptx::policy_evict_first();
  const auto bytes = static_cast<std::uint32_t>(p.chunk_bytes);
  const auto fetch = [&](std::int64_t chunk, int stage) {
    ptx::mbarrier_arrive_expect_tx(&full[stage], bytes);
    ptx::bulk_copy(ring + stage * p.chunk_bytes, p.data + chunk * p.chunk_bytes, bytes, &full[stage], policy);
  };
  std::int64_t ahead = blockIdx.x;
  for (int stage = 0; stage < kStreamStages && ahead < p.chunks; ++stage, ahead += gridDim.x) fetch(ahead, stage);
  int stage = 0;
  std::uint32_t phase = 0;
  for (std::int64_t chunk = blockIdx.x; chunk < p.chunks; chunk += gridDim.x) {
    wait(&full[stage], phase);
    if (ahead < p.chunks) fetch(ahead, stage);
    ahead += gridDim.x;
    if (++stage == kStreamStages) {
      stage = 0;
      phase ^= 1;
    }
  }
}

extern "C" __global__ void __launch_bounds__(kMmaProbeThreads, 1) bench_mma(const __grid_constant__ MmaProbeParams p) {
  extern __shared__ __align__(1024) std::uint8_t smem[];
  for (int i = static_cast<int>(threadIdx.x); i < kMmaProbeSmemBytes / 8; i += kMmaProbeThreads) {
    reinterpret_cast<std::uint64_t*>(smem)[i] = random_codes(static_cast<std::uint64_t>(i));
  }
  __syncthreads();
  constexpr std::uint32_t kStageBytes = kMmaProbeSmemBytes / kMmaProbeStages;
  const std::uint32_t warp = threadIdx.x / 32;
  const std::uint32_t features = ptx::smem_address(smem) + warp / 2 * 64 * kMmaProbeDepth;
  const std::uint32_t tokens = ptx::smem_address(smem) + (kMmaProbeFeatures + warp % 2 * 64) * kMmaProbeDepth;
  float sums[4][8][4] = {};
  for (int i = 0; i < p.iterations; ++i) {
#pragma unroll
    for (std::uint32_t stage = 0; stage < kMmaProbeStages; ++stage) {
      multiply_stage(sums, features + stage * kStageBytes, tokens + stage * kStageBytes);
    }
  }
  float sum = 0;
  for (const auto& row : sums) {
    for (const auto& block : row) sum += block[0] + block[1] + block[2] + block[3];
  }
  p.out[blockIdx.x * kMmaProbeThreads + threadIdx.x] = sum;
}
