#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

/// What the programs of these tests share: each prints what went wrong and ends with 1, or says "ok" and ends with 0.

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                             \
    }                                                                           \
  } while (false)

#define SUCCEEDS(call)                                                                        \
  do {                                                                                        \
    const cudaError_t error = (call);                                                         \
    if (error != cudaSuccess) {                                                               \
      std::printf("%s:%d: %s gave %s\n", __FILE__, __LINE__, #call, cudaGetErrorName(error)); \
      std::exit(1);                                                                           \
    }                                                                                         \
  } while (false)

#define GIVES(call, expected)                                                                                    \
  do {                                                                                                           \
    const cudaError_t error = (call);                                                                            \
    if (error != (expected)) {                                                                                   \
      std::printf("%s:%d: %s gave %s, not %s\n", __FILE__, __LINE__, #call, cudaGetErrorName(error), #expected); \
      std::exit(1);                                                                                              \
    }                                                                                                            \
  } while (false)

/// The values in memory of the card, which stays allocated.
template <typename T>
T* upload(const std::vector<T>& values) {
  T* memory = nullptr;
  SUCCEEDS(cudaMalloc(&memory, values.size() * sizeof(T)));
  SUCCEEDS(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return memory;
}
