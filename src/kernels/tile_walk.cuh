#pragma once

#include <cstdint>

#include "spec/config.hpp"

/// The tile scheduler of the grouped GEMM: which tile has a given number, when only the card knows how many rows each
/// expert has.
namespace moesaic::kernels {

/// Walks the tiles of a ragged problem in order: expert, then feature tile, then token tile, so that blocks running
/// side by side share the weights in L2. An expert's rows are shared out evenly over as few token tiles as hold them,
/// in multiples of 8 rows. The whole warp works on a step: each lane counts the tiles of four experts after each other,
/// and remembers them, so that the experts are read once.
template <int kTileF, int kTileT>
class TileWalk {
 public:
  __device__ TileWalk(const std::int32_t* first, int experts, int n)
      : first_(first), experts_(experts), f_tiles_(ceil_div(n, kTileF)) {
    load();
  }

  /// The tile of that number; `index` must not decrease from call to call. All 32 lanes call and get the same answer.
  __device__ FoundTile find(int index) {
    while (index >= before_ + total_) {
      if (expert0_ + kGroup >= experts_) return {{-1, 0, 0, 0}, 0};
      before_ += total_;
      expert0_ += kGroup;
      load();
    }
    const unsigned reached = __ballot_sync(kAll, index < before_ + through_);
    const int owner = __ffs(static_cast<int>(reached)) - 1;
    int local = index - before_ - (through_ - tiles_);  // counted from the lane's first tile
    int i = 0;
#pragma unroll
    for (int next = 0; next < kEach - 1; ++next) {
      const int tiles = t_tiles(next) * f_tiles_;
      if (i == next && local >= tiles) {
        local -= tiles;
        ++i;
      }
    }
    FoundTile found = tile_of(i, local);
    found.tile.expert = __shfl_sync(kAll, found.tile.expert, owner);
    found.tile.row0 = __shfl_sync(kAll, found.tile.row0, owner);
    found.tile.rows = __shfl_sync(kAll, found.tile.rows, owner);
    found.tile.n0 = __shfl_sync(kAll, found.tile.n0, owner);
    found.only_one = __shfl_sync(kAll, found.only_one, owner);
    return found;
  }

  /// Tiles up to where the walk stands: all of them, once find() has found no more.
  __device__ int passed() const {
    return before_ + total_;
  }

 private:
  static constexpr unsigned kAll = 0xffffffffU;
  static constexpr int kEach = 4;  ///< experts of a lane
  static constexpr int kGroup = kEach * kWarpThreads;

  __device__ int t_tiles(int i) const {
    return ceil_div(bound_[i + 1] - bound_[i], kTileT);
  }

  /// Reads the rows of the 128 experts from expert0_ and counts their tiles.
  __device__ void load() {
    const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
#pragma unroll
    for (int i = 0; i <= kEach; ++i) bound_[i] = first_[min(expert0_ + lane * kEach + i, experts_)];
    tiles_ = 0;
#pragma unroll
    for (int i = 0; i < kEach; ++i) tiles_ += t_tiles(i) * f_tiles_;
    through_ = tiles_;
#pragma unroll
    for (int distance = 1; distance < kWarpThreads; distance *= 2) {
      const int lower = __shfl_up_sync(kAll, through_, distance);
      if (lane >= distance) through_ += lower;
    }
    total_ = __shfl_sync(kAll, through_, kWarpThreads - 1);
  }

  /// Tile `local` of the lane's expert `i`.
  __device__ FoundTile tile_of(int i, int local) const {
    int begin = 0;
    int rows = 0;
#pragma unroll
    for (int j = 0; j < kEach; ++j) {  // registers have no index
      if (i == j) {
        begin = bound_[j];
        rows = bound_[j + 1] - begin;
      }
    }
    const int tiles = max(1, ceil_div(rows, kTileT));
    const int each = ceil_div(ceil_div(rows, tiles), kMmaN) * kMmaN;
    const int t_tile = local % tiles;
    const int f_tile = local / tiles;
    const auto lane = static_cast<int>(threadIdx.x % kWarpThreads);
    return {{expert0_ + lane * kEach + i, begin + t_tile * each, min(rows - t_tile * each, each), f_tile * kTileF},
            tiles == 1 ? 1 : 0};
  }

  const std::int32_t* first_;
  int experts_;
  int f_tiles_;
  int expert0_ = 0;       ///< first expert of the group looked at
  int before_ = 0;        ///< tiles of all experts below expert0_
  int bound_[kEach + 1];  ///< first rows of this lane's experts, and the row after the last
  int tiles_;             ///< of this lane's experts
  int through_;           ///< of this lane's experts and those of lower lanes
  int total_;             ///< of the group
};

}  // namespace moesaic::kernels
