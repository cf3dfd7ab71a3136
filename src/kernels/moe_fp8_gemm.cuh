#pragma once

#include "kernels/params.hpp"
#include "kernels/ptx.cuh"
#include "kernels/tile_walk.cuh"
#include "spec/config.hpp"
#include "spec/panels.hpp"

/// Grouped FP8 GEMM of an MoE layer.
///
///   out[r, n] = (sum_k X[r, k] * W[e, n, k]) * w_scale(e, n) * x_scale(e, r) (+ bias[e, n])   for the rows r of expert
///   e
///
/// Weights are the mma's M operand and tokens its N, so that a tile of 8 tokens wastes nothing in decode. Every element
/// is one chain of m16n8k32 steps in ascending k, whatever the tile: all variants give the same bits.
///
/// Roles: a scheduler warp finds the tiles of this block, the first by blockIdx.x and each further one by a ticket; a
/// producer warp fills a ring of stages with their operands by bulk copies; warps_f x warps_t mma warps share a
/// tile's features and tokens and empty the ring.
///   found_full[i]   scheduler -> producer: smem.found[i] is valid
///   found_empty[i]  producer -> scheduler
///   full[s]         producer -> mma warps: 1 arrival and all bytes of the stage; smem.tile[s] is valid in a tile's
///                   first stage
///   empty[s]        mma warps -> producer: an arrival of each warp
/// A tile with expert < 0 ends each of them; its stage carries no bytes. Where eight mma warps hold many sums, the
/// others are a warpgroup that gives its registers to theirs.
///
/// Shared memory: struct Smem<Config> (spec/config.hpp): stages * (tile_f + tile_t) * tile_k bytes, barriers, tiles.
/// Only rows that exist are copied; what is left in the others stays in their own columns of the sums, which nobody
/// stores.
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

/// Bytes of a row in a stage, and how many of those rows make up its k.
template <Config kC>
inline constexpr int kRowBytes = kC.tile_k < kPanelBytes ? kC.tile_k : kPanelBytes;
template <Config kC>
inline constexpr int kSpans = kC.tile_k / kRowBytes<kC>;

/// Rows that are copied for a tile of `rows` rows: as many as a few boxes of 1, 2, 4, 8, ... rows cover.
__device__ inline int copied_rows(int rows) {
  return rows > 4 ? (rows + kMmaN - 1) / kMmaN * kMmaN : rows == 3 ? 4 : rows;
}

/// The copies of one tile, k step after k step. All that does not change from step to step is found beforehand: the
/// time from one stage to the next is the producer's where a tile has few tokens.
template <Config kC>
class Copies {
 public:
  __device__ Copies(const MoeFp8GemmParams& p, const FoundTile& found)
      : tile_(found.tile),
        x_rows_(copied_rows(found.tile.rows)),
        policy_(found.only_one != 0 ? ptx::policy_evict_first() : ptx::policy_evict_normal()),
        w_map_(&p.w),
        x_maps_(p.x),
        x_map_(p.x + box_of(x_rows_)) {
    w_bytes_ = kC.tile_f * kRowBytes<kC>;
    if (p.panels != nullptr) {
      w_bytes_ = min(kC.tile_f, p.n - tile_.n0) * kRowBytes<kC>;
      panel_ = p.panels + (static_cast<std::int64_t>(tile_.expert) * panel_count(p.k) * p.n + tile_.n0) * kPanelBytes;
      panel_stride_ = static_cast<std::int64_t>(p.n) * kPanelBytes;
    }
  }

  /// Announces a stage of `spans` spans and asks for its weights: the next ones, from k0 on.
  template <class Stage>
  __device__ void weights(Stage& stage, std::uint64_t* full, int k0, int spans) {
    ptx::mbarrier_arrive_expect_tx(full, static_cast<std::uint32_t>(spans * (w_bytes_ + x_rows_ * kRowBytes<kC>)));
#pragma unroll
    for (int span = 0; span < kSpans<kC>; ++span) {
      if (span == spans) break;
      std::uint8_t* to = stage.w + span * kC.tile_f * kRowBytes<kC>;
      if (panel_ != nullptr) {
        ptx::bulk_copy(to, panel_, static_cast<std::uint32_t>(w_bytes_), full, policy_);
        panel_ += panel_stride_;
      } else {
        ptx::tensor_copy_3d(to, w_map_, k0 + span * kRowBytes<kC>, tile_.n0, tile_.expert, full, policy_);
      }
    }
  }

  /// Asks for the stage's tokens.
  template <class Stage>
  __device__ void tokens(Stage& stage, std::uint64_t* full, int k0, int spans) const {
#pragma unroll
    for (int span = 0; span < kSpans<kC>; ++span) {
      if (span == spans) break;
      std::uint8_t* to = stage.x + span * kC.tile_t * kRowBytes<kC>;
      const int k = k0 + span * kRowBytes<kC>;
      ptx::tensor_copy_2d(to, x_map_, k, tile_.row0, full);
      if constexpr (kC.tile_t > 16) {  // of 1, 2, 4, 8 and 16 rows one box is all
        for (int row = 1 << box_of(x_rows_); row < x_rows_;) {
          const int box = box_of(x_rows_ - row);
          ptx::tensor_copy_2d(to + row * kRowBytes<kC>, x_maps_ + box, k, tile_.row0 + row, full);
          row += 1 << box;
        }
      }
    }
  }

 private:
  /// The largest box that does not cover more than `rows` rows.
  __device__ static int box_of(int rows) {
    return min(kTokenMaps - 1, 31 - __clz(rows));
  }

  Tile tile_;
  int x_rows_;   ///< copied rows of the tokens
  int w_bytes_;  ///< of one span of the weights
  std::uint64_t policy_;
  const CUtensorMap* w_map_;
  const CUtensorMap* x_maps_;
  const CUtensorMap* x_map_;             ///< of the first box
  const std::uint8_t* panel_ = nullptr;  ///< the next span's weights, where they are prepacked
  std::int64_t panel_stride_ = 0;
};

/// Waits for the grids in front of this one, and lets the next one start as blocks of this one end: it waits likewise.
__device__ inline void wait_for_grids() {
  ptx::griddepcontrol_wait();
  ptx::griddepcontrol_launch_dependents();
}

/// The scheduler warp: tells the producer which tiles this block computes, some ahead of time, so that a ticket's way
/// to memory and back holds up nobody, and has the weights' scales brought near.
template <Config kC>
__device__ void schedule(const MoeFp8GemmParams& p, Smem<kC>& smem) {
  const bool leader = threadIdx.x % kWarpThreads == 0;
  if (p.dependence != Dependence::early) wait_for_grids();
  TileWalk<kC.tile_f, kC.tile_t> walk(p.first, p.experts, p.n);
  RingPosition<kFoundTiles> at;
  auto index = static_cast<int>(blockIdx.x);
  for (int ticket = -1;; index = static_cast<int>(gridDim.x) + ticket) {
    const FoundTile found = walk.find(index);
    if (leader) {
      wait(&smem.found_empty[at.stage], at.phase ^ 1);
      smem.found[at.stage] = found;
      ptx::mbarrier_arrive(&smem.found_full[at.stage]);
    }
    at.advance();
    if (ticket < 0 && p.dependence == Dependence::early) wait_for_grids();
    if (found.tile.expert < 0) {
      // As many tickets are drawn as there are tiles: who drew the last leaves the counter as it was found.
      if (leader && ticket >= 0 && ticket == walk.passed() - 1) atomicExch(p.tickets, 0);
      return;
    }
    if (leader) {
      if (p.w_scale_channel != 0) {
        const float* scales = p.w_scales + static_cast<std::int64_t>(found.tile.expert) * p.n + found.tile.n0;
        ptx::bulk_prefetch(scales, min(kC.tile_f, p.n - found.tile.n0) * sizeof(float));
      }
      ticket = atomicAdd(p.tickets, 1);
    }
    ticket = __shfl_sync(0xffffffffU, ticket, 0);
  }
}

/// The same value of every lane, known to the compiler as such.
__device__ inline int uniform(int value) {
  return __shfl_sync(0xffffffffU, value, 0);
}

/// The producer warp: starts the copies of each k step as soon as a stage is free. The whole warp takes every step, and
/// one lane acts, so that the compiler sees that the operands of the copies are one value each.
template <Config kC>
__device__ void produce(const MoeFp8GemmParams& p, Smem<kC>& smem) {
  const bool leader = ptx::elect_one();
  if (leader) {
    if (p.panels == nullptr) ptx::prefetch_tensormap(&p.w);
    for (int map = 0; map < kTokenMaps && (1 << map) <= kC.tile_t; ++map) ptx::prefetch_tensormap(&p.x[map]);
  }
  const int steps = ceil_div(p.k, kC.tile_k);
  bool waited = p.dependence != Dependence::early;
  if (waited) ptx::griddepcontrol_wait();
  const auto spans = [&](int k0) {  // that exist: the last step of a problem may lack its second
    return kSpans<kC> == 1 ? 1 : min(kSpans<kC>, ceil_div(p.k - k0, kRowBytes<kC>));
  };
  RingPosition<kFoundTiles> tile_at;
  RingPosition<kC.stages> at;
  for (;;) {
    wait(&smem.found_full[tile_at.stage], tile_at.phase);
    const FoundTile& slot = smem.found[tile_at.stage];
    const FoundTile found{
        {uniform(slot.tile.expert), uniform(slot.tile.row0), uniform(slot.tile.rows), uniform(slot.tile.n0)},
        uniform(slot.only_one)};
    __syncwarp();  // every lane has read it
    if (leader) ptx::mbarrier_arrive(&smem.found_empty[tile_at.stage]);
    tile_at.advance();
    if (found.tile.expert < 0) {
      wait(&smem.empty[at.stage], at.phase ^ 1);
      if (leader) {
        smem.tile[at.stage] = found.tile;
        ptx::mbarrier_arrive(&smem.full[at.stage]);
      }
      return;
    }
    Copies<kC> copies(p, found);
    int begun = 0;  // steps whose weights were asked for before the wait
    if (!waited) {
      if (leader) smem.tile[0] = found.tile;
#pragma unroll 1
      for (; begun < min(steps, kC.stages); ++begun) {
        const int k0 = begun * kC.tile_k;
        if (leader) copies.weights(smem.stage[begun], &smem.full[begun], k0, spans(k0));
      }
      ptx::griddepcontrol_wait();
      waited = true;
    }
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      const int k0 = step * kC.tile_k;
      auto& stage = smem.stage[at.stage];
      std::uint64_t* full = &smem.full[at.stage];
      if (step >= begun) wait(&smem.empty[at.stage], at.phase ^ 1);  // the first round finds every stage free
      if (leader) {
        if (step >= begun) {
          if (step == 0) smem.tile[at.stage] = found.tile;
          copies.weights(stage, full, k0, spans(k0));
        }
        copies.tokens(stage, full, k0, spans(k0));
      }
      at.advance();
    }
  }
}

/// Address of 16-byte chunk `chunk` of row `row` in a matrix of swizzled rows (PTX ISA, "Swizzling modes"): of rows of
/// 128 bytes the chunk's index is xored with the row's last 3 bits, of rows of 64 bytes with the 2 before the last.
template <int kBytes>
__device__ inline std::uint32_t swizzled(std::uint32_t base, int row, int chunk) {
  static_assert(kBytes == 128 || kBytes == 64);
  const int turned = kBytes == 128 ? chunk ^ (row % 8) : chunk ^ (row / 2 % 4);
  return base + static_cast<std::uint32_t>(row * kBytes + turned * 16);
}

/// The sums of one mma warp: m16n8 blocks over its share of the features and of the tokens.
template <Config kC>
struct Sums {
  float d[kC.m_blocks()][kC.n_blocks()][4];
};

/// The tokens' operands of one m16n8k32 step: both chunks of each group of 8 tokens. `x` is the address of the chunk
/// that this lane reads.
template <int kN, int kRow>
__device__ void load_tokens(std::uint32_t (&b)[kN][2], std::uint32_t x) {
#pragma unroll
  for (int n = 0; n + 1 < kN; n += 2) {
    ptx::ldmatrix_x4(b[n][0], b[n][1], b[n + 1][0], b[n + 1][1], x + n * kMmaN * kRow);
  }
  if constexpr (kN % 2 != 0) ptx::ldmatrix_x2(b[kN - 1], x + (kN - 1) * kMmaN * kRow);
}

template <Config kC, int kN>
__device__ void multiply_step(Sums<kC>& sums, const std::uint32_t (&a)[kC.m_blocks()][4],
                              const std::uint32_t (&b)[kN][2]) {
#pragma unroll
  for (int n = 0; n < kN; ++n) {
#pragma unroll
    for (int m = 0; m < kC.m_blocks(); ++m) {
      ptx::mma_fp8<kC.multiply, kC.x_format>(sums.d[m][n], a[m], b[n][0], b[n][1]);
    }
  }
}

/// Registers that hold the operands of a whole stage, when they are so few that it pays to free the stage before the
/// multiplies: a tile of few tokens waits for memory, not for them.
inline constexpr int kMostStageRegisters = 64;

/// Adds one stage for kN groups of tokens: sums += W[warp's features, k] X[warp's tokens, k]^T, k ascending. `w` and
/// `x` are addresses of the first chunk that this lane reads of the warp's features and tokens; chunk c is found by
/// xor. `spans`: rows of the stage that exist. Calls `release` when nothing of the stage is left to read.
template <Config kC, int kN, class Release>
__device__ void multiply_stage(Sums<kC>& sums, std::uint32_t w, std::uint32_t x, int spans, Release release) {
  constexpr int kRow = kRowBytes<kC>;
  constexpr int kSteps = kRow / kMmaK;
  const auto load_features = [&w](std::uint32_t(&a)[kC.m_blocks()][4], int step) {
#pragma unroll
    for (int m = 0; m < kC.m_blocks(); ++m) ptx::ldmatrix_x4(a[m], (w ^ (step * kMmaK)) + m * kMmaM * kRow);
  };
  if constexpr (kSpans<kC> == 1 && kSteps * (4 * kC.m_blocks() + 2 * kN) <= kMostStageRegisters) {
    std::uint32_t a[kSteps][kC.m_blocks()][4];
    std::uint32_t b[kSteps][kN][2];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      load_features(a[step], step);
      load_tokens<kN, kRow>(b[step], x ^ (step * kMmaK));
    }
    release();
#pragma unroll
    for (int step = 0; step < kSteps; ++step) multiply_step<kC, kN>(sums, a[step], b[step]);
  } else {
#pragma unroll
    for (int span = 0; span < kSpans<kC>; ++span) {
      if (span >= spans) break;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        std::uint32_t a[kC.m_blocks()][4];
        std::uint32_t b[kN][2];
        load_features(a, step);
        load_tokens<kN, kRow>(b, x ^ (step * kMmaK));
        multiply_step<kC, kN>(sums, a, b);
      }
      w += kC.tile_f * kRow;
      x += kC.tile_t * kRow;
    }
    release();
  }
}

/// Who an mma warp is, and which share of a tile's tokens is its own.
struct WarpShare {
  int warp_f;
  int lane;
  int token0;  ///< first token within the tile
  int groups;  ///< groups of 8 tokens; 0 when the tile has too few for this warp
};

template <Config kC>
__device__ WarpShare share_of(const Tile& tile, int warp, int lane) {
  const int groups = ceil_div(tile.rows, kMmaN);
  const int each = ceil_div(groups, kC.warps_t);
  const int before = warp / kC.warps_f * each;
  return {warp % kC.warps_f, lane, before * kMmaN, max(0, min(each, groups - before))};
}

/// Transposes words among the four lanes of a quad: lane c gives word i as t[i] and receives word c of lane i in t[i].
__device__ inline void transpose_quad(std::uint32_t (&t)[4], int lane) {
  constexpr unsigned kAll = 0xffffffffU;
#pragma unroll
  for (int bit = 1; bit <= 2; bit *= 2) {
    const bool upper = (lane & bit) != 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if ((i & bit) != 0) continue;
      const std::uint32_t other = __shfl_xor_sync(kAll, upper ? t[i] : t[i | bit], bit);
      t[i] = upper ? other : t[i];
      t[i | bit] = upper ? t[i | bit] : other;
    }
  }
}

/// What a tile's sums are multiplied by. Read before the sums are made, so that the epilogue waits for no memory: of
/// the warp's features and tokens, a lane reads those numbered lane, lane + 32, ..., and a shuffle shares them. What
/// does not exist is read from the last that does, and not stored.
template <Config kC>
struct Scales {
  float w[ceil_div(kC.m_blocks() * kMmaM, kWarpThreads)];
  float x[ceil_div(kC.n_blocks() * kMmaN, kWarpThreads)];

  __device__ Scales(const MoeFp8GemmParams& p, const Tile& tile, const WarpShare& share) {
    const float* of_w = p.w_scales + static_cast<std::int64_t>(tile.expert) * p.w_scale_expert;
    const float* of_x = p.x_scales + static_cast<std::int64_t>(tile.expert) * p.x_scale_expert;
    int feature = tile.n0 + share.warp_f * kC.m_blocks() * kMmaM + share.lane;
    for (float& scale : w) {
      scale = ptx::load_early(of_w + min(feature, p.n - 1) * p.w_scale_channel);
      feature += kWarpThreads;
    }
    int token = share.token0 + share.lane;
    for (float& scale : x) {
      const int row = tile.row0 + min(token, tile.rows - 1);
      scale = ptx::load_early(of_x + static_cast<std::int64_t>(row) * p.x_scale_row);
      token += kWarpThreads;
    }
  }

  /// Of one of the warp's features; all lanes call. `block` counts 8 features.
  __device__ float of_feature(int block, int inside) const { return shared(w, block, inside); }
  /// Of one of the warp's tokens; all lanes call. `group` counts 8 tokens.
  __device__ float of_token(int group, int inside) const { return shared(x, group, inside); }

 private:
  template <int kCount>
  __device__ static float shared(const float (&values)[kCount], int eighth, int inside) {
    return __shfl_sync(0xffffffffU, values[eighth / 4], eighth % 4 * 8 + inside);
  }
};

/// A finished tile on its way out. Lane l of an m16n8 block holds features l / 4 and l / 4 + 8 of tokens 2 * (l % 4)
/// and the next.
template <Config kC>
struct Epilogue {
  static constexpr int kBlocks = 2 * kC.m_blocks();  ///< blocks of 8 features

  const MoeFp8GemmParams& p;
  const Tile& tile;
  const WarpShare& share;
  const Scales<kC>& scales;
  int feature0;            ///< the warp's first
  float w_scale[kBlocks];  ///< of this lane's features

  __device__ Epilogue(const MoeFp8GemmParams& params, const Tile& finished, const WarpShare& of_warp,
                      const Scales<kC>& of_tile)
      : p(params),
        tile(finished),
        share(of_warp),
        scales(of_tile),
        feature0(tile.n0 + share.warp_f * kC.m_blocks() * kMmaM) {
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) w_scale[i] = scales.of_feature(i, share.lane / 4);
  }

  __device__ int feature_of(int i) const {
    return feature0 + 8 * i + share.lane / 4;
  }

  /// Scales the sums of a group of 8 tokens: d[m] holds an m16n8 block's.
  __device__ void scale(int group, float (&d)[kC.m_blocks()][4]) const {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const float x_scale = scales.of_token(group, 2 * (share.lane % 4) + j);
#pragma unroll
      for (int i = 0; i < kBlocks; ++i) {
        float& sum = d[i / 2][i % 2 * 2 + j];
        sum = __fmul_rn(__fmul_rn(sum, w_scale[i]), x_scale);
      }
    }
    if (p.bias == nullptr) return;
    const float* bias = p.bias + static_cast<std::int64_t>(tile.expert) * p.n;
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
      const float add = __ldg(bias + min(feature_of(i), p.n - 1));
#pragma unroll
      for (int j = 0; j < 2; ++j) d[i / 2][i % 2 * 2 + j] = __fadd_rn(d[i / 2][i % 2 * 2 + j], add);
    }
  }

  __device__ void store_f32(int token, const float (&d)[kC.m_blocks()][4]) const {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int own = token + 2 * (share.lane % 4) + j;
      if (own >= tile.rows) continue;
      float* row = static_cast<float*>(p.out) + static_cast<std::int64_t>(tile.row0 + own) * p.n;
#pragma unroll
      for (int i = 0; i < kBlocks; ++i) {
        if (feature_of(i) < p.n) row[feature_of(i)] = d[i / 2][i % 2 * 2 + j];
      }
    }
  }

  /// As bf16 or f16: a block of 8 features and 8 tokens becomes rows of tokens by movmatrix; of four such blocks each
  /// lane of a quad then gets the whole 16 bytes of one.
  __device__ void store_16_bit(int token, const float (&d)[kC.m_blocks()][4]) const {
    const int own = token + share.lane / 4;
    auto* row = static_cast<std::uint16_t*>(p.out) + static_cast<std::int64_t>(tile.row0 + own) * p.n;
#pragma unroll
    for (int i0 = 0; i0 < kBlocks; i0 += 4) {
      std::uint32_t t[4]{};
#pragma unroll
      for (int i = i0; i < kBlocks && i < i0 + 4; ++i) {
        const float low = d[i / 2][i % 2 * 2];
        const float high = d[i / 2][i % 2 * 2 + 1];
        t[i - i0] =
            ptx::movmatrix(p.out_format == OutFormat::bf16 ? ptx::cvt_bf16x2(low, high) : ptx::cvt_f16x2(low, high));
      }
      transpose_quad(t, share.lane);
      const int block = i0 + share.lane % 4;
      const int feature = feature0 + 8 * block;
      if (own < tile.rows && block < kBlocks && feature < p.n) {
        *reinterpret_cast<uint4*>(row + feature) = uint4{t[0], t[1], t[2], t[3]};
      }
    }
  }
};

/// Scales the sums of a finished tile and stores those whose row and feature exist, 8 tokens after 8.
template <Config kC>
__device__ void store_tile(const MoeFp8GemmParams& p, const Sums<kC>& sums, const Scales<kC>& scales, const Tile& tile,
                           const WarpShare& share) {
  if (share.groups == 0) return;
  const Epilogue<kC> epilogue(p, tile, share, scales);
#pragma unroll
  for (int n = 0; n < kC.n_blocks(); ++n) {
    if (n >= share.groups) break;
    float d[kC.m_blocks()][4];
#pragma unroll
    for (int m = 0; m < kC.m_blocks(); ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) d[m][i] = sums.d[m][n][i];
    }
    const int token = share.token0 + n * kMmaN;
    epilogue.scale(n, d);
    if (p.out_format == OutFormat::f32) {
      epilogue.store_f32(token, d);
    } else {
      epilogue.store_16_bit(token, d);
    }
  }
}

/// Multiplies one tile, of which this warp has at most kN groups of 8 tokens; the ring stands at its first stage. kN is
/// known to the compiler, so that a tile of few tokens costs no more than these.
template <Config kC, int kN>
__device__ void multiply_tile(const MoeFp8GemmParams& p, Smem<kC>& smem, RingPosition<kC.stages>& at, Sums<kC>& sums,
                              const WarpShare& share) {
  constexpr int kRow = kRowBytes<kC>;
  const int lane = share.lane;
  // A in fragment order: rows 0-7 and 8-15 of the lower chunk, then of the upper one. B: both chunks of 8 rows, then of
  // the next 8.
  const std::uint32_t w0 = swizzled<kRow>(0, share.warp_f * kC.m_blocks() * kMmaM + lane % 16, lane / 16);
  const std::uint32_t x0 = swizzled<kRow>(0, share.token0 + lane / 16 * 8 + lane % 8, lane / 8 % 2);
  const int steps = ceil_div(p.k, kC.tile_k);
  for (int step = 0; step < steps; ++step) {
    wait(&smem.full[at.stage], at.phase);
    const auto& stage = smem.stage[at.stage];
    const auto release = [&] {
      __syncwarp();  // every lane has read the stage
      if (lane == 0) ptx::mbarrier_arrive(&smem.empty[at.stage]);
    };
    if constexpr (kN > 0) {
      multiply_stage<kC, kN>(sums, ptx::smem_address(stage.w) + w0, ptx::smem_address(stage.x) + x0,
                             ceil_div(p.k - step * kC.tile_k, kRow), release);
    } else {
      release();
    }
    at.advance();
  }
}

/// The next larger count of token groups for which there is a loop: all up to 8, then even ones, at most `most`.
constexpr int next_groups(int groups, int most) {
  const int next = groups < 8 ? groups + 1 : groups + 2;
  return next < most ? next : most;
}

/// multiply_tile for the least such count that holds the warp's groups.
template <Config kC, int kN = 0>
__device__ void multiply_groups(const MoeFp8GemmParams& p, Smem<kC>& smem, RingPosition<kC.stages>& at, Sums<kC>& sums,
                                const WarpShare& share) {
  if constexpr (kN < kC.n_blocks()) {
    if (share.groups > kN) {
      return multiply_groups<kC, next_groups(kN, kC.n_blocks())>(p, smem, at, sums, share);
    }
  }
  multiply_tile<kC, kN>(p, smem, at, sums, share);
}

/// One mma warp: takes tiles in the producer's order until the one that says stop.
template <Config kC>
__device__ void consume(const MoeFp8GemmParams& p, Smem<kC>& smem) {
  const int warp = static_cast<int>(threadIdx.x / kWarpThreads);
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  ptx::griddepcontrol_wait();
  RingPosition<kC.stages> at;
  for (;;) {
    wait(&smem.full[at.stage], at.phase);
    const Tile tile = smem.tile[at.stage];
    if (tile.expert < 0) return;
    const WarpShare share = share_of<kC>(tile, warp, lane);
    const Scales<kC> scales(p, tile, share);
    Sums<kC> sums{};
    multiply_groups<kC>(p, smem, at, sums, share);
    store_tile<kC>(p, sums, scales, tile, share);
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
      ptx::mbarrier_init(&smem.empty[stage], kC.mma_warps());
    }
    for (int i = 0; i < kFoundTiles; ++i) {
      ptx::mbarrier_init(&smem.found_full[i], 1);
      ptx::mbarrier_init(&smem.found_empty[i], 1);
    }
    ptx::fence_proxy_async();
  }
  __syncthreads();
  const auto warp = static_cast<int>(threadIdx.x / kWarpThreads);
  constexpr bool kShareRegisters = kC.other_warps() == 4;
  if (warp >= kC.mma_warps()) {
    if constexpr (kShareRegisters) ptx::release_registers<kOtherWarpRegisters>();
    if (warp == kC.mma_warps()) schedule<kC>(p, smem);
    if (warp == kC.mma_warps() + 1) produce<kC>(p, smem);
  } else {
    if constexpr (kShareRegisters) ptx::take_registers<kMmaWarpRegisters>();
    consume<kC>(p, smem);
  }
}

}  // namespace moesaic::kernels
