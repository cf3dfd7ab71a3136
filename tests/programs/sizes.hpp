#pragma once

#include <cstdint>

/// What the programs' kernels and their hosts agree on.
namespace moesaic::programs {

inline constexpr unsigned kScanThreads = 128;
inline constexpr unsigned kScanItems = 4;  ///< of a thread
inline constexpr unsigned kScanBlocks = 40;

inline constexpr unsigned kHistogramThreads = 96;
inline constexpr unsigned kHistogramBlocks = 5;
inline constexpr unsigned kHistogramBins = 64;

inline constexpr int kGemmTile = 64;   ///< rows of A and of B in a tile
inline constexpr int kGemmTileK = 64;  ///< bf16: 128 bytes
inline constexpr int kGemmStages = 3;
inline constexpr unsigned kGemmThreads = 160;  ///< four mma warps and a producer

inline constexpr int kStoreRows = 64;  ///< of a tile
inline constexpr int kStoreColumns = 64;
inline constexpr unsigned kStoreThreads = 128;

/// One matrix of 32-bit integers of the pointer array.
struct PointerArrayItem {
  const std::uint32_t* data;
  std::uint32_t rows;
  std::uint32_t columns;
};
inline constexpr unsigned kPointerArrayBox = 8;  ///< rows of a box, which has 32 columns
inline constexpr unsigned kPointerArrayThreads = 64;

inline constexpr unsigned kDivergentThreads = 64;
inline constexpr unsigned kOverlapThreads = 64;

}  // namespace moesaic::programs
