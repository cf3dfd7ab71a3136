// A Google Benchmark program with a kernel. What it measures on an emulated card says nothing.

#include <benchmark/benchmark.h>
#include <cuda_runtime.h>

namespace {

__global__ void fill(int* data) {
  data[blockIdx.x * blockDim.x + threadIdx.x] = 1;
}

void fill_memory(benchmark::State& state) {
  int* data = nullptr;
  cudaMalloc(&data, 1024 * sizeof(int));
  cudaEvent_t start = nullptr, end = nullptr;
  cudaEventCreate(&start);
  cudaEventCreate(&end);
  for (auto _ : state) {
    cudaEventRecord(start);
    fill<<<8, 128>>>(data);
    cudaEventRecord(end);
    if (cudaEventSynchronize(end) != cudaSuccess) state.SkipWithError("the kernel failed");
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, start, end);
    state.SetIterationTime(milliseconds / 1000);
  }
  cudaFree(data);
}
BENCHMARK(fill_memory)->UseManualTime()->Iterations(3);

}  // namespace

BENCHMARK_MAIN();
