#pragma once

#include "kernels/params.hpp"
#include "spec/config.hpp"

/// The (token, slot) pairs sorted by expert, within an expert by token, by one block of kRouteThreads threads:
///   first[e] = pairs of the experts below e,  row[pair] = first[expert[pair]] + pairs of that expert in front of it
/// A counting sort. Each warp takes a section of the pairs, so that a section's pairs stand behind those of the
/// sections in front: it counts them, the block adds the counts up, and it hands out the rows.
/// Shared memory: a count for each warp and expert, 16 KiB, and the warps' totals.
namespace moesaic::kernels {

struct SortCounts {
  std::int32_t next[kRouteWarps][kMostRoutedExperts];  ///< first counts, then the next row that is free
  std::int32_t of_warp[kRouteWarps];                   ///< rows of the experts that a warp's threads add up
};

/// Turns counts into the first row of each section and expert, and writes `first`. Each thread adds up neighbouring
/// experts.
__device__ inline void count_up(SortCounts& counts, std::int32_t* first, int experts) {
  constexpr int kEach = kMostRoutedExperts / kRouteThreads;
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / kWarpThreads;
  const int lane = thread % kWarpThreads;
  std::int32_t mine = 0;
  for (int e = thread * kEach; e < (thread + 1) * kEach; ++e) {
    for (int section = 0; section < kRouteWarps; ++section) mine += counts.next[section][e];
  }
  std::int32_t through = mine;  // becomes the rows through this thread's experts
  for (int distance = 1; distance < kWarpThreads; distance *= 2) {
    const std::int32_t lower = __shfl_up_sync(0xffffffffU, through, distance);
    if (lane >= distance) through += lower;
  }
  if (lane == kWarpThreads - 1) counts.of_warp[warp] = through;
  __syncthreads();
  std::int32_t row = through - mine;
  for (int below = 0; below < warp; ++below) row += counts.of_warp[below];
  for (int e = thread * kEach; e < (thread + 1) * kEach; ++e) {
    if (e <= experts) first[e] = row;
    for (int section = 0; section < kRouteWarps; ++section) {
      const std::int32_t count = counts.next[section][e];
      counts.next[section][e] = row;
      row += count;
    }
  }
  if (thread == kRouteThreads - 1 && experts == kMostRoutedExperts) first[experts] = row;
}

/// Hands out the rows of the pairs [begin, end), in order. `next` is the warp's own.
__device__ inline void place_pairs(const MoeRouteParams& p, std::int32_t* next, int begin, int end) {
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  const auto expert_of = [&](int pair) { return pair < end ? p.expert[pair] : -1; };
  std::int32_t coming = expert_of(begin + lane);
  for (int pair0 = begin; pair0 < end; pair0 += kWarpThreads) {
    const std::int32_t expert = coming;
    coming = expert_of(pair0 + kWarpThreads + lane);  // on its way while this one is placed
    const unsigned same = __match_any_sync(0xffffffffU, expert);
    const int before = __popc(same & ((1U << lane) - 1));
    if (expert >= 0) p.row[pair0 + lane] = next[expert] + before;
    __syncwarp();
    if (expert >= 0 && before == 0) next[expert] += __popc(same);
    __syncwarp();
  }
}

__device__ inline void moe_sort(const MoeRouteParams& p, SortCounts& counts) {
  const int warp = static_cast<int>(threadIdx.x / kWarpThreads);
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  std::int32_t* next = counts.next[warp];
  for (int e = lane; e < kMostRoutedExperts; e += kWarpThreads) next[e] = 0;
  __syncwarp();
  const int pairs = p.tokens * p.top_k;
  const int section = ceil_div(ceil_div(pairs, kRouteWarps), kWarpThreads) * kWarpThreads;
  const int begin = min(warp * section, pairs);
  const int end = min(begin + section, pairs);
  for (int pair = begin + lane; pair < end; pair += kWarpThreads) atomicAdd(&next[p.expert[pair]], 1);
  __syncthreads();
  count_up(counts, p.first, p.experts);
  __syncthreads();
  place_pairs(p, next, begin, end);
}

}  // namespace moesaic::kernels
