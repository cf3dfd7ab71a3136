// The first program of every tutorial, as one writes it: nothing is said of streams, nothing is synchronized.

#include <vector>

#include "runtime/check.hpp"

__device__ int blocks_done = 5;
__constant__ float factor;

__global__ void add(const float* x, const float* y, float* sum, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) sum[i] = x[i] + factor * y[i];
  if (threadIdx.x == 0) atomicAdd(&blocks_done, 1);
}

int main() {
  constexpr int kCount = 1000;
  std::vector<float> x(kCount), y(kCount), sum(kCount);
  for (int i = 0; i < kCount; ++i) {
    x[i] = static_cast<float>(i);
    y[i] = static_cast<float>(3 * i);
  }
  const float two = 2;
  SUCCEEDS(cudaMemcpyToSymbol(factor, &two, sizeof two));
  float *device_x = nullptr, *device_y = nullptr, *device_sum = nullptr;
  SUCCEEDS(cudaMalloc(&device_x, kCount * sizeof(float)));
  SUCCEEDS(cudaMalloc(&device_y, kCount * sizeof(float)));
  SUCCEEDS(cudaMalloc(&device_sum, kCount * sizeof(float)));
  SUCCEEDS(cudaMemcpy(device_x, x.data(), kCount * sizeof(float), cudaMemcpyHostToDevice));
  SUCCEEDS(cudaMemcpy(device_y, y.data(), kCount * sizeof(float), cudaMemcpyHostToDevice));
  add<<<(kCount + 127) / 128, 128>>>(device_x, device_y, device_sum, kCount);
  SUCCEEDS(cudaMemcpy(sum.data(), device_sum, kCount * sizeof(float), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i) CHECK(sum[i] == static_cast<float>(7 * i));
  int done = 0;
  SUCCEEDS(cudaMemcpyFromSymbol(&done, blocks_done, sizeof done));
  CHECK(done == 5 + 8);
  SUCCEEDS(cudaFree(device_x));
  SUCCEEDS(cudaFree(device_y));
  SUCCEEDS(cudaFree(device_sum));
  std::puts("ok");
  return 0;
}
