// What the runtime answers to calls at the edge of what it allows: one line for each call, with the error that it gave
// and the one that cudaGetLastError gave then. On an emulated card the lines are those of an H200.

#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

namespace {

__device__ int variable[4];

__global__ void fill(int* to) {
  to[threadIdx.x] = 1;
}

void answer(const char* call, cudaError_t error) {
  const cudaError_t last = cudaGetLastError();
  std::printf("%s: %s, then %s\n", call, cudaGetErrorName(error), cudaGetErrorName(last));
  std::fflush(stdout);
}
#define ANSWER(call) answer(#call, call)

/// The error of a launch is told by cudaGetLastError alone.
#define ANSWER_LAUNCH(...) \
  __VA_ARGS__;             \
  answer(#__VA_ARGS__, cudaPeekAtLastError())

void devices() {
  int value = -1;
  char name[32];
  std::size_t limit = 0;
  cudaDeviceProp properties;
  ANSWER(cudaSetDevice(-1));
  ANSWER(cudaSetDevice(64));
  ANSWER(cudaGetDevice(nullptr));
  ANSWER(cudaGetDeviceCount(nullptr));
  ANSWER(cudaGetDeviceProperties(&properties, 64));
  ANSWER(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 64));
  ANSWER(cudaDeviceGetAttribute(&value, static_cast<cudaDeviceAttr>(9999), 0));
  ANSWER(cudaDeviceGetPCIBusId(name, 32, 64));
  ANSWER(cudaDeviceGetByPCIBusId(&value, "nothing"));
  ANSWER(cudaDeviceGetLimit(&limit, static_cast<cudaLimit>(99)));
  ANSWER(cudaDeviceSetLimit(static_cast<cudaLimit>(99), 1));
  ANSWER(cudaDeviceCanAccessPeer(&value, 0, 64));
  ANSWER(cudaDeviceCanAccessPeer(&value, 0, 0));
  std::printf("can access itself: %d\n", value);
  ANSWER(cudaDeviceEnablePeerAccess(0, 0));
  ANSWER(cudaDeviceEnablePeerAccess(64, 0));
  ANSWER(cudaDeviceDisablePeerAccess(0));
  ANSWER(cudaDeviceDisablePeerAccess(64));
}

void allocations() {
  void* memory = nullptr;
  void* again = nullptr;
  std::size_t pitch = 0;
  int host[4] = {};
  ANSWER(cudaMalloc(nullptr, 4));
  ANSWER(cudaMalloc(&memory, std::size_t{1} << 60));
  ANSWER(cudaMalloc(&memory, 0));
  std::printf("of 0 bytes: %s\n", memory == nullptr ? "null" : "not null");
  ANSWER(cudaMallocHost(&memory, 0));
  std::printf("of 0 bytes: %s\n", memory == nullptr ? "null" : "not null");
  ANSWER(cudaMallocManaged(&memory, 0));
  ANSWER(cudaMallocManaged(&memory, 4, 77));
  ANSWER(cudaHostAlloc(&memory, 4, 0xff00));
  ANSWER(cudaMallocPitch(&memory, &pitch, 0, 4));
  ANSWER(cudaMallocPitch(&memory, &pitch, 100, 0));
  ANSWER(cudaFree(host));
  ANSWER(cudaMalloc(&memory, 1024));
  ANSWER(cudaFree(static_cast<char*>(memory) + 16));
  ANSWER(cudaFreeHost(memory));
  ANSWER(cudaFree(memory));
  ANSWER(cudaFree(memory));
  ANSWER(cudaFreeHost(nullptr));
  ANSWER(cudaFreeHost(host));
  ANSWER(cudaMallocHost(&memory, 64));
  ANSWER(cudaFree(memory));
  ANSWER(cudaHostGetDevicePointer(&again, memory, 0));
  ANSWER(cudaHostGetDevicePointer(&again, memory, 1));
  ANSWER(cudaFreeHost(memory));
  std::vector<char> mine(1 << 16);
  ANSWER(cudaHostGetDevicePointer(&again, mine.data(), 0));
  ANSWER(cudaHostRegister(mine.data(), 0, cudaHostRegisterDefault));
  ANSWER(cudaHostRegister(mine.data(), mine.size(), cudaHostRegisterDefault));
  ANSWER(cudaHostRegister(mine.data(), mine.size(), cudaHostRegisterDefault));
  ANSWER(cudaHostUnregister(mine.data()));
  ANSWER(cudaHostUnregister(mine.data()));
  ANSWER(cudaPointerGetAttributes(nullptr, mine.data()));
  ANSWER(cudaMallocAsync(&memory, 0, nullptr));
  ANSWER(cudaFreeAsync(nullptr, nullptr));
  ANSWER(cudaMallocAsync(&memory, 64, nullptr));
  ANSWER(cudaFreeAsync(memory, nullptr));
  ANSWER(cudaDeviceSynchronize());
}

void copies() {
  std::vector<char> host(4096);
  char *card = nullptr, *other = nullptr;
  ANSWER(cudaMalloc(&card, 1024));
  ANSWER(cudaMalloc(&other, 1024));
  ANSWER(cudaMemset(card, 0, 1024));
  ANSWER(cudaMemset(nullptr, 0, 0));
  ANSWER(cudaMemset(nullptr, 0, 4));
  ANSWER(cudaMemset(card, 0, std::size_t{1} << 40));
  ANSWER(cudaMemset2D(card, 16, 1, 17, 2));
  ANSWER(cudaMemset2D(card, 16, 1, 0, 2));
  ANSWER(cudaMemset2D(card, 16, 1, 16, 0));
  ANSWER(cudaMemcpy(nullptr, nullptr, 0, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy(nullptr, host.data(), 4, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy(card, nullptr, 4, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy(card, host.data(), 4, static_cast<cudaMemcpyKind>(9)));
  ANSWER(cudaMemcpy(card, host.data(), 0, static_cast<cudaMemcpyKind>(9)));
  ANSWER(cudaMemcpy(host.data(), card, 4, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy(card, other, 4, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy(host.data(), card, 4, cudaMemcpyDeviceToDevice));
  ANSWER(cudaMemcpy(card, host.data(), 4, cudaMemcpyDefault));
  ANSWER(cudaMemcpy(host.data(), host.data() + 8, 4, cudaMemcpyHostToHost));
  ANSWER(cudaMemcpyAsync(card, host.data(), 4, static_cast<cudaMemcpyKind>(9), nullptr));
  ANSWER(cudaMemcpy2D(card, 16, host.data(), 16, 17, 2, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy2D(card, 32, host.data(), 16, 17, 2, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy2D(card, 16, host.data(), 32, 17, 1, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy2D(card, 16, host.data(), 16, 0, 2, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy2D(card, 16, host.data(), 16, 16, 0, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy2D(card, 0, host.data(), 0, 16, 1, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy2D(nullptr, 16, nullptr, 16, 0, 0, cudaMemcpyHostToDevice));
  ANSWER(cudaMemcpy2D(card, 16, host.data(), 16, 16, 2, static_cast<cudaMemcpyKind>(9)));
  cudaMemcpy3DParms volume{};
  ANSWER(cudaMemcpy3D(&volume));
  volume.srcPtr = make_cudaPitchedPtr(host.data(), 16, 16, 4);
  volume.dstPtr = make_cudaPitchedPtr(card, 16, 16, 4);
  volume.kind = cudaMemcpyHostToDevice;
  ANSWER(cudaMemcpy3D(&volume));
  volume.extent = make_cudaExtent(16, 4, 2);
  ANSWER(cudaMemcpy3D(&volume));
  volume.extent = make_cudaExtent(17, 4, 2);
  ANSWER(cudaMemcpy3D(&volume));
  volume.extent = make_cudaExtent(16, 5, 2);
  ANSWER(cudaMemcpy3D(&volume));
  volume.extent = make_cudaExtent(16, 4, 2);
  volume.srcPos = make_cudaPos(8, 0, 0);
  ANSWER(cudaMemcpy3D(&volume));
  volume.srcPos = make_cudaPos(0, 0, 0);
  volume.kind = static_cast<cudaMemcpyKind>(9);
  ANSWER(cudaMemcpy3D(&volume));
  ANSWER(cudaMemset3D(make_cudaPitchedPtr(card, 16, 16, 4), 1, make_cudaExtent(17, 4, 2)));
  ANSWER(cudaMemset3D(make_cudaPitchedPtr(card, 16, 16, 4), 1, make_cudaExtent(16, 4, 0)));
  ANSWER(cudaFree(card));
  ANSWER(cudaFree(other));
}

void symbols() {
  int host[4] = {};
  void* address = nullptr;
  std::size_t size = 0;
  ANSWER(cudaGetSymbolAddress(&address, host));
  ANSWER(cudaGetSymbolSize(&size, host));
  ANSWER(cudaGetSymbolSize(&size, variable));
  std::printf("size %zu\n", size);
  ANSWER(cudaMemcpyToSymbol(variable, host, 16));
  ANSWER(cudaMemcpyToSymbol(variable, host, 16, 4));
  ANSWER(cudaMemcpyToSymbol(variable, host, 4, 16));
  ANSWER(cudaMemcpyToSymbol(variable, host, 4, 0, cudaMemcpyDeviceToHost));
  ANSWER(cudaMemcpyToSymbol(variable, host, 4, 0, static_cast<cudaMemcpyKind>(9)));
  ANSWER(cudaMemcpyFromSymbol(host, variable, 16, 1));
  ANSWER(cudaMemcpyFromSymbol(host, variable, 4, 0, cudaMemcpyHostToDevice));
}

void kernels() {
  int* card = nullptr;
  int host = 0;
  int blocks = -1;
  cudaFuncAttributes attributes;
  ANSWER(cudaMalloc(&card, 4096));
  void* arguments[] = {&card};
  ANSWER_LAUNCH(fill<<<0, 1>>>(card));
  ANSWER_LAUNCH(fill<<<1, 0>>>(card));
  ANSWER_LAUNCH(fill<<<1, 1025>>>(card));
  ANSWER_LAUNCH(fill<<<1, dim3(1, 1, 65)>>>(card));
  ANSWER_LAUNCH(fill<<<dim3(1, 65536), 1>>>(card));
  ANSWER_LAUNCH(fill<<<1, 1, 1 << 20>>>(card));
  ANSWER_LAUNCH(fill<<<1, 1, 49153>>>(card));
  ANSWER_LAUNCH(fill<<<1, 1, 49152>>>(card));
  ANSWER(cudaLaunchKernel(nullptr, dim3(1), dim3(1), arguments, 0, nullptr));
  ANSWER(cudaLaunchKernel(&host, dim3(1), dim3(1), arguments, 0, nullptr));
  ANSWER(cudaLaunchKernel(fill, dim3(1), dim3(1), arguments, 0, nullptr));
  ANSWER(cudaLaunchCooperativeKernel(fill, dim3(1 << 20), dim3(1), arguments, 0, nullptr));
  ANSWER(cudaFuncGetAttributes(&attributes, nullptr));
  ANSWER(cudaFuncGetAttributes(nullptr, fill));
  ANSWER(cudaFuncSetAttribute(fill, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20));
  ANSWER(cudaFuncSetAttribute(fill, cudaFuncAttributeMaxDynamicSharedMemorySize, -1));
  ANSWER(cudaFuncSetAttribute(fill, cudaFuncAttributePreferredSharedMemoryCarveout, 101));
  ANSWER(cudaFuncSetAttribute(fill, static_cast<cudaFuncAttribute>(99), 1));
  ANSWER(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill, 0, 0));
  ANSWER(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill, 1025, 0));
  ANSWER(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill, 32, 1 << 20));
  ANSWER(cudaOccupancyMaxActiveBlocksPerMultiprocessor(nullptr, fill, 32, 0));
  ANSWER(cudaDeviceSynchronize());
  ANSWER(cudaFree(card));
}

void streams_and_events() {
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr, other = nullptr, untimed = nullptr;
  float time = 0;
  int priority = 0;
  ANSWER(cudaStreamCreate(nullptr));
  ANSWER(cudaStreamCreateWithFlags(&stream, 99));
  ANSWER(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, 1000));
  ANSWER(cudaStreamGetPriority(stream, &priority));
  ANSWER(cudaStreamQuery(stream));
  ANSWER(cudaStreamQuery(nullptr));
  ANSWER(cudaStreamDestroy(nullptr));
  ANSWER(cudaEventCreate(nullptr));
  ANSWER(cudaEventCreateWithFlags(&event, 0xf0));
  ANSWER(cudaEventCreateWithFlags(&event, cudaEventInterprocess));
  ANSWER(cudaEventCreate(&event));
  ANSWER(cudaEventCreate(&other));
  ANSWER(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
  ANSWER(cudaEventQuery(event));
  ANSWER(cudaEventSynchronize(event));
  ANSWER(cudaEventQuery(nullptr));
  ANSWER(cudaEventRecord(nullptr, stream));
  ANSWER(cudaEventElapsedTime(&time, event, other));
  ANSWER(cudaEventRecord(event, stream));
  ANSWER(cudaEventElapsedTime(&time, event, other));
  ANSWER(cudaEventRecord(untimed, stream));
  ANSWER(cudaStreamSynchronize(stream));
  ANSWER(cudaEventElapsedTime(&time, event, untimed));
  ANSWER(cudaEventElapsedTime(nullptr, event, event));
  ANSWER(cudaStreamWaitEvent(stream, event, 99));
  ANSWER(cudaStreamWaitEvent(stream, nullptr, 0));
  ANSWER(cudaLaunchHostFunc(stream, nullptr, nullptr));
  ANSWER(cudaEventDestroy(nullptr));
  ANSWER(cudaEventDestroy(event));
  ANSWER(cudaEventDestroy(other));
  ANSWER(cudaEventDestroy(untimed));
  ANSWER(cudaStreamDestroy(stream));
}

void captures() {
  cudaStream_t stream = nullptr, other = nullptr;
  cudaEvent_t event = nullptr;
  cudaGraph_t graph = nullptr;
  int* card = nullptr;
  int host = 0;
  float time = 0;
  ANSWER(cudaMalloc(&card, 4096));
  ANSWER(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  ANSWER(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  ANSWER(cudaEventCreate(&event));
  ANSWER(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  ANSWER(cudaGraphDestroy(graph));
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaStreamQuery(stream));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaMemcpy(&host, card, sizeof host, cudaMemcpyDeviceToHost));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  ANSWER(cudaMemcpy(&host, card, sizeof host, cudaMemcpyDeviceToHost));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaDeviceSynchronize());
  ANSWER(cudaStreamEndCapture(stream, &graph));
  // A fork that does not come back.
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaEventRecord(event, stream));
  ANSWER(cudaStreamWaitEvent(other, event, 0));
  ANSWER(cudaEventQuery(event));
  ANSWER(cudaEventSynchronize(event));
  ANSWER(cudaStreamEndCapture(other, &graph));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaEventRecord(event, stream));
  ANSWER(cudaStreamWaitEvent(other, event, 0));
  ANSWER_LAUNCH(fill<<<1, 1, 0, other>>>(card));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  // An event from outside.
  ANSWER(cudaEventRecord(event, other));
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaStreamWaitEvent(stream, event, 0));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  // Two captures that meet.
  ANSWER(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ANSWER(cudaStreamBeginCapture(other, cudaStreamCaptureModeGlobal));
  ANSWER(cudaEventRecord(event, stream));
  ANSWER(cudaStreamWaitEvent(other, event, 0));
  ANSWER(cudaEventElapsedTime(&time, event, event));
  ANSWER(cudaStreamEndCapture(other, &graph));
  ANSWER(cudaStreamEndCapture(stream, &graph));
  ANSWER(cudaEventDestroy(event));
  ANSWER(cudaStreamDestroy(stream));
  ANSWER(cudaStreamDestroy(other));
  ANSWER(cudaFree(card));
}

void graphs() {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  cudaGraphNode_t first = nullptr, second = nullptr;
  std::size_t count = 99;
  ANSWER(cudaGraphCreate(nullptr, 0));
  ANSWER(cudaGraphCreate(&graph, 99));
  ANSWER(cudaGraphCreate(&graph, 0));
  ANSWER(cudaGraphInstantiate(&ready, nullptr, 0));
  ANSWER(cudaGraphLaunch(nullptr, nullptr));
  ANSWER(cudaGraphAddEmptyNode(&first, graph, nullptr, 1));
  ANSWER(cudaGraphAddEmptyNode(&first, graph, nullptr, 0));
  ANSWER(cudaGraphAddEmptyNode(&second, graph, &first, 1));
  ANSWER(cudaGraphGetNodes(graph, nullptr, &count));
  std::printf("%zu nodes\n", count);
  cudaKernelNodeParams kernel{};
  ANSWER(cudaGraphAddKernelNode(&first, graph, nullptr, 0, &kernel));
  int* card = nullptr;
  void* arguments[] = {&card};
  kernel.func = reinterpret_cast<void*>(fill);
  kernel.gridDim = dim3(1);
  kernel.blockDim = dim3(2000);
  kernel.kernelParams = arguments;
  ANSWER(cudaGraphAddKernelNode(&first, graph, nullptr, 0, &kernel));
  cudaMemsetParams memset{};
  ANSWER(cudaGraphAddMemsetNode(&first, graph, nullptr, 0, &memset));
  cudaHostNodeParams host{};
  ANSWER(cudaGraphAddHostNode(&first, graph, nullptr, 0, &host));
  ANSWER(cudaGraphInstantiate(&ready, graph, 0));
  ANSWER(cudaGraphLaunch(ready, nullptr));
  ANSWER(cudaDeviceSynchronize());
  ANSWER(cudaGraphAddEmptyNode(&first, graph, nullptr, 0));
  cudaGraphExecUpdateResultInfo info{};
  ANSWER(cudaGraphExecUpdate(ready, graph, &info));
  std::printf("update: %d\n", static_cast<int>(info.result));
  ANSWER(cudaGraphExecDestroy(ready));
  ANSWER(cudaGraphDestroy(graph));
}

/// In a process of its own, so that a call that crashes costs the rest of its section only.
void in_a_process(const char* name, void (*section)()) {
  std::printf("== %s\n", name);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    section();
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) std::printf("ended with status %d\n", status);
}

}  // namespace

int main() {
  in_a_process("devices", devices);
  in_a_process("allocations", allocations);
  in_a_process("copies", copies);
  in_a_process("symbols", symbols);
  in_a_process("kernels", kernels);
  in_a_process("streams and events", streams_and_events);
  in_a_process("captures", captures);
  in_a_process("graphs", graphs);
  std::puts("ok");
  return 0;
}
