#pragma once

#include <cuda_runtime.h>

#include <cstdint>

/// The arguments of grouped_mm from a routing, on the device: what vLLM's get_cutlass_moe_mm_data computes
/// (csrc/libtorch_stable/quantization/w8a8/cutlass/moe/moe_data.cu at 031613cabc7c74b2b9975b956f7eefe63ced375c), with
/// plain pointers in place of tensors.
namespace moesaic::sm120 {

/// get_cutlass_moe_mm_data's arguments; all pointers are the device's. A layer has the GEMMs
/// [rows, k] x [k, n1] and [rows, n] x [n, k] for each expert, n1 being 2 n where the activation is gated, else n.
struct MoeMmDataArguments {
  int32_t const* topk_ids;      ///< [tokens, topk]: experts; -1 is nobody's
  int32_t* expert_offsets;      ///< [experts + 1]: first row of each, and the number of rows
  int32_t* problem_sizes1;      ///< [experts, 3]
  int32_t* problem_sizes2;      ///< [experts, 3]
  int32_t* input_permutation;   ///< [tokens * topk]: the token of each row
  int32_t* output_permutation;  ///< [tokens * topk]: the row of each id; of -1, the number of rows
  int experts;
  int n;
  int k;
  int32_t* blockscale_offsets;  ///< [experts + 1], rows rounded up to 128 each, or null
  bool is_gated;
  int tokens;
  int topk;
};

/// Whether the problem sizes are (n, rows, k), tokens as N, and not (rows, n, k): vLLM's rule.
inline bool tokens_as_n(MoeMmDataArguments const& args) {
  return args.blockscale_offsets == nullptr && args.tokens * args.topk <= 64;
}

inline constexpr int kMoeMmDataThreads = 256;

/// The sum of `value` over the block; every thread gets it. `scratch` has kMoeMmDataThreads / 32 places.
__device__ inline int block_sum(int value, int* scratch) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffU, value, step);
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  int sum = 0;
  for (int warp = 0; warp < kMoeMmDataThreads / 32; ++warp) sum += scratch[warp];
  return sum;
}

/// One block for each expert counts all ids, so that none waits for another. Rows of an expert are in the order of
/// their ids: the permutation is the same in every run (vLLM's is in the order of its atomics). Dynamic shared memory:
/// experts * 4 bytes.
template <bool kTokensAsN>
__global__ void __launch_bounds__(kMoeMmDataThreads) moe_mm_data(MoeMmDataArguments args) {
  extern __shared__ int counts[];
  __shared__ int scratch[kMoeMmDataThreads / 32];
  const int expert = blockIdx.x;
  const int ids = args.tokens * args.topk;
  for (int e = threadIdx.x; e < args.experts; e += blockDim.x) counts[e] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < ids; i += blockDim.x) {
    const int id = args.topk_ids[i];
    if (id >= 0 && id < args.experts) atomicAdd(&counts[id], 1);
  }
  __syncthreads();

  int before = 0;
  int before_rounded = 0;
  int all = 0;
  for (int e = threadIdx.x; e < args.experts; e += blockDim.x) {
    all += counts[e];
    if (e >= expert) continue;
    before += counts[e];
    before_rounded += (counts[e] + 127) / 128 * 128;
  }
  const int first = block_sum(before, scratch);
  const int first_rounded = block_sum(before_rounded, scratch);
  const int rows = block_sum(all, scratch);
  const int own = counts[expert];
  if (threadIdx.x == 0) {
    const auto write = [&](int32_t* sizes, int n, int k) {
      sizes[3 * expert] = kTokensAsN ? n : own;
      sizes[3 * expert + 1] = kTokensAsN ? own : n;
      sizes[3 * expert + 2] = k;
    };
    write(args.problem_sizes1, args.is_gated ? 2 * args.n : args.n, args.k);
    write(args.problem_sizes2, args.k, args.n);
    args.expert_offsets[expert] = first;
    if (args.blockscale_offsets != nullptr) args.blockscale_offsets[expert] = first_rounded;
    if (expert == args.experts - 1) {
      args.expert_offsets[args.experts] = rows;
      if (args.blockscale_offsets != nullptr) {
        args.blockscale_offsets[args.experts] = first_rounded + (own + 127) / 128 * 128;
      }
    }
  }

  int row = first;
  for (int i0 = 0; i0 < ids; i0 += blockDim.x) {
    const int i = i0 + static_cast<int>(threadIdx.x);
    const int id = i < ids ? args.topk_ids[i] : args.experts;
    const unsigned mine = __ballot_sync(0xffffffffU, id == expert);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = __popc(mine);
    __syncthreads();
    int place = row + __popc(mine & ((1U << (threadIdx.x % 32)) - 1));
    for (int warp = 0; warp < kMoeMmDataThreads / 32; ++warp) {
      if (warp < static_cast<int>(threadIdx.x) / 32) place += scratch[warp];
      row += scratch[warp];
    }
    if (id == expert) {
      args.input_permutation[place] = i / args.topk;
      args.output_permutation[i] = place;
    } else if (id == -1 && expert == 0) {
      args.output_permutation[i] = rows;
    }
  }
}

/// Launches it on `stream`. Errors are the launch's.
inline cudaError_t get_moe_mm_data(MoeMmDataArguments const& args, cudaStream_t stream) {
  const size_t smem_bytes = sizeof(int) * args.experts;
  if (tokens_as_n(args)) {
    moe_mm_data<true><<<args.experts, kMoeMmDataThreads, smem_bytes, stream>>>(args);
  } else {
    moe_mm_data<false><<<args.experts, kMoeMmDataThreads, smem_bytes, stream>>>(args);
  }
  return cudaGetLastError();
}

}  // namespace moesaic::sm120
