#pragma once

#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include "moesaic/cutlass/builder.hpp"
#include "moesaic/cutlass/scaled_epilogue.hpp"

/// The grouped FP8 GEMM of an MoE layer as vLLM calls it (cutlass_moe_mm;
/// csrc/libtorch_stable/quantization/w8a8/cutlass at ccae54343952cc909d92721499da77aad743de69), with plain pointers in
/// place of tensors.
namespace moesaic::sm120 {

namespace detail {

template <Axis kTokens, class ElementD, class ElementBias>
struct Tree {
  using type = ScaledBiasTree<kTokens, ElementD, ElementBias>;
};
template <Axis kTokens, class ElementD>
struct Tree<kTokens, ElementD, void> {
  using type = ScaledTree<kTokens, ElementD>;
};

}  // namespace detail

/// A CUTLASS kernel that computes grouped_mm. kTokens: the axis of CUTLASS's D along which tokens run. Axis::m is the
/// usual way; Axis::n makes the weights CUTLASS's A and D column-major, so that a tile of 16 tokens is 16 columns, not
/// 64 rows. Memory looks the same either way. ElementD: bfloat16_t, half_t or float. Schedule: Cooperative<..>,
/// Pingpong<..> or CUTLASS's tags. ElementBias: void, or the type of a bias for each channel. ElementX: of the tokens,
/// float_e4m3_t or float_e5m2_t; weights are float_e4m3_t.
template <class ElementD_, Axis kTokens_, class TileShape, class Schedule, class ElementBias_ = void,
          class ElementX_ = cutlass::float_e4m3_t>
struct GroupedGemm {
  static constexpr Axis kTokens = kTokens_;
  using ElementD = ElementD_;
  using ElementBias = ElementBias_;
  using ElementX = ElementX_;
  using ElementW = cutlass::float_e4m3_t;
  using Problem = cutlass::gemm::GroupProblemShape<cute::Shape<int, int, int>>;  // M, N, K of each group
  using Cluster = cute::Shape<cute::_1, cute::_1, cute::_1>;
  using ElementA = cute::conditional_t<kTokens == Axis::m, ElementX, ElementW>;
  using ElementB = cute::conditional_t<kTokens == Axis::m, ElementW, ElementX>;
  using LayoutD = cute::conditional_t<kTokens == Axis::m, cutlass::layout::RowMajor, cutlass::layout::ColumnMajor>;
  using EpilogueTile = cute::Shape<cute::_64, cute::Int<(cute::size<1>(TileShape{}) < 32 ? 16 : 32)>>;
  using Tree = typename detail::Tree<kTokens, ElementD, ElementBias>::type;
  static constexpr int kAlignment = 16;  // FP8 elements in the 16 bytes that TMA asks for
  static constexpr int kAlignmentD = 16 / sizeof(ElementD);

  using CollectiveEpilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, TileShape, Cluster, EpilogueTile, float, float, void,
      LayoutD*, kAlignmentD, ElementD, LayoutD*, kAlignmentD, cutlass::epilogue::collective::EpilogueScheduleAuto,
      Tree>::CollectiveOp;
  using CollectiveMainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, ElementA, cutlass::layout::RowMajor*, kAlignment, ElementB,
      cutlass::layout::ColumnMajor*, kAlignment, float, TileShape, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<int(sizeof(typename CollectiveEpilogue::SharedStorage))>,
      Schedule>::CollectiveOp;
  using Kernel = cutlass::gemm::kernel::GemmUniversal<Problem, CollectiveMainloop, CollectiveEpilogue>;
  using Gemm = cutlass::gemm::device::GemmUniversalAdapter<Kernel>;
  static_assert(fits<Kernel>, "the kernel asks for more than 101,376 bytes of shared memory");
};

/// cutlass_moe_mm's arguments; all pointers are the device's. Rows of `a` and `out` are sorted by expert.
///
///   out[r, :] = a_scale(r) * b_scale(e) * a[r, :] b[e]^T (+ bias[e, :])     for the rows r of expert e
struct GroupedMmArguments {
  void* out;                      ///< [rows, n] of ElementD
  void const* a;                  ///< [rows, k] of ElementX
  void const* b;                  ///< [experts, n, k] e4m3
  float const* a_scales;          ///< [rows] where per_act_token, else [1]
  float const* b_scales;          ///< [experts, n] where per_out_ch, else [experts]
  int64_t const* expert_offsets;  ///< [experts]: first row of each
  int32_t const* problem_sizes;   ///< [experts, 3]: (rows, n, k) for tokens as M, (n, rows, k) for tokens as N
  int64_t const* a_strides;       ///< [experts]: elements from row to row, a multiple of 16
  int64_t const* b_strides;       ///< [experts], likewise
  int64_t const* c_strides;       ///< [experts], of `out`; rows are multiples of 16 bytes
  bool per_act_token;
  bool per_out_ch;
  int experts;
  int64_t n;
  int64_t k;
  void const* bias = nullptr;  ///< [experts, n] of ElementBias, added to the scaled sum; vLLM's has none
};

/// Writes where each expert's operands begin: a's, b's and out's pointers, one array after the other.
template <int kBytesD>
__global__ void write_group_pointers(GroupedMmArguments args, uint64_t* pointers) {
  for (int expert = threadIdx.x; expert < args.experts; expert += blockDim.x) {
    const int64_t row = args.expert_offsets[expert];
    pointers[expert] = reinterpret_cast<uint64_t>(args.a) + row * args.k;
    pointers[args.experts + expert] = reinterpret_cast<uint64_t>(args.b) + expert * args.n * args.k;
    pointers[2 * args.experts + expert] = reinterpret_cast<uint64_t>(args.out) + row * args.n * kBytesD;
  }
}

namespace detail {

inline size_t pointer_bytes(int experts) {
  return (3 * sizeof(uint64_t) * experts + 127) / 128 * 128;
}

template <class Grouped>
typename Grouped::Gemm::Arguments gemm_arguments(GroupedMmArguments const& args, void* workspace, int sm_count) {
  using Gemm = typename Grouped::Gemm;
  using Kernel = typename Grouped::Kernel;
  using StrideAB = typename Kernel::InternalStrideA;
  using StrideD = typename Kernel::InternalStrideD;
  static_assert(sizeof(StrideAB) == sizeof(int64_t) && sizeof(StrideD) == sizeof(int64_t));
  auto* pointers = static_cast<uint64_t*>(workspace);
  constexpr bool kAsM = Grouped::kTokens == Axis::m;
  auto** a = reinterpret_cast<typename Grouped::ElementA const**>(pointers + (kAsM ? 0 : args.experts));
  auto** b = reinterpret_cast<typename Grouped::ElementB const**>(pointers + (kAsM ? args.experts : 0));
  auto** out = reinterpret_cast<typename Grouped::ElementD**>(pointers + 2 * args.experts);
  auto* a_strides = reinterpret_cast<StrideAB*>(const_cast<int64_t*>(kAsM ? args.a_strides : args.b_strides));
  auto* b_strides = reinterpret_cast<StrideAB*>(const_cast<int64_t*>(kAsM ? args.b_strides : args.a_strides));
  auto* c_strides = reinterpret_cast<StrideD*>(const_cast<int64_t*>(args.c_strides));

  typename Gemm::Arguments gemm{};
  gemm.mode = cutlass::gemm::GemmUniversalMode::kGrouped;
  gemm.problem_shape = {
      args.experts,
      reinterpret_cast<typename Grouped::Problem::UnderlyingProblemShape*>(const_cast<int32_t*>(args.problem_sizes)),
      nullptr};
  gemm.mainloop = {a, a_strides, b, b_strides};
  const GroupVector<float> x{args.a_scales, 0, args.per_act_token ? 1 : 0, args.expert_offsets};
  const GroupVector<float> w{args.b_scales, args.per_out_ch ? args.n : 1, args.per_out_ch ? 1 : 0};
  if constexpr (cute::is_void_v<typename Grouped::ElementBias>) {
    gemm.epilogue.thread = {x, {w, {}, {}}, {}};
  } else {
    using Bias = typename Grouped::ElementBias;
    gemm.epilogue.thread = {{x, {w, {}, {}}, {}}, GroupVector<Bias>{static_cast<Bias const*>(args.bias), args.n}, {}};
  }
  gemm.epilogue.ptr_D = out;
  gemm.epilogue.dD = c_strides;
  gemm.hw_info.sm_count = sm_count;
  return gemm;
}

}  // namespace detail

/// Bytes of device memory that grouped_mm needs, aligned to 128, for a card of sm_count SMs.
template <class Grouped>
size_t grouped_mm_workspace_bytes(int experts, int sm_count) {
  GroupedMmArguments args{};
  args.experts = experts;
  return detail::pointer_bytes(experts) +
         Grouped::Gemm::get_workspace_size(detail::gemm_arguments<Grouped>(args, nullptr, sm_count));
}

/// Launches the GEMM on `stream`; the host waits for nothing and reads nothing from the device. Errors are CUTLASS's.
template <class Grouped>
cutlass::Status grouped_mm(GroupedMmArguments const& args, void* workspace, int sm_count, cudaStream_t stream) {
  auto* pointers = static_cast<uint64_t*>(workspace);
  write_group_pointers<sizeof(typename Grouped::ElementD)><<<1, 256, 0, stream>>>(args, pointers);
  typename Grouped::Gemm gemm;
  return gemm.run(detail::gemm_arguments<Grouped>(args, workspace, sm_count),
                  static_cast<uint8_t*>(workspace) + detail::pointer_bytes(args.experts), stream);
}

}  // namespace moesaic::sm120
