#pragma once

#include "ptx.cuh"
#include "sizes.hpp"

/// A chain of kernels each of which starts while the one before it still runs (programmatic dependent launch): what no
/// kernel writes is read before griddepcontrol.wait, what the one before wrote after it.
namespace moesaic::programs {

__device__ inline std::uint32_t mix(std::uint32_t value) {
  value = (value ^ value >> 16) * 0x45d9f3b;
  return value ^ value >> 15;
}

extern "C" __global__ void __launch_bounds__(kOverlapThreads)
    overlap(const std::uint32_t* weights, const std::uint32_t* from, std::uint32_t* to, unsigned shift) {
  __shared__ std::uint32_t own[kOverlapThreads];
  const unsigned count = gridDim.x * kOverlapThreads;
  const unsigned i = blockIdx.x * kOverlapThreads + threadIdx.x;
  std::uint32_t weight = weights[i];
  for (unsigned round = 0; round < 4 + blockIdx.x; ++round) weight = mix(weight);
  own[threadIdx.x] = weight;
  __syncthreads();
  if (blockIdx.x % 2 == 0) ptx::launch_dependents();
  ptx::wait_for_primary();
  to[i] = from[(i + shift) % count] * 3 + own[kOverlapThreads - 1 - threadIdx.x];
  if (blockIdx.x % 2 == 1) ptx::launch_dependents();
}

}  // namespace moesaic::programs
