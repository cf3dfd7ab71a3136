#pragma once

#include "kernels/params.hpp"
#include "kernels/ptx.cuh"

/// Adds the rows of each token's experts, weighted, in slot order:
///   out[t, :] = sum_j weight[t, j] * down[row[t, j], :]      grid: one block a token, kRowThreads threads
namespace moesaic::kernels {

__device__ inline void moe_combine(const MoeCombineParams& p) {
  ptx::griddepcontrol_wait();
  ptx::griddepcontrol_launch_dependents();
  const std::int64_t token = blockIdx.x;
  const std::int32_t* row = p.row + token * p.top_k;
  const float* weight = p.weight + token * p.top_k;
  for (int i = static_cast<int>(threadIdx.x); i < p.hidden; i += kRowThreads) {
    float sum = 0;
    for (int j = 0; j < p.top_k; ++j) {
      sum = __fmaf_rn(weight[j], p.down[static_cast<std::int64_t>(row[j]) * p.hidden + i], sum);
    }
    p.out[token * p.hidden + i] = sum;
  }
}

}  // namespace moesaic::kernels
