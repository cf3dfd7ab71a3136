#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "spec/device.hpp"
#include "spec/gemm.hpp"

/// What a variant of the grouped GEMM is, what it needs, and whether that is legal. The only statement of legality.
namespace moesaic {

/// The compile-time choices of one variant of `moe_fp8_gemm`. Weights are the M operand ("features"), tokens are N.
struct Config {
  int tile_f = 0;         ///< features (output channels) of a tile
  int tile_t = 0;         ///< tokens of a tile, at most; a tile of fewer rows computes groups of 8 that exist
  int tile_k = 0;         ///< k of a stage, in elements; one e4m3 is one byte
  int stages = 0;         ///< depth of the ring
  int blocks_per_sm = 0;  ///< blocks meant to be resident on one SM of a 12.x card
  int warps_f = 4;        ///< mma warps side by side over the features
  int warps_t = 1;        ///< mma warps side by side over the tokens; no sum is ever split between warps
  Multiply multiply = Multiply::fast;
  TokenFormat x_format = TokenFormat::e4m3;

  constexpr int mma_warps() const { return warps_f * warps_t; }
  /// Warps beside those that multiply: one finds tiles, one fills the ring. Where eight mma warps want more registers
  /// than an equal share they are a whole warpgroup, which gives its own away.
  constexpr int other_warps() const { return mma_warps() == 8 && m_blocks() * n_blocks() > 16 ? 4 : 2; }
  constexpr int threads() const { return 32 * (mma_warps() + other_warps()); }
  /// m16n8 blocks of one warp over its features and its tokens; each is four f32 sums in a register each.
  constexpr int m_blocks() const { return tile_f / warps_f / 16; }
  constexpr int n_blocks() const { return tile_t / warps_t / 8; }
};

/// The sizes and forms of one grouped GEMM: out[r, n] for the rows r of every expert.
struct Problem {
  int experts = 0;
  int n = 0;  ///< output channels
  int k = 0;  ///< input channels
  WeightLayout layout = WeightLayout::rows;
  TokenFormat x_format = TokenFormat::e4m3;
};

inline constexpr int kWarpThreads = 32;
/// Rows, columns and depth of one FP8 mma: m16n8k32.
inline constexpr int kMmaM = 16;
inline constexpr int kMmaN = 8;
inline constexpr int kMmaK = 32;
/// Widest row of a swizzled box, and of a panel of prepacked weights, in bytes.
inline constexpr int kPanelBytes = 128;
/// Alignment of whatever a 128-byte-swizzled tensor copy writes.
inline constexpr int kSwizzleAlignment = 1024;
/// Experts that one launch takes at most: what one block counts without a second level.
inline constexpr int kMaxExperts = 512;

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

/// Tiles that may be found before their copies begin.
inline constexpr int kFoundTiles = 2;

/// A tile as the scheduler found it.
struct FoundTile {
  Tile tile;
  std::int32_t only_one;  ///< not 0: no other tile reads the weights of this one
};

/// The shared memory of one block. Stages come first: the dynamic window starts aligned to 1024.
template <Config kC>
struct Smem {
  /// Rows of min(tile_k, 128) bytes, swizzled over as many; tile_k 256 is two such panels after each other.
  struct Stage {
    std::uint8_t w[kC.tile_f * kC.tile_k];  ///< [panels, tile_f, row] e4m3
    std::uint8_t x[kC.tile_t * kC.tile_k];  ///< [panels, tile_t, row] e4m3 or e5m2
  };
  alignas(kSwizzleAlignment) Stage stage[kC.stages];
  alignas(8) std::uint64_t full[kC.stages];           ///< mbarriers: the stage's bytes have arrived (1 arrival + bytes)
  alignas(8) std::uint64_t empty[kC.stages];          ///< mbarriers: every mma warp has read the stage
  alignas(8) std::uint64_t found_full[kFoundTiles];   ///< mbarriers: the scheduler has written found[i]
  alignas(8) std::uint64_t found_empty[kFoundTiles];  ///< mbarriers: the producer has read it
  Tile tile[kC.stages];
  FoundTile found[kFoundTiles];
};

/// sizeof(Smem<config>) for a config known at run time; kernels assert that the two agree.
constexpr std::size_t smem_bytes(const Config& c) {
  const auto stages = static_cast<std::size_t>(c.stages);
  const std::size_t bytes =
      stages * (static_cast<std::size_t>((c.tile_f + c.tile_t) * c.tile_k) + 2 * sizeof(std::uint64_t) + sizeof(Tile)) +
      kFoundTiles * (2 * sizeof(std::uint64_t) + sizeof(FoundTile));
  return (bytes + kSwizzleAlignment - 1) / kSwizzleAlignment * kSwizzleAlignment;
}

/// Registers that a thread may have so that the config's blocks fit an SM of 64 K registers: a warp's registers come
/// from one of four schedulers, in units of 8 a thread.
constexpr int registers_at_launch(const Config& c) {
  const int warps_of_scheduler = ceil_div(c.threads() / kWarpThreads * c.blocks_per_sm, 4);
  return std::min(255, 65536 / 4 / kWarpThreads / warps_of_scheduler / 8 * 8);
}

/// setmaxnreg of the mma warps and of the others, where those are a warpgroup; 8 * 224 + 4 * 56 = 12 * 168.
inline constexpr int kMmaWarpRegisters = 224;
inline constexpr int kOtherWarpRegisters = 56;

/// Registers of an mma warp's thread.
constexpr int mma_registers(const Config& c) {
  return c.other_warps() == 4 ? kMmaWarpRegisters : registers_at_launch(c);
}

/// Why a config cannot be compiled at all; null when it can.
constexpr const char* why_illegal(const Config& c) {
  if (c.tile_k != 64 && c.tile_k != 128 && c.tile_k != 256) {
    return "tile_k is not 64, 128 or 256: a row of a stage is one span of the 64-byte or the 128-byte swizzle, or two";
  }
  if (c.warps_f < 1 || c.warps_t < 1 || c.mma_warps() > 8) return "there are not 1 to 8 mma warps";
  if (c.tile_f <= 0 || c.tile_f % (kMmaM * c.warps_f) != 0) {
    return "tile_f is not a multiple of 16 times warps_f: each mma warp takes rows of m16n8k32";
  }
  if (c.tile_t <= 0 || c.tile_t % (kMmaN * c.warps_t) != 0) {
    return "tile_t is not a multiple of 8 times warps_t: each mma warp takes columns of m16n8k32";
  }
  if (c.tile_f > 256) return "tile_f is above 256, the most rows that one tensor copy brings";
  if (c.tile_t > 256) return "tile_t is above 256: the boxes of 1 to 128 tokens cover no more";
  if (c.stages < 2) return "fewer than 2 stages: the ring could not overlap copies with the multiply";
  if (c.blocks_per_sm < 1) return "blocks_per_sm is below 1";
  if (c.other_warps() == 4 && c.blocks_per_sm != 1) {
    return "setmaxnreg shares out the registers of a whole SM: 8 mma warps need blocks_per_sm 1";
  }
  if (c.m_blocks() * c.n_blocks() * 4 + 64 > mma_registers(c)) {
    return "the sums leave fewer than 64 registers of a thread for everything else";
  }
  return nullptr;
}

/// Bytes that each block may take when `blocks` of them share an SM, the system's own share taken off.
constexpr std::size_t smem_share_bytes(const Device& device, int blocks) {
  const int share = device.smem_per_sm_bytes / blocks - device.smem_reserved_bytes;
  return static_cast<std::size_t>(share < device.smem_per_block_bytes ? share : device.smem_per_block_bytes);
}

/// Blocks of the config that one SM of the device holds: by shared memory, registers and threads.
constexpr int resident_blocks(const Config& c, const Device& device) {
  const auto per_block = static_cast<int>(smem_bytes(c)) + device.smem_reserved_bytes;
  if (smem_bytes(c) > static_cast<std::size_t>(device.smem_per_block_bytes)) return 0;
  const int by_smem = device.smem_per_sm_bytes / per_block;
  const int by_registers = device.registers_per_sm / (registers_at_launch(c) * c.threads());
  const int by_threads = device.threads_per_sm / c.threads();
  return std::min({by_smem, by_registers, by_threads, device.blocks_per_sm});
}

/// Whether every block that the config counts on fits the device.
constexpr bool fits(const Config& c, const Device& device) {
  return why_illegal(c) == nullptr && resident_blocks(c, device) >= c.blocks_per_sm;
}

/// The variant's one name, in lists, errors and JSON: "moe_fp8_gemm/f64t8k128.s5.c2.w4x1"; ".plain" and ".e5m2" behind
/// it say what is not the default.
inline std::string variant_name(const Config& c) {
  return "moe_fp8_gemm/f" + std::to_string(c.tile_f) + "t" + std::to_string(c.tile_t) + "k" + std::to_string(c.tile_k) +
         ".s" + std::to_string(c.stages) + ".c" + std::to_string(c.blocks_per_sm) + ".w" + std::to_string(c.warps_f) +
         "x" + std::to_string(c.warps_t) + (c.multiply == Multiply::plain ? ".plain" : "") +
         (c.x_format == TokenFormat::e5m2 ? ".e5m2" : "");
}

/// Whether there is code for the device, whatever the variant: empty when there is, else the reason as a sentence.
inline std::string why_no_code(const Device& device) {
  const int capability = device.capability();
  if (capability == 90 || capability == 120 || capability == 121) return {};
  return "compute capability " + std::to_string(device.major) + "." + std::to_string(device.minor) +
         " is unknown here; this build has code for 9.0, 12.0 and 12.1";
}

namespace detail {

/// What the problem's sizes and forms demand of a variant.
inline std::string why_not_problem(const Config& c, const Problem& problem) {
  if (problem.experts < 1 || problem.experts > kMaxExperts) {
    return std::to_string(problem.experts) + " experts are not between 1 and " + std::to_string(kMaxExperts);
  }
  if (problem.k <= 0 || problem.k % 16 != 0) {
    return "k " + std::to_string(problem.k) +
           " is not a positive multiple of 16: a tensor copy's rows start at multiples of 16 bytes";
  }
  if (problem.n <= 0 || problem.n % 8 != 0) {
    return "n " + std::to_string(problem.n) + " is not a positive multiple of 8: a row is stored 8 channels at a time";
  }
  if (problem.x_format != c.x_format) {
    return std::string("multiplies tokens in ") + (c.x_format == TokenFormat::e4m3 ? "e4m3" : "e5m2") + ", not in " +
           (problem.x_format == TokenFormat::e4m3 ? "e4m3" : "e5m2");
  }
  if (problem.layout == WeightLayout::panels && c.tile_k < kPanelBytes) {
    return "tile_k " + std::to_string(c.tile_k) + " is less than the 128 of a panel of prepacked weights";
  }
  return {};
}

/// Which of an SM's resources is too small for the blocks that a legal config counts on; shared memory first.
inline std::string what_is_short(const Config& c, const Device& device) {
  const auto sentence = [&](const std::string& need, const std::string& of_what, std::int64_t left) {
    return "needs " + need + of_what + " in each of " + std::to_string(c.blocks_per_sm) + " blocks per SM; " +
           std::string(device.full_name) + " leaves " + std::to_string(left);
  };
  const auto share = std::max(std::int64_t{0}, static_cast<std::int64_t>(smem_share_bytes(device, c.blocks_per_sm)));
  if (static_cast<std::int64_t>(smem_bytes(c)) > share) {
    return sentence(std::to_string(smem_bytes(c)), " bytes of shared memory", share);
  }
  const int registers = registers_at_launch(c) * c.threads();
  if (registers > device.registers_per_sm / c.blocks_per_sm) {
    return sentence(std::to_string(registers), " registers", device.registers_per_sm / c.blocks_per_sm);
  }
  if (c.threads() > device.threads_per_sm / c.blocks_per_sm) {
    return sentence(std::to_string(c.threads()), " threads", device.threads_per_sm / c.blocks_per_sm);
  }
  return "counts on " + std::to_string(c.blocks_per_sm) + " blocks per SM; " + std::string(device.full_name) +
         " holds " + std::to_string(device.blocks_per_sm);
}

}  // namespace detail

/// Whether the variant can run this problem on this device: empty when it can, else the reason as a sentence.
inline std::string valid(const Config& c, const Problem& problem, const Device& device) {
  if (const char* reason = why_illegal(c)) return reason;
  if (std::string reason = detail::why_not_problem(c, problem); !reason.empty()) return reason;
  if (std::string reason = why_no_code(device); !reason.empty()) return reason;
  if (c.multiply == Multiply::plain && device.major != 12) {
    return "kind::f8f6f4 is an instruction of compute capability 12.x; " + std::string(device.full_name) + " has " +
           std::to_string(device.major) + "." + std::to_string(device.minor);
  }
  if (!fits(c, device)) return detail::what_is_short(c, device);
  return {};
}

}  // namespace moesaic
