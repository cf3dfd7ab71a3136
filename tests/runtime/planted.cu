// The kernels with planted bugs (tests/planted), compiled into a program: `planted buggy NAMES` launches those that
// have them, `planted right NAMES` the others, without the names given. Each has a process of its own, since a card on
// which a kernel has failed is lost.

#include <cuda.h>
#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "planted/params.hpp"
#include "runtime/check.hpp"

namespace {

using moesaic::planted::kTileWords;
using moesaic::planted::kWords;
using moesaic::planted::Params;
using moesaic::planted::TensorMapBytes;

struct Entry {
  struct Kernels {
    void (*primary)(Params);  ///< null: there is none
    void (*kernel)(Params);
  };

  const char* name;
  unsigned blocks, threads;
  Kernels buggy, right;
};

std::vector<Entry>& entries() {
  static std::vector<Entry> all;
  return all;
}

bool list(const Entry& entry) {
  entries().push_back(entry);
  return true;
}

}  // namespace

#define PLANTED_ENTRY(name, blocks, threads) \
  const bool name##_listed = list({#name, blocks, threads, {nullptr, name##_buggy}, {nullptr, name##_right}});
#define PLANTED_ENTRY_PAIR(name, blocks, threads) \
  const bool name##_listed =                      \
      list({#name, blocks, threads, {name##_primary_buggy, name##_buggy}, {name##_primary_right, name##_right}});
#include "planted/planted.cu"

namespace {

/// 32 rows of 32 words, boxes of 8 rows.
TensorMapBytes map_of(const std::uint32_t* words) {
  void* encode = nullptr;
  cudaDriverEntryPointQueryResult result{};
  SUCCEEDS(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encode, 12000, cudaEnableDefault, &result));
  const cuuint64_t dims[] = {32, kWords / 32}, strides[] = {128};
  const cuuint32_t box[] = {32, kTileWords / 32}, steps[] = {1, 1};
  CUtensorMap map;
  CHECK(reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(encode)(
            &map, CU_TENSOR_MAP_DATA_TYPE_UINT32, 2, const_cast<std::uint32_t*>(words), dims, strides, box, steps,
            CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_NONE,
            CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  TensorMapBytes bytes;
  std::memcpy(&bytes, &map, sizeof bytes);
  return bytes;
}

void launch(const Entry& entry, const Entry::Kernels& kernels) {
  std::vector<std::uint32_t> numbers(kWords);
  std::iota(numbers.begin(), numbers.end(), 0U);
  Params params{};
  params.in = upload(numbers);
  SUCCEEDS(cudaMalloc(&params.out, kWords * sizeof(std::uint32_t)));
  params.zeros = upload(std::vector<std::uint32_t>(kWords));
  params.load_map = map_of(params.in);
  params.store_map = map_of(params.out);
  params.map = upload(std::vector<TensorMapBytes>(4, params.load_map));
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(entry.blocks);
  config.blockDim = dim3(entry.threads);
  config.dynamicSmemBytes = 4096;
  config.attrs = &early;
  if (kernels.primary != nullptr) {
    SUCCEEDS(cudaLaunchKernelEx(&config, kernels.primary, params));
    config.numAttrs = 1;
  }
  SUCCEEDS(cudaLaunchKernelEx(&config, kernels.kernel, params));
  cudaDeviceSynchronize();
}

}  // namespace

int main(int count, char** arguments) {
  CHECK(count >= 2);
  const bool buggy = std::strcmp(arguments[1], "buggy") == 0;
  int launched = 0;
  for (const Entry& entry : entries()) {
    const auto is_name = [&](const char* argument) { return std::strcmp(argument, entry.name) == 0; };
    if (std::any_of(arguments + 2, arguments + count, is_name)) continue;
    ++launched;
    const pid_t child = fork();
    if (child == 0) {
      launch(entry, buggy ? entry.buggy : entry.right);
      _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  }
  std::printf("%d kernels\n", launched);
  return 0;
}
