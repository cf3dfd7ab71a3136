// The runtime as programs use it: memory of all kinds, streams, events, errors, what is told of device and kernels.

#include <cuda.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "runtime/check.hpp"

namespace {

__global__ void scale(int* data, int factor, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) data[i] *= factor;
}

__global__ void __launch_bounds__(256) use_shared(int* to) {
  extern __shared__ int shared[];
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  to[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void say(int number) {
  printf("kernel %d\n", number);
}

__global__ void write_outside(int* data) {
  data[1 << 20] = 1;
}

void device_is_told() {
  int count = 0;
  SUCCEEDS(cudaGetDeviceCount(&count));
  CHECK(count == 1);
  GIVES(cudaSetDevice(1), cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaSuccess);
  SUCCEEDS(cudaSetDevice(0));
  cudaDeviceProp properties{};
  SUCCEEDS(cudaGetDeviceProperties(&properties, 0));
  int sms = 0, major = 0, shared = 0;
  SUCCEEDS(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  SUCCEEDS(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  SUCCEEDS(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  CHECK(sms > 0 && sms == properties.multiProcessorCount);
  CHECK(major == properties.major && major >= 9);
  CHECK(static_cast<std::size_t>(shared) == properties.sharedMemPerBlockOptin);
  CHECK(properties.warpSize == 32 && properties.maxThreadsPerBlock == 1024);
  int runtime = 0, driver = 0;
  SUCCEEDS(cudaRuntimeGetVersion(&runtime));
  SUCCEEDS(cudaDriverGetVersion(&driver));
  CHECK(runtime >= 13000 && driver >= 13000);
}

void kernels_are_told() {
  cudaFuncAttributes attributes{};
  SUCCEEDS(cudaFuncGetAttributes(&attributes, use_shared));
  CHECK(attributes.maxThreadsPerBlock == 256 && attributes.numRegs > 0 && attributes.ptxVersion >= 90);
  int blocks = 0;
  SUCCEEDS(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, use_shared, 256, 0));
  CHECK(blocks > 0);
  int grid = 0, block = 0;
  SUCCEEDS(cudaOccupancyMaxPotentialBlockSize(&grid, &block, scale));
  CHECK(grid > 0 && block > 0);
  int* to = nullptr;
  SUCCEEDS(cudaMalloc(&to, 256 * sizeof(int)));
  // More than 48 KB of shared memory have to be asked for.
  use_shared<<<1, 256, 64 * 1024>>>(to);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  SUCCEEDS(cudaFuncSetAttribute(use_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024));
  use_shared<<<1, 256, 64 * 1024>>>(to);
  SUCCEEDS(cudaGetLastError());
  std::vector<int> got(256);
  SUCCEEDS(cudaMemcpy(got.data(), to, 256 * sizeof(int), cudaMemcpyDeviceToHost));
  CHECK(got[0] == 255 && got[255] == 0);
  use_shared<<<1, 2048>>>(to);
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  GIVES(cudaFuncGetAttributes(&attributes, nullptr), cudaErrorInvalidDeviceFunction);
  cudaGetLastError();
  SUCCEEDS(cudaFree(to));
}

void memory_of_all_kinds() {
  void* nothing = &nothing;
  SUCCEEDS(cudaMalloc(&nothing, 0));
  SUCCEEDS(cudaFree(nullptr));
  SUCCEEDS(cudaMemcpy(nullptr, nullptr, 0, cudaMemcpyDeviceToDevice));
  // Managed and pinned memory have one address for host and card.
  for (const bool managed : {true, false}) {
    int* data = nullptr;
    SUCCEEDS(managed ? cudaMallocManaged(&data, 100 * sizeof(int)) : cudaMallocHost(&data, 100 * sizeof(int)));
    std::iota(data, data + 100, 0);
    scale<<<1, 128>>>(data, 3, 100);
    SUCCEEDS(cudaDeviceSynchronize());
    CHECK(data[99] == 297);
    cudaPointerAttributes attributes{};
    SUCCEEDS(cudaPointerGetAttributes(&attributes, data + 5));
    CHECK(attributes.type == (managed ? cudaMemoryTypeManaged : cudaMemoryTypeHost));
    SUCCEEDS(managed ? cudaFree(data) : cudaFreeHost(data));
  }
  cudaPointerAttributes attributes{};
  int local = 0;
  SUCCEEDS(cudaPointerGetAttributes(&attributes, &local));
  CHECK(attributes.type == cudaMemoryTypeUnregistered);
  // Rows with a pitch, there and back.
  std::vector<int> rows(4 * 10), back(4 * 10);
  std::iota(rows.begin(), rows.end(), 0);
  void* pitched = nullptr;
  std::size_t pitch = 0;
  SUCCEEDS(cudaMallocPitch(&pitched, &pitch, 10 * sizeof(int), 4));
  CHECK(pitch >= 10 * sizeof(int));
  SUCCEEDS(cudaMemcpy2D(pitched, pitch, rows.data(), 40, 40, 4, cudaMemcpyHostToDevice));
  SUCCEEDS(cudaMemset2D(static_cast<char*>(pitched) + pitch, pitch, 0xff, 40, 1));
  SUCCEEDS(cudaMemcpy2D(back.data(), 40, pitched, pitch, 40, 4, cudaMemcpyDefault));
  CHECK(back[9] == 9 && back[10] == -1 && back[20] == 20);
  // Rows wider than their pitch, no such direction, and pointers that are not what the direction says.
  GIVES(cudaMemcpy2D(pitched, pitch, rows.data(), 36, 40, 4, cudaMemcpyHostToDevice), cudaErrorInvalidPitchValue);
  GIVES(cudaMemcpy2D(pitched, pitch, rows.data(), 40, 40, 4, cudaMemcpyKind(9)), cudaErrorInvalidMemcpyDirection);
  GIVES(cudaMemcpy(rows.data(), pitched, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  GIVES(cudaMemcpy(pitched, nullptr, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  GIVES(cudaMemset(pitched, 0, std::size_t{1} << 50), cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  SUCCEEDS(cudaFree(pitched));
  // A volume.
  cudaPitchedPtr volume{};
  SUCCEEDS(cudaMalloc3D(&volume, cudaExtent{8, 3, 2}));
  std::vector<char> bytes(48), bytes_back(48);
  std::iota(bytes.begin(), bytes.end(), 0);
  cudaMemcpy3DParms copy{};
  copy.srcPtr = make_cudaPitchedPtr(bytes.data(), 8, 8, 3);
  copy.dstPtr = volume;
  copy.extent = cudaExtent{8, 3, 2};
  copy.kind = cudaMemcpyHostToDevice;
  SUCCEEDS(cudaMemcpy3D(&copy));
  copy.srcPtr = volume;
  copy.dstPtr = make_cudaPitchedPtr(bytes_back.data(), 8, 8, 3);
  copy.kind = cudaMemcpyDeviceToHost;
  SUCCEEDS(cudaMemcpy3D(&copy));
  CHECK(bytes == bytes_back);
  SUCCEEDS(cudaMemset(volume.ptr, 5, 2));
  SUCCEEDS(cudaMemcpyPeer(static_cast<char*>(volume.ptr) + 2, 0, volume.ptr, 0, 2));
  SUCCEEDS(cudaMemcpy(bytes_back.data(), volume.ptr, 8, cudaMemcpyDeviceToHost));
  CHECK(bytes_back[1] == 5 && bytes_back[3] == 5 && bytes_back[4] == 4);
  GIVES(cudaMemcpyPeer(volume.ptr, 64, volume.ptr, 0, 2), cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  SUCCEEDS(cudaFree(volume.ptr));
}

void streams_and_events() {
  cudaStream_t one = nullptr, two = nullptr;
  SUCCEEDS(cudaStreamCreate(&one));
  SUCCEEDS(cudaStreamCreateWithFlags(&two, cudaStreamNonBlocking));
  cudaEvent_t start = nullptr, end = nullptr;
  SUCCEEDS(cudaEventCreate(&start));
  SUCCEEDS(cudaEventCreate(&end));
  std::vector<int> data(512, 1);
  int* memory = nullptr;
  SUCCEEDS(cudaMallocAsync(&memory, 512 * sizeof(int), one));
  SUCCEEDS(cudaMemcpyAsync(memory, data.data(), 512 * sizeof(int), cudaMemcpyHostToDevice, one));
  SUCCEEDS(cudaEventRecord(start, one));
  scale<<<4, 128, 0, one>>>(memory, 6, 512);
  SUCCEEDS(cudaEventRecord(end, one));
  SUCCEEDS(cudaStreamWaitEvent(two, end, 0));
  scale<<<4, 128, 0, two>>>(memory, 7, 512);
  int seen = 0;
  const auto note = [](void* to) { *static_cast<int*>(to) += 1; };
  SUCCEEDS(cudaLaunchHostFunc(two, note, &seen));
  SUCCEEDS(cudaMemcpyAsync(data.data(), memory, 512 * sizeof(int), cudaMemcpyDeviceToHost, two));
  SUCCEEDS(cudaStreamSynchronize(two));
  CHECK(data[511] == 42 && seen == 1);
  float milliseconds = -1;
  SUCCEEDS(cudaEventElapsedTime(&milliseconds, start, end));
  CHECK(milliseconds >= 0);
  SUCCEEDS(cudaFreeAsync(memory, two));
  SUCCEEDS(cudaEventDestroy(start));
  SUCCEEDS(cudaEventDestroy(end));
  SUCCEEDS(cudaStreamDestroy(one));
  SUCCEEDS(cudaStreamDestroy(two));
}

void driver_functions_are_found() {
  void* encode = nullptr;
  cudaDriverEntryPointQueryResult result{};
  SUCCEEDS(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encode, 12000, cudaEnableDefault, &result));
  CHECK(encode != nullptr && result == cudaDriverEntryPointSuccess);
  alignas(64) CUtensorMap map{};
  const cuuint64_t dims[] = {64, 32}, strides[] = {128};
  const cuuint32_t box[] = {64, 8}, steps[] = {1, 1};
  const CUresult encoded = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(encode)(
      &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, nullptr, dims, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  CHECK(encoded == CUDA_SUCCESS);
  SUCCEEDS(cudaGetDriverEntryPointByVersion("cuNobody", &encode, 12000, cudaEnableDefault, &result));
  CHECK(encode == nullptr && result == cudaDriverEntryPointSymbolNotFound);
}

void a_failed_kernel_stays() {
  int* data = nullptr;
  SUCCEEDS(cudaMalloc(&data, sizeof(int)));
  write_outside<<<1, 1>>>(data);
  SUCCEEDS(cudaGetLastError());
  GIVES(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  GIVES(cudaMalloc(&data, sizeof(int)), cudaErrorIllegalAddress);
  CHECK(std::strcmp(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress") == 0);
  CHECK(std::strcmp(cudaGetErrorString(cudaErrorIllegalAddress), "an illegal memory access was encountered") == 0);
}

}  // namespace

int main(int count, char**) {
  device_is_told();
  kernels_are_told();
  memory_of_all_kinds();
  streams_and_events();
  driver_functions_are_found();
  say<<<1, 1>>>(7);
  SUCCEEDS(cudaDeviceSynchronize());
  if (count > 1) a_failed_kernel_stays();
  std::puts("ok");
  return 0;
}
