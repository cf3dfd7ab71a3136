#pragma once

#include "ptx.cuh"
#include "sizes.hpp"

/// Loops whose lanes take different numbers of steps, leave in the middle, call functions and meet again.
namespace moesaic::programs {

/// Not inlined, and calls itself.
__device__ __noinline__ std::uint32_t greatest_divisor(std::uint32_t a, std::uint32_t b) {
  return b == 0 ? a : greatest_divisor(b, a % b);
}

/// Steps of the Collatz sequence down to 1, at most `most`; 0 when there are more.
__device__ inline std::uint32_t collatz_steps(std::uint32_t value, std::uint32_t most) {
  std::uint32_t steps = 0;
  while (value != 1) {
    if (++steps > most) return 0;
    value = value % 2 == 0 ? value / 2 : 3 * value + 1;
  }
  return steps;
}

/// out[i] for the numbers of `in`: what it is depends on the way that the thread took.
extern "C" __global__ void __launch_bounds__(kDivergentThreads)
    divergent(const std::uint32_t* in, std::uint32_t* out, std::uint32_t count) {
  const unsigned i = blockIdx.x * kDivergentThreads + threadIdx.x;
  if (i >= count) return;
  const std::uint32_t value = in[i];
  if (value % 13 == 0) {
    out[i] = 1000000 + value;
    return;
  }
  std::uint32_t result = collatz_steps(value, 60);
  for (std::uint32_t round = 0; round < value % 5; ++round) {
    if (result % 7 == 3) continue;
    if (result > 5000) break;
    result = result * 3 + greatest_divisor(value, result + 1 + round);
  }
  const unsigned here = __activemask();
  const unsigned even = __ballot_sync(here, result % 2 == 0);
  // The lanes that are here agree on whether there is an even one among them, however many are here.
  switch ((even & (1U << threadIdx.x % 32)) != 0 ? value % 4 : 4) {
    case 0:
      result += 7;
      break;
    case 1:
      result ^= 0x55;
      [[fallthrough]];
    case 2:
      result *= 5;
      break;
    case 4:
      result += greatest_divisor(result, value);
      break;
    default:
      out[i] = result / 2;
      return;
  }
  out[i] = result;
}

}  // namespace moesaic::programs
