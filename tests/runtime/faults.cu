// What the runtime answers after a kernel failed, once for each way to fail, in a process of its own. On an emulated
// card the lines are those of an H200, but for the exit code of `moesaic emulate`.

#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cassert>
#include <cstdio>

namespace {

__global__ void write_nowhere(int* to) {
  to[std::size_t{1} << 40] = 1;
}

__global__ void write_misaligned(int* to) {
  *reinterpret_cast<int*>(reinterpret_cast<char*>(to) + 1) = 1;
}

__global__ void stop(int*) {
  asm volatile("trap;");
}

__global__ void fail_assertion(int* to) {
  assert(to == nullptr);
}

__global__ void write(int* to) {
  *to = 1;
}

struct Fault {
  const char* name;
  void (*kernel)(int*);
};

const Fault kFaults[] = {{"write_nowhere", write_nowhere},
                         {"write_misaligned", write_misaligned},
                         {"stop", stop},
                         {"fail_assertion", fail_assertion}};

void answer(const char* call, cudaError_t error) {
  std::printf("  %s: %s, then %s\n", call, cudaGetErrorName(error), cudaGetErrorName(cudaPeekAtLastError()));
}
#define ANSWER(call) answer(#call, call)

void run(const Fault& fault) {
  std::printf("%s\n", fault.name);
  int* card = nullptr;
  int host = 0;
  cudaStream_t stream = nullptr;
  ANSWER(cudaMalloc(&card, 1024));
  ANSWER(cudaStreamCreate(&stream));
  fault.kernel<<<1, 1>>>(card);
  ANSWER(cudaDeviceSynchronize());
  std::printf("  cudaGetLastError: %s\n", cudaGetErrorName(cudaGetLastError()));
  std::printf("  cudaGetLastError: %s\n", cudaGetErrorName(cudaGetLastError()));
  ANSWER(cudaMemcpy(&host, card, sizeof host, cudaMemcpyDeviceToHost));
  ANSWER(cudaMalloc(&card, 1024));
  ANSWER(cudaStreamQuery(stream));
  ANSWER(cudaFree(card));
  write<<<1, 1>>>(card);
  std::printf("  a launch: %s\n", cudaGetErrorName(cudaGetLastError()));
  ANSWER(cudaGetDevice(&host));
  ANSWER(cudaDeviceGetAttribute(&host, cudaDevAttrWarpSize, 0));
  ANSWER(cudaStreamDestroy(stream));
}

}  // namespace

int main() {
  for (const Fault& fault : kFaults) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      run(fault);
      std::fflush(stdout);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) std::printf("  ended with %d\n", status);
  }
  std::puts("ok");
  return 0;
}
