// Programs with a bug each, chosen by name: `bugs race`. Their own checks may pass.

#include <cstring>

#include "runtime/check.hpp"

namespace {

__global__ void reverse_without_barrier(int* to) {
  __shared__ int shared[64];
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  to[threadIdx.x] = shared[63 - threadIdx.x];
}

__global__ void copy_uninitialised(const int* from, int* to) {
  to[threadIdx.x] = from[threadIdx.x] + 1;
}

__global__ void write_past_the_end(int* to) {
  to[threadIdx.x + 1] = 1;
}

__global__ void wait_alone() {
  if (threadIdx.x < 32) asm volatile("barrier.sync 1, 64;");
}

}  // namespace

int main(int count, char** arguments) {
  const char* bug = count > 1 ? arguments[1] : "";
  int *from = nullptr, *to = nullptr;
  SUCCEEDS(cudaMalloc(&from, 64 * sizeof(int)));
  SUCCEEDS(cudaMalloc(&to, 64 * sizeof(int)));
  SUCCEEDS(cudaMemset(to, 0, 64 * sizeof(int)));
  if (std::strcmp(bug, "race") == 0) reverse_without_barrier<<<1, 64>>>(to);
  if (std::strcmp(bug, "undefined") == 0) copy_uninitialised<<<1, 32>>>(from, to);
  if (std::strcmp(bug, "out_of_bounds") == 0) write_past_the_end<<<1, 64>>>(to);
  if (std::strcmp(bug, "deadlock") == 0) wait_alone<<<1, 64>>>();
  cudaDeviceSynchronize();
  std::puts("ended");
  return 0;
}
