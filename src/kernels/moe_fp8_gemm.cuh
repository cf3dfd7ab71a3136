#pragma once

#include "kernels/params.hpp"
#include "kernels/ptx.cuh"
#include "spec/config.hpp"

/// Grouped FP8 GEMM of an MoE layer.
///
///   out[r, n] = (sum_k X[r, k] * W[e, n, k]) * w_scales[e, n] * x_scales[r]      for the rows r of every expert e
///
/// Weights are the mma's M operand and tokens its N, so that a tile of 8 tokens wastes nothing in decode. Every element
/// is one chain of m16n8k32 steps in ascending k, whatever the tile: all variants give the same bits.
///
/// Roles: a producer warp walks the tiles of this block (blockIdx.x, + gridDim.x, ...) and fills a ring of stages by
/// tensor copies; four mma warps share a tile's features and empty the ring.
///   full[s]   producer -> mma warps: 1 arrival and all bytes of the stage; smem.tile[s] is valid
///   empty[s]  mma warps -> producer: 4 arrivals, one a warp
/// A stage whose tile has expert < 0 carries no bytes and ends the mma warps.
///
/// Shared memory: struct Smem<Config> (spec/config.hpp): stages * (tile_f + tile_t) * 128 bytes, barriers, tiles.
namespace moesaic::kernels {

/// A place in the ring: the stage, and the parity of the phase that its barriers are in.
template <int kStages>
struct RingPosition {
  int stage = 0;
  std::uint32_t phase = 0;

  __device__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      phase ^= 1;
    }
  }
};

__device__ inline void wait(std::uint64_t* barrier, std::uint32_t parity) {
  while (!ptx::mbarrier_try_wait(barrier, parity)) {
  }
}

/// Walks the tiles of a ragged problem in order: expert, then feature tile, then token tile, so that blocks running
/// side by side share the weights in L2. The whole warp works on a step: each lane counts the tiles of one expert.
template <Config kC>
struct TileWalk {
  int expert0 = 0;  ///< first expert of the group of 32 looked at
  int before = 0;   ///< tiles of all experts below expert0

  /// The tile of that number; `index` must not decrease from call to call. All 32 lanes call and get the same answer.
  __device__ Tile find(const MoeFp8GemmParams& p, int index) {
    constexpr unsigned kAll = 0xffffffffU;
    const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
    const int f_tiles = ceil_div(p.n, kC.tile_f);
    for (; expert0 < p.experts; expert0 += kWarpThreads) {
      const int expert = expert0 + lane;
      const int begin = expert < p.experts ? p.first[expert] : 0;
      const int rows = expert < p.experts ? p.first[expert + 1] - begin : 0;
      const int t_tiles = ceil_div(rows, kC.tile_t);
      int through = t_tiles * f_tiles;  // becomes the number of tiles through this lane's expert
      for (int distance = 1; distance < kWarpThreads; distance *= 2) {
        const int lower = __shfl_up_sync(kAll, through, distance);
        if (lane >= distance) through += lower;
      }
      const unsigned reached = __ballot_sync(kAll, index < before + through);
      if (reached != 0) {
        const int owner = __ffs(static_cast<int>(reached)) - 1;
        const int local = index - before - (through - t_tiles * f_tiles);
        const int t_tile = t_tiles > 0 ? local % t_tiles : 0;
        const int f_tile = t_tiles > 0 ? local / t_tiles : 0;
        Tile tile{expert, begin + t_tile * kC.tile_t, min(rows - t_tile * kC.tile_t, kC.tile_t), f_tile * kC.tile_f};
        tile.expert = __shfl_sync(kAll, tile.expert, owner);
        tile.row0 = __shfl_sync(kAll, tile.row0, owner);
        tile.rows = __shfl_sync(kAll, tile.rows, owner);
        tile.n0 = __shfl_sync(kAll, tile.n0, owner);
        return tile;
      }
      before += __shfl_sync(kAll, through, kWarpThreads - 1);
    }
    return Tile{-1, 0, 0, 0};
  }
};

/// The producer warp: finds tiles, and lane 0 starts the copies of each k step as soon as a stage is free.
template <Config kC>
__device__ void produce(const MoeFp8GemmParams& p, Smem<kC>& smem) {
  using Stage = typename Smem<kC>::Stage;
  constexpr auto kStageBytes = static_cast<std::uint32_t>(sizeof(Stage));
  const bool leader = threadIdx.x % kWarpThreads == 0;
  if (leader) {
    ptx::prefetch_tensormap(&p.w);
    ptx::prefetch_tensormap(&p.x);
  }
  TileWalk<kC> walk;
  RingPosition<kC.stages> at;
  for (int index = static_cast<int>(blockIdx.x);; index += static_cast<int>(gridDim.x)) {
    const Tile tile = walk.find(p, index);
    const int steps = tile.expert < 0 ? 1 : ceil_div(p.k, kC.tile_k);
    if (leader) {
      for (int step = 0; step < steps; ++step) {
        std::uint64_t* full = &smem.full[at.stage];
        wait(&smem.empty[at.stage], at.phase ^ 1);  // the first round finds every stage free
        smem.tile[at.stage] = tile;
        if (tile.expert < 0) {
          ptx::mbarrier_arrive(full);
        } else {
          Stage& stage = smem.stage[at.stage];
          const int k0 = step * kC.tile_k;
          ptx::mbarrier_arrive_expect_tx(full, kStageBytes);  // the whole boxes, the part outside the tensor included
          ptx::tensor_copy_3d(stage.w, &p.w, k0, tile.n0, tile.expert, full);
          ptx::tensor_copy_2d(stage.x, &p.x, k0, tile.row0, full);
        }
        at.advance();
      }
    }
    __syncwarp();
    if (tile.expert < 0) return;
  }
}

/// Address of 16-byte chunk `chunk` of row `row` in a matrix of 128-byte rows with the 128-byte swizzle: the chunk's
/// index is xored with the row's (PTX ISA, "Swizzling modes").
__device__ inline std::uint32_t swizzled(std::uint32_t base, int row, int chunk) {
  return base + static_cast<std::uint32_t>(row * kSwizzleBytes + ((chunk ^ (row % 8)) * 16));
}

/// The sums of one mma warp: m16n8 blocks over its share of the features and all tokens of the tile.
template <Config kC>
struct Sums {
  static constexpr int kRows = kC.tile_f / kMmaWarps;  ///< features of a warp
  static constexpr int kMBlocks = kRows / kMmaM;
  static constexpr int kNBlocks = kC.tile_t / kMmaN;
  float d[kMBlocks][kNBlocks][4];
};

/// Adds one stage: sums += W[warp's features, 128] X[tokens, 128]^T, k ascending.
template <Config kC>
__device__ void multiply_stage(Sums<kC>& sums, const typename Smem<kC>::Stage& stage, int warp, int lane) {
  constexpr int kMBlocks = Sums<kC>::kMBlocks;
  constexpr int kNBlocks = Sums<kC>::kNBlocks;
  const std::uint32_t w = ptx::smem_address(stage.w);
  const std::uint32_t x = ptx::smem_address(stage.x);
#pragma unroll
  for (int chunk = 0; chunk < kC.tile_k / 16; chunk += kMmaK / 16) {  // of 16 bytes; one mma takes two of them
    std::uint32_t a[kMBlocks][4];
#pragma unroll
    for (int m = 0; m < kMBlocks; ++m) {
      // In fragment order: rows 0-7 and 8-15 of the lower chunk, then of the upper one.
      const int row = warp * Sums<kC>::kRows + m * kMmaM + lane % 16;
      ptx::ldmatrix_x4(a[m], swizzled(w, row, chunk + lane / 16));
    }
    if constexpr (kNBlocks == 1) {
      std::uint32_t b[2];  // lower and upper chunk of 8 tokens
      ptx::ldmatrix_x2(b, swizzled(x, lane % 8, chunk + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < kMBlocks; ++m) ptx::mma_e4m3(sums.d[m][0], a[m], b[0], b[1]);
    } else {
#pragma unroll
      for (int n = 0; n < kNBlocks; n += 2) {
        std::uint32_t b[4];  // lower and upper chunk of 8 tokens, then of the next 8
        ptx::ldmatrix_x4(b, swizzled(x, n * kMmaN + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2));
#pragma unroll
        for (int m = 0; m < kMBlocks; ++m) {
          ptx::mma_e4m3(sums.d[m][n], a[m], b[0], b[1]);
          ptx::mma_e4m3(sums.d[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
  }
}

/// Scales the sums of a finished tile and stores those whose row and feature exist. Lane l of an m16n8 block holds
/// features l / 4 and l / 4 + 8 of tokens 2 * (l % 4) and the next.
template <Config kC>
__device__ void store_tile(const MoeFp8GemmParams& p, const Sums<kC>& sums, const Tile& tile, int warp, int lane) {
  const int feature0 = tile.n0 + warp * Sums<kC>::kRows + lane / 4;
  const int token0 = 2 * (lane % 4);
  const float* w_scales = p.w_scales + static_cast<std::int64_t>(tile.expert) * p.n;
  const float* x_scales = p.x_scales + tile.row0;
  float* out = p.out + static_cast<std::int64_t>(tile.row0) * p.n;
#pragma unroll
  for (int n = 0; n < Sums<kC>::kNBlocks; ++n) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int token = token0 + n * kMmaN + j;
      if (token < tile.rows) {
        const float x_scale = x_scales[token];
        float* row = out + static_cast<std::int64_t>(token) * p.n;
#pragma unroll
        for (int m = 0; m < Sums<kC>::kMBlocks; ++m) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int feature = feature0 + m * kMmaM + half * 8;
            if (feature < p.n) {
              row[feature] = __fmul_rn(__fmul_rn(sums.d[m][n][half * 2 + j], w_scales[feature]), x_scale);
            }
          }
        }
      }
    }
  }
}

/// One mma warp: takes stages in the producer's order until the tile that says stop.
template <Config kC>
__device__ void consume(const MoeFp8GemmParams& p, Smem<kC>& smem) {
  const int warp = static_cast<int>(threadIdx.x / kWarpThreads);
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  const int steps = ceil_div(p.k, kC.tile_k);
  RingPosition<kC.stages> at;
  for (;;) {
    Tile tile{};
    Sums<kC> sums{};
    for (int step = 0; step < steps; ++step) {
      wait(&smem.full[at.stage], at.phase);
      tile = smem.tile[at.stage];
      if (tile.expert < 0) return;
      multiply_stage<kC>(sums, smem.stage[at.stage], warp, lane);
      __syncwarp();  // every lane has read the stage
      if (lane == 0) ptx::mbarrier_arrive(&smem.empty[at.stage]);
      at.advance();
    }
    store_tile<kC>(p, sums, tile, warp, lane);
  }
}

template <Config kC>
__device__ void moe_fp8_gemm(const MoeFp8GemmParams& p) {
  static_assert(why_illegal(kC) == nullptr);
  static_assert(sizeof(Smem<kC>) == smem_bytes(kC));
  extern __shared__ __align__(1024) unsigned char window[];
  auto& smem = *reinterpret_cast<Smem<kC>*>(window);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kC.stages; ++stage) {
      ptx::mbarrier_init(&smem.full[stage], 1);
      ptx::mbarrier_init(&smem.empty[stage], kMmaWarps);
    }
    ptx::fence_proxy_async();
  }
  __syncthreads();
  if (threadIdx.x / kWarpThreads == kMmaWarps) {
    produce<kC>(p, smem);
  } else {
    consume<kC>(p, smem);
  }
}

}  // namespace moesaic::kernels
