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
/// Roles: a producer warp walks the tiles of this block (blockIdx.x, + gridDim.x, ...) and fills a ring of stages by
/// bulk copies; warps_f x warps_t mma warps share a tile's features and tokens and empty the ring.
///   full[s]   producer -> mma warps: 1 arrival and all bytes of the stage; smem.tile[s] is valid
///   empty[s]  mma warps -> producer: an arrival of each warp
/// A stage whose tile has expert < 0 carries no bytes and ends the mma warps. With eight mma warps the producer is the
/// first warp of a warpgroup that gives its registers to theirs.
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

/// What the producer knows of the tile whose stages it fills.
template <Config kC>
struct Copies {
  const MoeFp8GemmParams& p;
  Tile tile;
  int x_rows;             ///< copied rows of the tokens
  std::uint32_t w_bytes;  ///< of one span of the weights
  std::uint64_t policy;

  __device__ Copies(const MoeFp8GemmParams& params, const FoundTile& found)
      : p(params),
        tile(found.tile),
        x_rows(copied_rows(found.tile.rows)),
        w_bytes(static_cast<std::uint32_t>(
            (params.panels != nullptr ? min(kC.tile_f, params.n - found.tile.n0) : kC.tile_f) * kRowBytes<kC>)),
        policy(found.only_one ? ptx::policy_evict_first() : ptx::policy_evict_normal()) {}

  /// Spans of the step at k0 that exist: the last step of a problem may lack its second.
  __device__ int spans(int k0) const { return min(kSpans<kC>, ceil_div(p.k - k0, kRowBytes<kC>)); }

  __device__ std::uint32_t bytes(int k0) const {
    return static_cast<std::uint32_t>(spans(k0)) * (w_bytes + static_cast<std::uint32_t>(x_rows * kRowBytes<kC>));
  }

  __device__ void weights(std::uint8_t* to, int k0, std::uint64_t* full) const {
    const int count = spans(k0);
    for (int span = 0; span < count; ++span, k0 += kRowBytes<kC>, to += kC.tile_f * kRowBytes<kC>) {
      if (p.panels != nullptr) {
        const std::int64_t panel = static_cast<std::int64_t>(tile.expert) * panel_count(p.k) + k0 / kPanelBytes;
        ptx::bulk_copy(to, p.panels + (panel * p.n + tile.n0) * kPanelBytes, w_bytes, full, policy);
      } else {
        ptx::tensor_copy_3d(to, &p.w, k0, tile.n0, tile.expert, full, policy);
      }
    }
  }

  __device__ void tokens(std::uint8_t* to, int k0, std::uint64_t* full) const {
    const int count = spans(k0);
    for (int span = 0; span < count; ++span, k0 += kRowBytes<kC>, to += kC.tile_t * kRowBytes<kC>) {
      int row = 0;
      while (row < x_rows) {  // the largest box that is left to cover
        const int map = 31 - __clz(x_rows - row);
        ptx::tensor_copy_2d(to + row * kRowBytes<kC>, &p.x[map], k0, tile.row0 + row, full);
        row += 1 << map;
      }
    }
  }
};

/// Waits for the grids in front of this one, and lets the next one start as blocks of this one end: it then waits
/// likewise.
__device__ inline void wait_for_grids() {
  ptx::griddepcontrol_wait();
  ptx::griddepcontrol_launch_dependents();
}

/// The producer warp: finds tiles, and lane 0 starts the copies of each k step as soon as a stage is free.
template <Config kC>
__device__ void produce(const MoeFp8GemmParams& p, Smem<kC>& smem) {
  const bool leader = threadIdx.x % kWarpThreads == 0;
  const int steps = ceil_div(p.k, kC.tile_k);
  if (leader) {
    if (p.panels == nullptr) ptx::prefetch_tensormap(&p.w);
    for (int map = 0; (1 << map) <= kC.tile_t; ++map) ptx::prefetch_tensormap(&p.x[map]);
  }
  if (p.dependence != Dependence::early) wait_for_grids();
  TileWalk<kC.tile_f, kC.tile_t> walk(p.first, p.experts, p.n);
  RingPosition<kC.stages> at;
  int begun = 0;  // steps of the first tile whose weights were asked for before the wait
  for (int index = static_cast<int>(blockIdx.x);; index += static_cast<int>(gridDim.x)) {
    const FoundTile found = walk.find(index);
    const bool last = found.tile.expert < 0;
    if (leader) {
      const Copies<kC> copies(p, found);
      const auto begin = [&](int stage, int step) {
        smem.tile[stage] = found.tile;
        ptx::mbarrier_arrive_expect_tx(&smem.full[stage], copies.bytes(step * kC.tile_k));
        copies.weights(smem.stage[stage].w, step * kC.tile_k, &smem.full[stage]);
      };
      if (p.dependence == Dependence::early && index == static_cast<int>(blockIdx.x)) {
        for (begun = 0; !last && begun < min(steps, kC.stages); ++begun) begin(begun, begun);
        wait_for_grids();
      }
      for (int step = 0; step < (last ? 1 : steps); ++step) {
        if (step >= begun) {
          wait(&smem.empty[at.stage], at.phase ^ 1);  // the first round finds every stage free
          if (last) {
            smem.tile[at.stage] = found.tile;
            ptx::mbarrier_arrive(&smem.full[at.stage]);
            break;
          }
          begin(at.stage, step);
        }
        copies.tokens(smem.stage[at.stage].x, step * kC.tile_k, &smem.full[at.stage]);
        at.advance();
      }
      begun = 0;
    }
    __syncwarp();
    if (last) return;
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

/// Adds one span of a stage for kN blocks of tokens: sums += W[warp's features, row] X[warp's tokens, row]^T, k
/// ascending. `w` and `x` are addresses of the first chunk that this lane reads of the warp's features and tokens;
/// chunk c is found by xor.
template <Config kC, int kN>
__device__ void multiply_span(Sums<kC>& sums, std::uint32_t w, std::uint32_t x) {
  constexpr int kRow = kRowBytes<kC>;
  constexpr int kStep = kMmaK / 16;  // chunks of 16 bytes that one mma takes
  std::uint32_t b[4];
#pragma unroll
  for (int chunk = 0; chunk < kRow / 16; chunk += kStep) {
    std::uint32_t a[kC.m_blocks()][4];
#pragma unroll
    for (int m = 0; m < kC.m_blocks(); ++m) ptx::ldmatrix_x4(a[m], (w ^ (chunk * 16)) + m * kMmaM * kRow);
    if constexpr (kN == 1) {
      const int half = chunk / kStep % 2 * 2;  // four chunks of 8 tokens feed two steps
      if (half == 0) ptx::ldmatrix_x4(b, x ^ (chunk * 16));
#pragma unroll
      for (int m = 0; m < kC.m_blocks(); ++m) {
        ptx::mma_fp8<kC.multiply, kC.x_format>(sums.d[m][0], a[m], b[half], b[half + 1]);
      }
    } else {
#pragma unroll
      for (int n = 0; n < kN; n += 2) {
        ptx::ldmatrix_x4(b, (x ^ (chunk * 16)) + n * kMmaN * kRow);  // two chunks of 8 tokens, then of the next 8
#pragma unroll
        for (int m = 0; m < kC.m_blocks(); ++m) {
          ptx::mma_fp8<kC.multiply, kC.x_format>(sums.d[m][n], a[m], b[0], b[1]);
          ptx::mma_fp8<kC.multiply, kC.x_format>(sums.d[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
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
  int each = ceil_div(groups, kC.warps_t);
  if (each > 1) each += each % 2;
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

/// What a tile's sums are multiplied by, as one lane of an mma warp needs it. Read before the sums are made, so that
/// the epilogue waits for no memory. Lane l of an m16n8 block holds features l / 4 and l / 4 + 8 of tokens 2 * (l % 4)
/// and the next. What does not exist is read from the last that does, and not stored.
template <Config kC>
struct Scales {
  static constexpr int kBlocks = 2 * kC.m_blocks();  ///< blocks of 8 features

  float w[kBlocks];
  float
      x[ceil_div(kC.n_blocks() * kMmaN, kWarpThreads)];  ///< of the tokens lane, lane + 32, ...: a shuffle shares them

  __device__ Scales(const MoeFp8GemmParams& p, const Tile& tile, const WarpShare& share) {
    const float* of_w = p.w_scales + static_cast<std::int64_t>(tile.expert) * p.w_scale_expert;
    const float* of_x = p.x_scales + static_cast<std::int64_t>(tile.expert) * p.x_scale_expert;
    const int feature0 = tile.n0 + share.warp_f * kC.m_blocks() * kMmaM + share.lane / 4;
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) w[i] = ptx::load_early(of_w + min(feature0 + 8 * i, p.n - 1) * p.w_scale_channel);
    int token = share.token0 + share.lane;
    for (float& scale : x) {
      const int row = tile.row0 + min(token, tile.rows - 1);
      scale = ptx::load_early(of_x + static_cast<std::int64_t>(row) * p.x_scale_row);
      token += kWarpThreads;
    }
  }

  /// Of token `inside` of the warp's group n; all lanes call.
  __device__ float of_token(int n, int inside) const {
    return __shfl_sync(0xffffffffU, x[n * kMmaN / kWarpThreads], n * kMmaN % kWarpThreads + inside);
  }
};

/// A finished tile on its way out.
template <Config kC>
struct Epilogue {
  static constexpr int kBlocks = Scales<kC>::kBlocks;

  const MoeFp8GemmParams& p;
  const Tile& tile;
  const WarpShare& share;
  int feature0;  ///< the warp's first

  __device__ Epilogue(const MoeFp8GemmParams& params, const Tile& finished, const WarpShare& of_warp)
      : p(params), tile(finished), share(of_warp), feature0(tile.n0 + share.warp_f * kC.m_blocks() * kMmaM) {}

  __device__ int feature_of(int i) const { return feature0 + 8 * i + share.lane / 4; }

  /// Scales the sums of 8 tokens: d[m] holds an m16n8 block's.
  __device__ void scale(const float (&w)[kBlocks], const float (&x)[2], float (&d)[kC.m_blocks()][4]) const {
#pragma unroll
    for (int i = 0; i < kBlocks; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& sum = d[i / 2][i % 2 * 2 + j];
        sum = __fmul_rn(__fmul_rn(sum, w[i]), x[j]);
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
  const Epilogue<kC> epilogue(p, tile, share);
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
    const int inside = 2 * (share.lane % 4);
    epilogue.scale(scales.w, {scales.of_token(n, inside), scales.of_token(n, inside + 1)}, d);
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
  // A in fragment order: rows 0-7 and 8-15 of the lower chunk, then of the upper one. B: both chunks of 8 rows, then
  // of 8.
  const std::uint32_t w0 = swizzled<kRow>(0, share.warp_f * kC.m_blocks() * kMmaM + lane % 16, lane / 16);
  const std::uint32_t x0 =
      swizzled<kRow>(0, share.token0 + lane / 16 * 8 % (kN == 1 ? 8 : 16) + lane % 8, lane / 8 % 2);
  const int steps = ceil_div(p.k, kC.tile_k);
  for (int step = 0; step < steps; ++step) {
    wait(&smem.full[at.stage], at.phase);
    if constexpr (kN > 0) {
      const auto& stage = smem.stage[at.stage];
#pragma unroll
      for (int span = 0; span < kSpans<kC>; ++span) {
        if (span > 0 && step * kC.tile_k + span * kRow >= p.k) break;
        multiply_span<kC, kN>(sums, ptx::smem_address(stage.w) + w0 + span * kC.tile_f * kRow,
                              ptx::smem_address(stage.x) + x0 + span * kC.tile_t * kRow);
      }
    }
    __syncwarp();  // every lane has read the stage
    if (lane == 0) ptx::mbarrier_arrive(&smem.empty[at.stage]);
    at.advance();
  }
}

/// The next larger count of token groups for which there is a loop: 0, 1, 2, 4, 6, 8, 12, 16, at most `most`.
constexpr int next_groups(int groups, int most) {
  const int next = groups < 2 ? groups + 1 : groups < 8 ? groups + 2 : groups + 4;
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

/// m16n8 blocks of a warp beside which registers are left for the scales.
inline constexpr int kMostBlocksBesideScales = 24;

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
    Sums<kC> sums{};
    if constexpr (kC.m_blocks() * kC.n_blocks() <= kMostBlocksBesideScales) {
      const Scales<kC> scales(p, tile, share);
      multiply_groups<kC>(p, smem, at, sums, share);
      store_tile<kC>(p, sums, scales, tile, share);
    } else {
      multiply_groups<kC>(p, smem, at, sums, share);
      store_tile<kC>(p, sums, Scales<kC>(p, tile, share), tile, share);
    }
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
    ptx::fence_proxy_async();
  }
  __syncthreads();
  const auto warp = static_cast<int>(threadIdx.x / kWarpThreads);
  if (warp >= kC.mma_warps()) {
    if constexpr (kC.producer_warps() == 4) ptx::release_registers<kProducerRegisters>();
    if (warp == kC.mma_warps()) produce<kC>(p, smem);
  } else {
    if constexpr (kC.producer_warps() == 4) ptx::take_registers<kMmaWarpRegisters>();
    consume<kC>(p, smem);
  }
}

}  // namespace moesaic::kernels
