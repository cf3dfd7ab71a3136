// A grouped GEMM in the shape of vLLM's (grouped_mm_c3x.cuh and grouped_mm_c3x_sm120.cu at ccae54343952): CUTLASS's own
// includes, tags, epilogue visitors and automatic choices, a kernel type derived from GemmUniversal. It is compiled
// against a CUTLASS tree to which scripts/cutlass_patch.py's patches were applied and sees none of our headers.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "cutlass/cutlass.h"
#include "cutlass/epilogue/collective/collective_builder.hpp"
#include "cutlass/gemm/collective/collective_builder.hpp"
#include "cutlass/gemm/device/gemm_universal_adapter.h"
#include "cutlass/gemm/kernel/gemm_universal.hpp"

#include "cutlass/device_vector.hpp"
#include "cutlass/grouped_case.hpp"

namespace {

using namespace cute;
using namespace moesaic::test;
using moesaic::OutFormat;
using namespace cutlass::epilogue::fusion;

using ElementAB = cutlass::float_e4m3_t;
using ElementD = cutlass::bfloat16_t;
using RowMajor = cutlass::layout::RowMajor;
using TileShape = Shape<_128, _128, _128>;
using ClusterShape = Shape<_1, _1, _1>;
using ProblemShape = cutlass::gemm::GroupProblemShape<Shape<int, int, int>>;

constexpr auto kRound = cutlass::FloatRoundStyle::round_to_nearest;
using ScaleA = Sm90ColBroadcast<0, TileShape, float*, float, Stride<_1, _0, _0>>;
using ScaleB = Sm90RowBroadcast<0, TileShape, float*, float, Stride<_0, _1, _0>>;
using Tree = Sm90EVT<Sm90Compute<cutlass::multiplies, ElementD, float, kRound>, ScaleA,
                     Sm90EVT<Sm90Compute<cutlass::multiplies, float, float, kRound>, ScaleB, Sm90AccFetch>>;

using CollectiveEpilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
    cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, TileShape, ClusterShape,
    cutlass::epilogue::collective::EpilogueTileAuto, float, float, void, RowMajor*, 8, ElementD, RowMajor*, 8,
    cutlass::epilogue::collective::EpilogueScheduleAuto, Tree>::CollectiveOp;
using CollectiveMainloop = typename cutlass::gemm::collective::CollectiveBuilder<
    cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, ElementAB, RowMajor*, 16, ElementAB,
    cutlass::layout::ColumnMajor*, 16, float, TileShape, ClusterShape,
    cutlass::gemm::collective::StageCountAutoCarveout<int(sizeof(typename CollectiveEpilogue::SharedStorage))>,
    cutlass::gemm::KernelPtrArrayTmaWarpSpecializedCooperativeSm120<2>>::CollectiveOp;
struct GemmKernel : cutlass::gemm::kernel::GemmUniversal<ProblemShape, CollectiveMainloop, CollectiveEpilogue> {};
using Gemm = cutlass::gemm::device::GemmUniversalAdapter<GemmKernel>;

}  // namespace

int main() {
  const GroupedCase grouped = grouped_case({0, 1, 7, 128, 129}, 144, 272, true, true, false, 7);
  const int n = grouped.n;
  const int k = grouped.k;
  const DeviceVector<uint8_t> a(grouped.a);
  const DeviceVector<uint8_t> b(grouped.b);
  const DeviceVector<float> a_scales(grouped.a_scales);
  const DeviceVector<float> b_scales(grouped.b_scales);
  const DeviceVector<ElementD> out(static_cast<std::size_t>(grouped.all_rows()) * n);
  std::vector<ElementAB const*> ptr_a;
  std::vector<ElementAB const*> ptr_b;
  std::vector<ElementD*> ptr_d;
  std::vector<float const*> ptr_a_scales;
  std::vector<float const*> ptr_b_scales;
  std::vector<ProblemShape::UnderlyingProblemShape> problems;
  int row = 0;
  for (int e = 0; e < grouped.experts(); ++e) {
    ptr_a.push_back(reinterpret_cast<ElementAB const*>(a.get()) + row * k);
    ptr_b.push_back(reinterpret_cast<ElementAB const*>(b.get()) + e * n * k);
    ptr_d.push_back(out.get() + row * n);
    ptr_a_scales.push_back(a_scales.get() + row);
    ptr_b_scales.push_back(b_scales.get() + e * n);
    problems.push_back(make_shape(grouped.rows[e], n, k));
    row += grouped.rows[e];
  }
  const DeviceVector<ElementAB const*> device_a(ptr_a);
  const DeviceVector<ElementAB const*> device_b(ptr_b);
  const DeviceVector<ElementD*> device_d(ptr_d);
  const DeviceVector<float const*> device_a_scales(ptr_a_scales);
  const DeviceVector<float const*> device_b_scales(ptr_b_scales);
  const DeviceVector<ProblemShape::UnderlyingProblemShape> device_problems(problems);
  const DeviceVector<int64_t> ab_strides(std::vector<int64_t>(problems.size(), k));
  const DeviceVector<int64_t> c_strides(std::vector<int64_t>(problems.size(), n));

  using StrideAB = typename GemmKernel::InternalStrideA;
  using StrideD = typename GemmKernel::InternalStrideD;
  typename GemmKernel::Arguments args{cutlass::gemm::GemmUniversalMode::kGrouped,
                                      {grouped.experts(), device_problems.get(), nullptr},
                                      {device_a.get(), reinterpret_cast<StrideAB*>(ab_strides.get()), device_b.get(),
                                       reinterpret_cast<StrideAB*>(ab_strides.get())},
                                      {{{device_a_scales.get()}, {{device_b_scales.get()}, {}, {}}, {}},
                                       nullptr,
                                       reinterpret_cast<StrideD*>(c_strides.get()),
                                       device_d.get(),
                                       reinterpret_cast<StrideD*>(c_strides.get())}};
  args.hw_info.sm_count = cutlass::KernelHardwareInfo::query_device_multiprocessor_count(0);
  Gemm gemm;
  const DeviceVector<uint8_t> workspace(Gemm::get_workspace_size(args));
  const cutlass::Status status = gemm.run(args, workspace.get());
  if (status != cutlass::Status::kSuccess) {
    std::printf("%s\n", cutlass::cutlassGetStatusString(status));
    return 1;
  }
  const std::vector<ElementD> written = out.host();
  std::string problem = judge(grouped, written.data(), OutFormat::bf16);
  if (problem.empty()) problem = judge_bits(grouped, written.data(), OutFormat::bf16);
  std::printf("%d stages: %s\n", CollectiveMainloop::DispatchPolicy::Stages,
              problem.empty() ? "right" : problem.c_str());
  return problem.empty() ? 0 : 1;
}
