#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "spec/device.hpp"

/// What a variant of the grouped GEMM is, what it needs, and whether that is legal. The only statement of legality.
namespace moesaic {

/// The compile-time choices of one variant of `moe_fp8_gemm`. Weights are the M operand ("features"), tokens are N.
struct Config {
  int tile_f = 0;         ///< features (output channels) of a tile
  int tile_t = 0;         ///< tokens of a tile
  int tile_k = 0;         ///< k of a stage, in elements; one e4m3 is one byte
  int stages = 0;         ///< depth of the ring
  int blocks_per_sm = 0;  ///< blocks meant to be resident on one SM of a 12.x card
};

/// The sizes of one grouped GEMM: out[r, n] for the rows r of every expert.
struct Problem {
  int experts = 0;
  int n = 0;  ///< output channels
  int k = 0;  ///< input channels
};

inline constexpr int kWarpThreads = 32;
/// Warps that multiply; each takes an equal share of a tile's features, so no sum is split between warps.
inline constexpr int kMmaWarps = 4;
/// The mma warps and one producer warp.
inline constexpr int kGemmThreads = (kMmaWarps + 1) * kWarpThreads;
/// Rows, columns and depth of one FP8 mma: m16n8k32.
inline constexpr int kMmaM = 16;
inline constexpr int kMmaN = 8;
inline constexpr int kMmaK = 32;
/// Bytes of a row in the 128-byte swizzle; a stage's rows are exactly that long.
inline constexpr int kSwizzleBytes = 128;
/// Alignment of whatever a 128-byte-swizzled tensor copy writes.
inline constexpr int kSwizzleAlignment = 1024;

/// How many pieces of `size` it takes to cover `total`; neither is negative, `size` is not 0.
template <class T>
constexpr T ceil_div(T total, T size) {
  return (total + size - 1) / size;
}

/// The tile that a stage belongs to, as the producer found it. expert < 0: there is no further tile.
struct Tile {
  std::int32_t expert;
  std::int32_t row0;  ///< first row of the tokens' matrix
  std::int32_t rows;  ///< rows that exist, at most tile_t
  std::int32_t n0;    ///< first feature
};

/// The shared memory of one block. Stages come first: the dynamic window starts aligned to 1024.
template <Config kC>
struct Smem {
  struct Stage {
    std::uint8_t w[kC.tile_f * kC.tile_k];  ///< [tile_f, tile_k] e4m3, 128-byte swizzle
    std::uint8_t x[kC.tile_t * kC.tile_k];  ///< [tile_t, tile_k] e4m3, 128-byte swizzle
  };
  alignas(kSwizzleAlignment) Stage stage[kC.stages];
  alignas(8) std::uint64_t full[kC.stages];   ///< mbarriers: the stage's bytes have arrived (1 arrival + bytes)
  alignas(8) std::uint64_t empty[kC.stages];  ///< mbarriers: every mma warp has read the stage
  Tile tile[kC.stages];
};

/// sizeof(Smem<config>) for a config known at run time; kernels assert that the two agree.
constexpr std::size_t smem_bytes(const Config& c) {
  const auto stages = static_cast<std::size_t>(c.stages);
  const std::size_t bytes =
      stages * (static_cast<std::size_t>((c.tile_f + c.tile_t) * c.tile_k) + 2 * sizeof(std::uint64_t) + sizeof(Tile));
  return (bytes + kSwizzleAlignment - 1) / kSwizzleAlignment * kSwizzleAlignment;
}

/// Why a config cannot be compiled at all; null when it can.
constexpr const char* why_illegal(const Config& c) {
  if (c.tile_k != kSwizzleBytes) return "tile_k is not 128: a row of a stage is one 128-byte swizzle span";
  if (c.tile_f <= 0 || c.tile_f % (kMmaM * kMmaWarps) != 0) {
    return "tile_f is not a multiple of 64: each of 4 mma warps takes rows of m16n8k32";
  }
  if (c.tile_f > 256 || c.tile_t > 256) return "a tile is wider than 256, the most that one tensor copy brings";
  if (c.tile_t != kMmaN && (c.tile_t <= 0 || c.tile_t % (2 * kMmaN) != 0)) {
    return "tile_t is neither 8 nor a multiple of 16: one ldmatrix brings one or two mma's columns";
  }
  if (c.stages < 2) return "fewer than 2 stages: the ring could not overlap copies with the multiply";
  if (c.blocks_per_sm < 1) return "blocks_per_sm is below 1";
  return nullptr;
}

/// Bytes that each block may take when `blocks` of them share an SM, the system's own share taken off.
constexpr std::size_t smem_share_bytes(const Device& device, int blocks) {
  const int share = device.smem_per_sm_bytes / blocks - device.smem_reserved_bytes;
  return static_cast<std::size_t>(share < device.smem_per_block_bytes ? share : device.smem_per_block_bytes);
}

/// Whether every block that the config counts on fits the shared memory of the device.
constexpr bool fits(const Config& c, const Device& device) {
  return why_illegal(c) == nullptr && smem_bytes(c) <= smem_share_bytes(device, c.blocks_per_sm);
}

/// The variant's one name, in lists, errors and JSON: "moe_fp8_gemm/f64t8k128.s5.c2".
inline std::string variant_name(const Config& c) {
  return "moe_fp8_gemm/f" + std::to_string(c.tile_f) + "t" + std::to_string(c.tile_t) + "k" + std::to_string(c.tile_k) +
         ".s" + std::to_string(c.stages) + ".c" + std::to_string(c.blocks_per_sm);
}

/// Whether the variant can run this problem on this device: empty when it can, else the reason as a sentence.
inline std::string valid(const Config& c, const Problem& problem, const Device& device) {
  if (const char* reason = why_illegal(c)) return reason;
  if (problem.k <= 0 || problem.k % 16 != 0) {
    return "k " + std::to_string(problem.k) +
           " is not a positive multiple of 16: a tensor copy's rows start at multiples of 16 bytes";
  }
  if (problem.n <= 0 || problem.n % 8 != 0) {
    return "n " + std::to_string(problem.n) + " is not a positive multiple of 8";
  }
  const bool known = device.capability() == 90 || device.capability() == 120 || device.capability() == 121;
  if (!known) {
    return "compute capability " + std::to_string(device.major) + "." + std::to_string(device.minor) +
           " is unknown here; this build has code for 9.0, 12.0 and 12.1";
  }
  if (!fits(c, device)) {
    return "needs " + std::to_string(smem_bytes(c)) + " bytes of shared memory in each of " +
           std::to_string(c.blocks_per_sm) + " blocks per SM; " + std::string(device.full_name) + " leaves " +
           std::to_string(smem_share_bytes(device, c.blocks_per_sm));
  }
  return {};
}

}  // namespace moesaic
