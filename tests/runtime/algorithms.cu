// CUB's and Thrust's algorithms, checked against the standard library's.

#include <thrust/device_vector.h>
#include <thrust/reduce.h>
#include <thrust/sequence.h>
#include <thrust/transform.h>

#include <algorithm>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>
#include <numeric>
#include <vector>

#include "runtime/check.hpp"

namespace {

constexpr int kCount = 5000;  // more than one tile of each algorithm

std::vector<unsigned> numbers() {
  std::vector<unsigned> values(kCount);
  unsigned state = 1;
  for (unsigned& value : values) value = (state = state * 1664525U + 1013904223U) >> 8;
  return values;
}

/// Runs an algorithm of CUB's: once to learn how much memory it wants, once to do it.
template <typename Algorithm>
void run(Algorithm&& algorithm) {
  std::size_t bytes = 0;
  SUCCEEDS(algorithm(nullptr, bytes));
  void* memory = nullptr;
  SUCCEEDS(cudaMalloc(&memory, bytes));
  SUCCEEDS(algorithm(memory, bytes));
  SUCCEEDS(cudaFree(memory));
}

std::vector<unsigned> download(const unsigned* from, int count) {
  std::vector<unsigned> values(count);
  SUCCEEDS(cudaMemcpy(values.data(), from, count * sizeof(unsigned), cudaMemcpyDeviceToHost));
  return values;
}

}  // namespace

int main() {
  const std::vector<unsigned> values = numbers();
  unsigned *from = nullptr, *to = nullptr;
  SUCCEEDS(cudaMalloc(&from, kCount * sizeof(unsigned)));
  SUCCEEDS(cudaMalloc(&to, kCount * sizeof(unsigned)));
  SUCCEEDS(cudaMemcpy(from, values.data(), kCount * sizeof(unsigned), cudaMemcpyHostToDevice));

  run([&](void* memory, std::size_t& bytes) { return cub::DeviceReduce::Sum(memory, bytes, from, to, kCount); });
  CHECK(download(to, 1)[0] == std::accumulate(values.begin(), values.end(), 0U));

  run([&](void* memory, std::size_t& bytes) { return cub::DeviceScan::InclusiveSum(memory, bytes, from, to, kCount); });
  std::vector<unsigned> expected(kCount);
  std::partial_sum(values.begin(), values.end(), expected.begin());
  CHECK(download(to, kCount) == expected);

  run([&](void* memory, std::size_t& bytes) {
    return cub::DeviceRadixSort::SortKeys(memory, bytes, from, to, kCount);
  });
  expected = values;
  std::sort(expected.begin(), expected.end());
  CHECK(download(to, kCount) == expected);

  thrust::device_vector<int> vector(1000);
  thrust::sequence(vector.begin(), vector.end());
  thrust::transform(vector.begin(), vector.end(), vector.begin(), [] __device__(int x) { return 2 * x; });
  CHECK(thrust::reduce(vector.begin(), vector.end()) == 999 * 1000);
  std::puts("ok");
  return 0;
}
