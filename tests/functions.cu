// The kernels' own functions, each element on its own, for functions_test.

#include "kernels/exponential.cuh"

extern "C" __global__ void exp_nonpositive(const float* x, float* y, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) y[i] = moesaic::kernels::exp_nonpositive(x[i]);
}

extern "C" __global__ void silu(const float* x, float* y, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) y[i] = moesaic::kernels::silu(x[i]);
}

extern "C" __global__ void sigmoid(const float* x, float* y, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) y[i] = moesaic::kernels::sigmoid(x[i]);
}
