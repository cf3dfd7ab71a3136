// A grouped FP8 GEMM of an MoE layer with token and channel scales on compute capability 12.x, as a user of CUTLASS
// writes it:
//
//   out[r, n] = token_scale[r] * channel_scale[e, n] * sum_k tokens[r, k] * weights[e, n, k]     for the rows r of
//   expert e
//
// e4m3 operands, bf16 out. The one line that CUTLASS alone does not compile is the builder of the main loop;
// moesaic/cutlass/builder.hpp serves its tag. Checks itself against the host and prints TFLOPS.
//
//   nvcc -std=c++17 -O2 --expt-relaxed-constexpr -cudart shared -gencode
//   'arch=compute_120f,code=[sm_120f,compute_120f]' \
//     -I include -I CUTLASS/include -I CUTLASS/tools/util/include -o grouped_fp8_moe_gemm
//     examples/grouped_fp8_moe_gemm.cu
//   ./grouped_fp8_moe_gemm --experts=128 --rows=4096 --n=1536 --k=2048       # on a card
//   moesaic emulate --gpu gb10 --sms 2 -- ./grouped_fp8_moe_gemm             # without one; its time then means nothing
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cutlass/util/command_line.h>
#include <cutlass/util/device_memory.h>
#include <cute/tensor.hpp>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/gemm/group_array_problem_shape.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include "moesaic/cutlass/builder.hpp"
#include "moesaic/cutlass/scaled_epilogue.hpp"

using namespace cute;

using ProblemShape = cutlass::gemm::GroupProblemShape<Shape<int, int, int>>;  // M (rows), N, K of each expert
using ElementAB = cutlass::float_e4m3_t;
using ElementD = cutlass::bfloat16_t;
using LayoutA = cutlass::layout::RowMajor;     // tokens: rows x K
using LayoutB = cutlass::layout::ColumnMajor;  // weights: N x K, K contiguous
using LayoutD = cutlass::layout::RowMajor;     // rows x N
using TileShape = Shape<_128, _128, _128>;
using ClusterShape = Shape<_1, _1, _1>;
constexpr int kAlignmentAB = 16;  // 16 bytes
constexpr int kAlignmentD = 8;

using CollectiveEpilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
    cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, TileShape, ClusterShape,
    cutlass::epilogue::collective::EpilogueTileAuto, float, float, void, LayoutD*, kAlignmentD, ElementD, LayoutD*,
    kAlignmentD, cutlass::epilogue::collective::EpilogueScheduleAuto,
    moesaic::sm120::ScaledTree<moesaic::sm120::Axis::m, ElementD>>::CollectiveOp;

using CollectiveMainloop = typename cutlass::gemm::collective::CollectiveBuilder<
    cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, ElementAB, LayoutA*, kAlignmentAB, ElementAB, LayoutB*,
    kAlignmentAB, float, TileShape, ClusterShape,
    cutlass::gemm::collective::StageCountAutoCarveout<int(sizeof(typename CollectiveEpilogue::SharedStorage))>,
    cutlass::gemm::KernelPtrArrayTmaWarpSpecializedCooperativeSm120<2>>::CollectiveOp;

using GemmKernel = cutlass::gemm::kernel::GemmUniversal<ProblemShape, CollectiveMainloop, CollectiveEpilogue>;
using Gemm = cutlass::gemm::device::GemmUniversalAdapter<GemmKernel>;

struct Options {
  int experts = 5;
  int rows = 0;  // of all experts, dealt at random; 0: 0, 1, 7, 128, 129, 0, 1, ... rows
  int n = 256;
  int k = 320;
  int iterations = 1;

  Options(int argc, char const** argv) {
    cutlass::CommandLine line(argc, argv);
    line.get_cmd_line_argument("experts", experts);
    line.get_cmd_line_argument("rows", rows);
    line.get_cmd_line_argument("n", n);
    line.get_cmd_line_argument("k", k);
    line.get_cmd_line_argument("iterations", iterations);
  }
};

std::vector<int> rows_of_experts(Options const& options, std::mt19937& random) {
  std::vector<int> rows(options.experts);
  constexpr int kEdges[] = {0, 1, 7, 128, 129};
  for (int e = 0; e < options.experts; ++e) rows[e] = options.rows == 0 ? kEdges[e % 5] : 0;
  for (int r = 0; r < options.rows; ++r) ++rows[random() % options.experts];
  return rows;
}

std::vector<ElementAB> random_codes(size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<ElementAB> codes(count);
  for (ElementAB& code : codes) code = ElementAB(normal(random));
  return codes;
}

std::vector<float> random_scales(size_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(0.5F, 1.5F);
  std::vector<float> scales(count);
  for (float& scale : scales) scale = uniform(random);
  return scales;
}

template <class T>
cutlass::DeviceAllocation<T> on_device(std::vector<T> const& values) {
  cutlass::DeviceAllocation<T> allocation(values.size());
  allocation.copy_from_host(values.data());
  return allocation;
}

void check(cutlass::Status status) {
  if (status == cutlass::Status::kSuccess) return;
  std::fprintf(stderr, "CUTLASS: %s\n", cutlass::cutlassGetStatusString(status));
  std::exit(1);
}

int main(int argc, char const** argv) {
  const Options options(argc, argv);
  std::mt19937 random(2026);
  const std::vector<int> rows = rows_of_experts(options, random);
  const int n = options.n;
  const int k = options.k;
  std::vector<int64_t> first{0};
  for (const int count : rows) first.push_back(first.back() + count);
  const int64_t all_rows = first.back();

  const std::vector<ElementAB> tokens = random_codes(all_rows * k, random);
  const std::vector<ElementAB> weights = random_codes(size_t(options.experts) * n * k, random);
  const std::vector<float> token_scales = random_scales(all_rows, random);
  const std::vector<float> channel_scales = random_scales(size_t(options.experts) * n, random);
  auto block_tokens = on_device(tokens);
  auto block_weights = on_device(weights);
  auto block_token_scales = on_device(token_scales);
  auto block_channel_scales = on_device(channel_scales);
  cutlass::DeviceAllocation<ElementD> block_out(all_rows * n);

  // A pointer, a stride and a problem for each expert.
  std::vector<typename ProblemShape::UnderlyingProblemShape> problems;
  std::vector<ElementAB const*> ptr_a;
  std::vector<ElementAB const*> ptr_b;
  std::vector<ElementD*> ptr_d;
  std::vector<float const*> ptr_token_scales;
  for (int e = 0; e < options.experts; ++e) {
    problems.push_back(make_shape(rows[e], n, k));
    ptr_a.push_back(block_tokens.get() + first[e] * k);
    ptr_b.push_back(block_weights.get() + size_t(e) * n * k);
    ptr_d.push_back(block_out.get() + first[e] * n);
    ptr_token_scales.push_back(block_token_scales.get() + first[e]);
  }
  auto device_problems = on_device(problems);
  auto device_ptr_a = on_device(ptr_a);
  auto device_ptr_b = on_device(ptr_b);
  auto device_ptr_d = on_device(ptr_d);
  auto device_ptr_token_scales = on_device(ptr_token_scales);
  const size_t experts = options.experts;
  auto stride_a = on_device(std::vector<typename GemmKernel::InternalStrideA>(experts, {k, _1{}, _0{}}));
  auto stride_b = on_device(std::vector<typename GemmKernel::InternalStrideB>(experts, {k, _1{}, _0{}}));
  auto stride_d = on_device(std::vector<typename GemmKernel::InternalStrideD>(experts, {n, _1{}, _0{}}));

  typename Gemm::Arguments arguments{};
  arguments.mode = cutlass::gemm::GemmUniversalMode::kGrouped;
  arguments.problem_shape = {options.experts, device_problems.get(), nullptr};
  arguments.mainloop = {device_ptr_a.get(), stride_a.get(), device_ptr_b.get(), stride_b.get()};
  // Scales by a pointer for each expert, and in one array at a stride: either will do for both.
  moesaic::sm120::GroupVector<float> x;
  x.pointers = device_ptr_token_scales.get();
  const moesaic::sm120::GroupVector<float> w{block_channel_scales.get(), n, 1};
  arguments.epilogue.thread = {x, {w, {}, {}}, {}};
  arguments.epilogue.ptr_D = device_ptr_d.get();
  arguments.epilogue.dD = stride_d.get();
  arguments.hw_info.sm_count = cutlass::KernelHardwareInfo::query_device_multiprocessor_count(0);

  Gemm gemm;
  cutlass::DeviceAllocation<uint8_t> workspace(Gemm::get_workspace_size(arguments));
  check(gemm.can_implement(arguments));
  check(gemm.initialize(arguments, workspace.get()));
  check(gemm.run());

  std::vector<ElementD> out(all_rows * n);
  block_out.copy_to_host(out.data());
  int64_t wrong = 0;
  for (int e = 0; e < options.experts; ++e) {
    for (int64_t r = first[e]; r < first[e + 1]; ++r) {
      for (int c = 0; c < n; ++c) {
        double sum = 0;
        double size = 0;
        for (int i = 0; i < k; ++i) {
          const double product = double(float(tokens[r * k + i])) * float(weights[(size_t(e) * n + c) * k + i]);
          sum += product;
          size += std::abs(product);
        }
        const double scale = double(token_scales[r]) * channel_scales[size_t(e) * n + c];
        // f32 sums of k products (at most 32 roundings of 2^-24 for each 32 k), then one rounding to bf16.
        const double bound = scale * (k * 0x1p-24 * size) * 1.01 + std::abs(scale * sum) * 0x1p-8;
        if (!(std::abs(float(out[r * n + c]) - scale * sum) <= bound)) ++wrong;
      }
    }
  }

  cudaEvent_t begin;
  cudaEvent_t end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  cudaEventRecord(begin);
  for (int i = 0; i < options.iterations; ++i) check(gemm.run());
  cudaEventRecord(end);
  cudaEventSynchronize(end);
  float ms = 0;
  cudaEventElapsedTime(&ms, begin, end);
  const double flop = 2.0 * all_rows * n * k * options.iterations;
  std::printf("%d experts, %lld rows, n %d, k %d: %d stages, %d bytes of shared memory, %.3f ms, %.2f TFLOPS\n",
              options.experts, static_cast<long long>(all_rows), n, k, CollectiveMainloop::DispatchPolicy::Stages,
              GemmKernel::SharedStorageSize, ms / options.iterations, flop / ms * 1e-9);
  std::printf("%s: %lld of %lld values wrong\n", wrong == 0 ? "Passed" : "Failed", static_cast<long long>(wrong),
              static_cast<long long>(all_rows * n));
  return wrong == 0 ? 0 : 1;
}
