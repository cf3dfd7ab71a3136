// Graphs, made by hand and by capturing streams.

#include <vector>

#include "runtime/check.hpp"

namespace {

__global__ void add(int* to, int value) {
  atomicAdd(to, value);
}

__global__ void twice(int* to) {
  *to *= 2;
}

int read(const int* from) {
  int value = 0;
  SUCCEEDS(cudaMemcpy(&value, from, sizeof value, cudaMemcpyDeviceToHost));
  return value;
}

void captured_streams() {
  cudaStream_t stream = nullptr, other = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  SUCCEEDS(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  SUCCEEDS(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  SUCCEEDS(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  SUCCEEDS(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  int *a = nullptr, *b = nullptr;
  SUCCEEDS(cudaMalloc(&a, sizeof(int)));
  SUCCEEDS(cudaMalloc(&b, sizeof(int)));
  SUCCEEDS(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  SUCCEEDS(cudaMemsetAsync(a, 0, sizeof(int), stream));
  SUCCEEDS(cudaEventRecord(fork, stream));
  SUCCEEDS(cudaStreamWaitEvent(other, fork, 0));
  add<<<1, 10, 0, stream>>>(a, 1);
  SUCCEEDS(cudaMemsetAsync(b, 0, sizeof(int), other));
  add<<<1, 1, 0, other>>>(b, 5);
  SUCCEEDS(cudaEventRecord(join, other));
  SUCCEEDS(cudaStreamWaitEvent(stream, join, 0));
  twice<<<1, 1, 0, stream>>>(a);
  SUCCEEDS(cudaMemcpyAsync(b, a, sizeof(int), cudaMemcpyDeviceToDevice, stream));
  cudaStreamCaptureStatus status{};
  SUCCEEDS(cudaStreamIsCapturing(other, &status));
  CHECK(status == cudaStreamCaptureStatusActive);
  cudaGraph_t graph = nullptr;
  SUCCEEDS(cudaStreamEndCapture(stream, &graph));
  std::size_t nodes = 0, roots = 0;
  SUCCEEDS(cudaGraphGetNodes(graph, nullptr, &nodes));
  SUCCEEDS(cudaGraphGetRootNodes(graph, nullptr, &roots));
  CHECK(nodes == 6 && roots == 1);
  cudaGraphExec_t ready = nullptr;
  SUCCEEDS(cudaGraphInstantiate(&ready, graph, 0));
  for (int i = 0; i < 3; ++i) {
    SUCCEEDS(cudaGraphLaunch(ready, stream));
    SUCCEEDS(cudaStreamSynchronize(stream));
    CHECK(read(a) == 20 && read(b) == 20);
  }
  SUCCEEDS(cudaGraphExecDestroy(ready));
  SUCCEEDS(cudaGraphDestroy(graph));
  // What cannot be captured spoils the capture.
  SUCCEEDS(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  GIVES(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  GIVES(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);
  cudaGetLastError();
  SUCCEEDS(cudaStreamDestroy(stream));
  SUCCEEDS(cudaStreamDestroy(other));
}

void graph_by_hand() {
  int* data = nullptr;
  SUCCEEDS(cudaMalloc(&data, sizeof(int)));
  cudaGraph_t graph = nullptr;
  SUCCEEDS(cudaGraphCreate(&graph, 0));
  cudaMemsetParams fill{};
  fill.dst = data;
  fill.value = 3;
  fill.elementSize = 4;
  fill.width = fill.height = 1;
  cudaGraphNode_t first = nullptr, second = nullptr, third = nullptr, host = nullptr;
  SUCCEEDS(cudaGraphAddMemsetNode(&first, graph, nullptr, 0, &fill));
  int value = 4;
  void* arguments[] = {&data, &value};
  cudaKernelNodeParams kernel{};
  kernel.func = reinterpret_cast<void*>(add);
  kernel.gridDim = kernel.blockDim = dim3(1);
  kernel.kernelParams = arguments;
  SUCCEEDS(cudaGraphAddKernelNode(&second, graph, &first, 1, &kernel));
  int result = 0;
  SUCCEEDS(cudaGraphAddMemcpyNode1D(&third, graph, &second, 1, &result, data, sizeof result, cudaMemcpyDeviceToHost));
  int seen = 0;
  struct Both {
    int* from;
    int* to;
  } both{&result, &seen};
  cudaHostNodeParams call{};
  call.fn = [](void* data) { *static_cast<Both*>(data)->to = *static_cast<Both*>(data)->from; };
  call.userData = &both;
  SUCCEEDS(cudaGraphAddHostNode(&host, graph, &third, 1, &call));
  cudaGraphExec_t ready = nullptr;
  SUCCEEDS(cudaGraphInstantiate(&ready, graph, 0));
  SUCCEEDS(cudaGraphLaunch(ready, nullptr));
  SUCCEEDS(cudaDeviceSynchronize());
  CHECK(result == 7 && seen == 7);
  value = 10;
  SUCCEEDS(cudaGraphExecKernelNodeSetParams(ready, second, &kernel));
  SUCCEEDS(cudaGraphLaunch(ready, nullptr));
  SUCCEEDS(cudaDeviceSynchronize());
  CHECK(result == 13 && seen == 13);
  SUCCEEDS(cudaGraphExecDestroy(ready));
  SUCCEEDS(cudaGraphDestroy(graph));
}

}  // namespace

int main() {
  captured_streams();
  graph_by_hand();
  std::puts("ok");
  return 0;
}
