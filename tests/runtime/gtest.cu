// A GoogleTest program as kernel engineers write it.

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

namespace {

__global__ void square(float* data, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) data[i] *= data[i];
}

class Square : public testing::TestWithParam<int> {};

TEST_P(Square, MatchesTheHost) {
  const int count = GetParam();
  std::vector<float> values(count);
  for (int i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  float* data = nullptr;
  ASSERT_EQ(cudaMalloc(&data, count * sizeof(float)), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(data, values.data(), count * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
  square<<<(count + 63) / 64, 64>>>(data, count);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(values.data(), data, count * sizeof(float), cudaMemcpyDeviceToHost), cudaSuccess);
  for (int i = 0; i < count; ++i) ASSERT_EQ(values[i], static_cast<float>(i * i));
  EXPECT_EQ(cudaFree(data), cudaSuccess);
}

INSTANTIATE_TEST_SUITE_P(Counts, Square, testing::Values(1, 64, 1000));

}  // namespace
