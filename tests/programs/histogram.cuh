#pragma once

#include "ptx.cuh"
#include "sizes.hpp"

/// Counts how often each value comes, in shared memory and then in global memory; and the extremes.
namespace moesaic::programs {

struct Extremes {
  std::uint32_t least;
  std::uint32_t greatest;
  std::uint32_t all_bits;
  std::uint32_t odd_bits;  ///< exclusive or
  unsigned long long sum;
};

extern "C" __global__ void __launch_bounds__(kHistogramThreads)
    histogram(const std::uint32_t* in, std::uint32_t count, std::uint32_t* bins, Extremes* extremes) {
  __shared__ std::uint32_t own[kHistogramBins];
  for (unsigned i = threadIdx.x; i < kHistogramBins; i += kHistogramThreads) own[i] = 0;
  __syncthreads();
  for (unsigned i = blockIdx.x * kHistogramThreads + threadIdx.x; i < count; i += gridDim.x * kHistogramThreads) {
    const std::uint32_t value = in[i];
    atomicAdd(&own[value % kHistogramBins], 1);
    atomicMin(&extremes->least, value);
    atomicMax(&extremes->greatest, value);
    atomicOr(&extremes->all_bits, value);
    atomicXor(&extremes->odd_bits, value);
    atomicAdd(&extremes->sum, static_cast<unsigned long long>(value) * value);
  }
  __syncthreads();
  for (unsigned i = threadIdx.x; i < kHistogramBins; i += kHistogramThreads) {
    if (own[i] != 0) atomicAdd(&bins[i], own[i]);
  }
}

}  // namespace moesaic::programs
