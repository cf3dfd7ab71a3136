// Times the CUTLASS collective on the card that is there, beside what `moesaic bench gemm` and bench/triton_moe.py
// time: one grouped GEMM of an MoE layer, random routing, token and channel scales, bf16 out, four sets of weights in
// turn so that L2 does not help, a CUDA graph of 20 launches. On compute capability 9.0 compile with
// MOESAIC_MULTIPLY=widened.
//
//   nvcc -std=c++17 -O2 -DNDEBUG --expt-relaxed-constexpr -gencode arch=compute_90a,code=sm_90a
//   -DMOESAIC_MULTIPLY=widened \
//     -DMOESAIC_M=128 -DMOESAIC_N=128 -DMOESAIC_K=128 -DMOESAIC_SCHEDULE=Cooperative -DMOESAIC_TOKENS=m \
//     -I include -I tests -I CUTLASS/include -I CUTLASS/tools/util/include -o cutlass_gemm bench/cutlass_gemm.cu -lcuda
//   ./cutlass_gemm EXPERTS TOPK N K TOKENS...
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "cutlass/device_vector.hpp"
#include "moesaic/cutlass/grouped_mm.hpp"

namespace {

using moesaic::sm120::Axis;
using moesaic::sm120::Cooperative;
using moesaic::sm120::Multiply;
using moesaic::sm120::Pingpong;
using moesaic::test::check;
using moesaic::test::DeviceVector;

using Tile = cute::Shape<cute::Int<MOESAIC_M>, cute::Int<MOESAIC_N>, cute::Int<MOESAIC_K>>;
using Grouped = moesaic::sm120::GroupedGemm<cutlass::bfloat16_t, Axis::MOESAIC_TOKENS, Tile,
                                            MOESAIC_SCHEDULE<2, Multiply::MOESAIC_MULTIPLY>>;

constexpr int kWeightSets = 4;
constexpr int kLaunches = 20;
constexpr int kRepeats = 9;

struct Problem {
  int experts;
  int topk;
  int64_t n;
  int64_t k;
  int tokens;
};

/// Rows of each expert when every token chooses topk experts at random.
std::vector<int> random_rows(const Problem& problem, std::mt19937& random) {
  std::vector<int> rows(problem.experts);
  std::vector<int> experts(problem.experts);
  std::iota(experts.begin(), experts.end(), 0);
  for (int token = 0; token < problem.tokens; ++token) {
    for (int i = 0; i < problem.topk; ++i) {
      std::swap(experts[i], experts[i + random() % (problem.experts - i)]);
      ++rows[experts[i]];
    }
  }
  return rows;
}

/// Any bytes but NaN's codes: what is multiplied does not matter to the time, beyond what it costs in power.
DeviceVector<uint8_t> random_codes(std::size_t count, std::mt19937& random) {
  std::vector<uint8_t> codes(count);
  for (uint8_t& code : codes) code = static_cast<uint8_t>(random() & 0xbf);
  return DeviceVector<uint8_t>(codes);
}

/// Median time of one launch in microseconds.
double time_us(const Problem& problem, int sm_count, cudaStream_t stream) {
  std::mt19937 random(2026);
  const std::vector<int> rows = random_rows(problem, random);
  std::vector<int64_t> first;
  std::vector<int32_t> sizes;
  int64_t all = 0;
  const auto n = static_cast<int32_t>(problem.n);
  for (const int count : rows) {
    first.push_back(all);
    all += count;
    const bool tokens_as_m = Grouped::kTokens == Axis::m;
    for (const int32_t size : {tokens_as_m ? count : n, tokens_as_m ? n : count, static_cast<int32_t>(problem.k)}) {
      sizes.push_back(size);
    }
  }
  const std::size_t weight_bytes = problem.experts * problem.n * problem.k;
  const DeviceVector<uint8_t> a = random_codes(all * problem.k, random);
  const DeviceVector<uint8_t> b(kWeightSets * weight_bytes);
  check(cudaMemset(b.get(), 0x31, kWeightSets * weight_bytes), "cudaMemset");
  const DeviceVector<float> a_scales(std::vector<float>(all, 1));
  const DeviceVector<float> b_scales(std::vector<float>(problem.experts * problem.n, 1));
  const DeviceVector<int64_t> offsets(first);
  const DeviceVector<int32_t> problem_sizes(sizes);
  const DeviceVector<int64_t> ab_strides(std::vector<int64_t>(problem.experts, problem.k));
  const DeviceVector<int64_t> c_strides(std::vector<int64_t>(problem.experts, problem.n));
  const DeviceVector<cutlass::bfloat16_t> out(all * problem.n);
  const DeviceVector<uint8_t> workspace(moesaic::sm120::grouped_mm_workspace_bytes<Grouped>(problem.experts, sm_count));

  const auto launch = [&](int i) {
    const moesaic::sm120::GroupedMmArguments args{out.get(),
                                                  a.get(),
                                                  b.get() + i % kWeightSets * weight_bytes,
                                                  a_scales.get(),
                                                  b_scales.get(),
                                                  offsets.get(),
                                                  problem_sizes.get(),
                                                  ab_strides.get(),
                                                  ab_strides.get(),
                                                  c_strides.get(),
                                                  true,
                                                  true,
                                                  problem.experts,
                                                  problem.n,
                                                  problem.k};
    const cutlass::Status status = moesaic::sm120::grouped_mm<Grouped>(args, workspace.get(), sm_count, stream);
    if (status != cutlass::Status::kSuccess) {
      std::fprintf(stderr, "CUTLASS: %s\n", cutlass::cutlassGetStatusString(status));
      std::exit(1);
    }
  };
  launch(0);
  check(cudaStreamSynchronize(stream), "the GEMM");
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  for (int i = 0; i < kLaunches; ++i) launch(i);
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  cudaEvent_t begin;
  cudaEvent_t end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    check(cudaEventRecord(begin, stream), "cudaEventRecord");
    check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
    check(cudaEventRecord(end, stream), "cudaEventRecord");
    check(cudaEventSynchronize(end), "the GEMM");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
    times.push_back(ms * 1e3 / kLaunches);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  std::nth_element(times.begin(), times.begin() + kRepeats / 2, times.end());
  return times[kRepeats / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: cutlass_gemm EXPERTS TOPK N K TOKENS...\n");
    return 2;
  }
  cudaDeviceProp card{};
  check(cudaGetDeviceProperties(&card, 0), "cudaGetDeviceProperties");
  cudaStream_t stream;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  std::printf("%s: tile %dx%dx%d, %d stages; each time includes the kernel that writes the pointers\n", card.name,
              MOESAIC_M, MOESAIC_N, MOESAIC_K, Grouped::CollectiveMainloop::DispatchPolicy::Stages);
  for (int i = 5; i < argc; ++i) {
    const Problem problem{std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]),
                          std::atoi(argv[i])};
    const double us = time_us(problem, card.multiProcessorCount, stream);
    const double flop = 2.0 * problem.tokens * problem.topk * static_cast<double>(problem.n * problem.k);
    std::printf("%6d tokens: %9.2f us, %7.1f TFLOPS\n", problem.tokens, us, flop / us * 1e-6);
  }
  cudaStreamDestroy(stream);
  return 0;
}
