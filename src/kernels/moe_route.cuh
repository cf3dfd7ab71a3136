#pragma once

#include "kernels/moe_choose.cuh"
#include "kernels/moe_sort.cuh"
#include "kernels/ptx.cuh"

/// The router: tokens to experts, weights and rows of the grouped GEMMs in one launch (reference/layer.hpp, step 1).
///   logits -> expert, weight [T, top_k] -> first [E + 1], row [T, top_k]
/// Grid: for each tile of tokens as many blocks of kRouteThreads threads as tiles of experts, at least one tile. Each
/// block computes the logits of its tile (moe_logits.cuh). The last block of a tile of tokens chooses for them
/// (moe_choose.cuh, a warp a token), and the last of these blocks sorts the rows (moe_sort.cuh). Nobody waits for
/// another block: who is last is told by counters, whose acquire and release also make visible what was written.
namespace moesaic::kernels {

/// Whether this block is the last of `count` that come here. What all of them wrote before is then visible to it, and
/// the counter is zero again. All threads call.
__device__ inline bool is_last(std::uint32_t* counter, int count) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    last = ptx::atom_add_acq_rel(counter, 1) == static_cast<std::uint32_t>(count) - 1;
    if (last) *counter = 0;
  }
  __syncthreads();
  return last;
}

template <RouteShape kShape, class Weight>
__device__ void moe_route(const MoeRouteParams& p) {
  __shared__ SortCounts counts;
  ptx::griddepcontrol_wait();
  ptx::griddepcontrol_launch_dependents();
  const int expert_tiles = ceil_div(p.experts, tile_experts(kShape));
  const int token_tiles = max(ceil_div(p.tokens, tile_tokens(kShape)), 1);
  const int token_tile = static_cast<int>(blockIdx.x) / expert_tiles;
  const int expert0 = static_cast<int>(blockIdx.x) % expert_tiles * tile_experts(kShape);
  const int token0 = token_tile * tile_tokens(kShape);
  const int warp = static_cast<int>(threadIdx.x / kWarpThreads);
  moe_logits<kShape, Weight>(p, expert0 + warp / kShape.token_warps * kShape.experts,
                             token0 + warp % kShape.token_warps * kShape.tokens);
  if (!is_last(&p.finished[token_tile], expert_tiles)) return;

  const int end = min(token0 + tile_tokens(kShape), p.tokens);
  for (int token = token0 + warp; token < end; token += kRouteWarps) moe_choose(p, token);
  if (is_last(&p.finished[token_tiles], token_tiles)) moe_sort(p, counts);
}

}  // namespace moesaic::kernels
