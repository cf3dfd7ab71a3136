#pragma once

#include <cutlass/version.h>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/group_array_problem_shape.hpp>
#include <cutlass/gemm/kernel/tile_scheduler.hpp>

#include "moesaic/cutlass/array_mainloop.hpp"
#include "moesaic/cutlass/fp8_mma.hpp"

/// CUTLASS's CollectiveBuilder for grouped FP8 GEMMs on compute capability 12.x (arch::Sm120, OpClassTensorOp):
/// e4m3 or e5m2 operands with pointer layouts, A RowMajor* and B ColumnMajor*.
///
/// Schedules: CUTLASS's own tags KernelPtrArrayTmaWarpSpecialized{Cooperative,Pingpong}Sm120<N>, and those below, which
/// choose the form of the multiply as well and which no version of CUTLASS knows.
/// Tiles: M 64 or 128 (pingpong), 128 or 256 (cooperative); N a multiple of 16 up to 256; K 64 or 128.
/// Stages: StageCountAutoCarveout<sizeof(CollectiveEpilogue::SharedStorage)> gives as many as fit, StageCount<n> n.
namespace moesaic::sm120 {

/// The math warps share each tile.
template <int kSchedulerStages, Multiply kMultiply = Multiply::unit_scale>
struct Cooperative {
  static constexpr bool kCooperative = true;
  using Kernel = cutlass::gemm::KernelPtrArrayTmaWarpSpecializedCooperativeSm120<kSchedulerStages>;
};

/// Two warp groups take turns: one multiplies a tile while the other stores its last one.
template <int kSchedulerStages, Multiply kMultiply = Multiply::unit_scale>
struct Pingpong {
  static constexpr bool kCooperative = false;
  using Kernel = cutlass::gemm::KernelPtrArrayTmaWarpSpecializedPingpongSm120<kSchedulerStages>;
};

namespace detail {

/// Shared memory of a block on compute capability 12.x, in bytes.
inline constexpr int kSmemBytes = 101'376;

/// Bytes of an epilogue's SharedStorage that CUTLASS's pointer-array kernels keep apart from its tensors: three tensor
/// maps and the barriers of its loads, rounded up to 128.
inline constexpr int kEpilogueMapBytes = 3 * 128;
inline constexpr int kEpilogueApartBytes = kEpilogueMapBytes + 128;

/// What CUTLASS's pointer-array kernels keep in shared memory, in their order, with `kEpilogueBytes` for the epilogue.
template <class Mainloop, int kEpilogueBytes>
struct KernelStorage {
  using Scheduler = cutlass::gemm::kernel::detail::PersistentTileSchedulerSm90Group<
      cutlass::gemm::GroupProblemShape<cute::Shape<int, int, int>>, 8>;
  static constexpr int kEpilogueTensorBytes =
      kEpilogueBytes > kEpilogueApartBytes ? kEpilogueBytes - kEpilogueApartBytes : 0;
  struct Tensors : cute::aligned_struct<128, cute::_1> {
    typename Mainloop::TensorStorage mainloop;
    alignas(128) cute::array<uint8_t, kEpilogueTensorBytes> epilogue;
  } tensors;
  alignas(16) typename Scheduler::PipelineStorage scheduler;
  alignas(16) typename Mainloop::PipelineStorage mainloop;
  alignas(16) cute::array<uint64_t, 2> epilogue_loads;
  alignas(16) typename cutlass::OrderedSequenceBarrier<1, 2>::SharedStorage load_order;
  alignas(16) typename cutlass::OrderedSequenceBarrier<2, 2>::SharedStorage math_order;
  alignas(16) typename Scheduler::SchedulerResponse responses[8];
  alignas(128) typename Mainloop::TensorMapStorage tensormaps;
  alignas(128) cute::array<uint8_t, kEpilogueMapBytes> epilogue_tensormaps;
};

/// As many stages as fit beside the epilogue.
template <template <int> class MainloopOf, int kEpilogueBytes, int kStages = 2>
constexpr int most_stages() {
  if constexpr (sizeof(KernelStorage<MainloopOf<kStages + 1>, kEpilogueBytes>) <= kSmemBytes) {
    return most_stages<MainloopOf, kEpilogueBytes, kStages + 1>();
  } else {
    return kStages;
  }
}

/// The main loop for a tile and its number of stages. Schedule: Cooperative<..> or Pingpong<..>.
template <class Schedule, Multiply kMultiply, class ElementA, class LayoutA, class ElementB, class LayoutB,
          class TileShape, class ClusterShape, class StageCount>
struct Build {
  static constexpr bool kCooperative = Schedule::kCooperative;
  static constexpr int kM = cute::size<0>(TileShape{});
  static constexpr int kN = cute::size<1>(TileShape{});
  static constexpr int kK = cute::size<2>(TileShape{});
  static constexpr int kMathThreads = kCooperative ? 256 : 128;

  template <class Element>
  static constexpr bool kIsFp8 =
      cute::is_same_v<Element, cutlass::float_e4m3_t> || cute::is_same_v<Element, cutlass::float_e5m2_t>;
  static_assert(kIsFp8<ElementA> && kIsFp8<ElementB>, "operands are float_e4m3_t or float_e5m2_t");
  static_assert(cute::size(ClusterShape{}) == 1, "compute capability 12.x has no clusters: ClusterShape is 1x1x1");
  static_assert(kCooperative ? kM == 128 || kM == 256 : kM == 64 || kM == 128,
                "M of the tile is 128 or 256 (cooperative), 64 or 128 (pingpong)");
  static_assert(kN == 16 || (kN % 32 == 0 && kN <= 256), "N of the tile is 16 or a multiple of 32 up to 256");
  static_assert(kK == 64 || kK == 128, "K of the tile is 64 or 128: one row of it is one row of a swizzle");
  static_assert(kM * kN / kMathThreads <= 128, "a math thread holds at most 128 sums: make the tile smaller");

  // Warps of 16 x 8 blocks side by side: of each 32 features a warp takes two blocks, so that one ldmatrix of four
  // registers brings both; of 16 features there is one for each warp, and an ldmatrix of two.
  using Warps = cute::conditional_t<kCooperative, cute::Layout<cute::Shape<cute::_4, cute::_2, cute::_1>>,
                                    cute::Layout<cute::Shape<cute::_2, cute::_2, cute::_1>>>;
  using MmaTile = cute::Tile<cute::Int<(kM < 128 ? kM : 128)>, cute::Int<(kN < 32 ? kN : 32)>, cute::_32>;
  using TiledMma =
      decltype(cute::make_tiled_mma(cute::MMA_Atom<Fp8Mma<kMultiply, ElementA, ElementB>>{}, Warps{}, MmaTile{}));
  using CopyAtomA = cute::Copy_Atom<cute::SM75_U32x4_LDSM_N, uint8_t>;
  using CopyAtomB =
      cute::Copy_Atom<cute::conditional_t<kN == 16, cute::SM75_U32x2_LDSM_N, cute::SM75_U32x4_LDSM_N>, uint8_t>;
  using SmemAtom =
      cute::conditional_t<kK == 128, cute::UMMA::Layout_K_SW128_Atom<uint8_t>, cute::UMMA::Layout_K_SW64_Atom<uint8_t>>;

  template <int kStages>
  using MainloopOf = cutlass::gemm::collective::CollectiveMma<
      ArrayMainloop<kStages, typename Schedule::Kernel>, TileShape, ElementA, cutlass::gemm::TagToStrideA_t<LayoutA>,
      ElementB, cutlass::gemm::TagToStrideB_t<LayoutB>, TiledMma, cute::SM90_TMA_LOAD, SmemAtom, CopyAtomA,
      cute::identity, cute::SM90_TMA_LOAD, SmemAtom, CopyAtomB, cute::identity>;

  template <int kCount>
  static constexpr int stages(cutlass::gemm::collective::StageCount<kCount>) {
    return kCount;
  }
  template <int kEpilogueBytes>
  static constexpr int stages(cutlass::gemm::collective::StageCountAutoCarveout<kEpilogueBytes>) {
    static_assert(kEpilogueBytes > 0,
                  "StageCountAuto cannot know what the epilogue takes: give "
                  "StageCountAutoCarveout<int(sizeof(typename CollectiveEpilogue::SharedStorage))>");
    return most_stages<MainloopOf, kEpilogueBytes>();
  }
  template <int kCount>
  static constexpr int epilogue_bytes(cutlass::gemm::collective::StageCount<kCount>) {
    return 0;  // at least: fits<Kernel> knows
  }
  template <int kEpilogueBytes>
  static constexpr int epilogue_bytes(cutlass::gemm::collective::StageCountAutoCarveout<kEpilogueBytes>) {
    return kEpilogueBytes;
  }

  using Mainloop = MainloopOf<stages(StageCount{})>;
  static_assert(sizeof(KernelStorage<Mainloop, epilogue_bytes(StageCount{})>) <= kSmemBytes,
                "the stages asked for, or two, do not fit 101,376 bytes of shared memory: make the tile smaller");
};

}  // namespace detail

/// Whether a collective is this one, and not one that a later CUTLASS may bring for the same tag.
template <class Collective>
inline constexpr bool is_ours = false;
template <int kStages, class Schedule, class... Rest>
inline constexpr bool is_ours<cutlass::gemm::collective::CollectiveMma<ArrayMainloop<kStages, Schedule>, Rest...>> =
    true;

/// Whether a finished kernel fits a card of compute capability 12.x.
template <class Kernel>
inline constexpr bool fits = Kernel::SharedStorageSize <= detail::kSmemBytes;

}  // namespace moesaic::sm120

namespace cutlass::gemm::collective {

// Both tags above: no other template has these parameters.
template <class ElementA, class LayoutA, int kAlignmentA, class ElementB, class LayoutB, int kAlignmentB,
          class TileShape, class ClusterShape, class StageCount,
          template <int, moesaic::sm120::Multiply> class Schedule, int kSchedulerStages,
          moesaic::sm120::Multiply kMultiply>
struct CollectiveBuilder<arch::Sm120, arch::OpClassTensorOp, ElementA, LayoutA, kAlignmentA, ElementB, LayoutB,
                         kAlignmentB, float, TileShape, ClusterShape, StageCount,
                         Schedule<kSchedulerStages, kMultiply>> {
  using CollectiveOp =
      typename moesaic::sm120::detail::Build<Schedule<kSchedulerStages, kMultiply>, kMultiply, ElementA, LayoutA,
                                             ElementB, LayoutB, TileShape, ClusterShape, StageCount>::Mainloop;
};

// CUTLASS's own tags. Its builder claims them too; these specializations are chosen because they repeat its condition
// over a tag that is spelled out, which makes them more specialized. Where a version of CUTLASS words its condition
// otherwise than here, the compiler reports an ambiguity: it never falls back to CUTLASS's in silence.
#if CUTLASS_VERSION < 460
#define MOESAIC_CUTLASS_CLAIMS(TAG)                                                          \
  cute::enable_if_t<not cute::is_tuple_v<ElementA> && not cute::is_tuple_v<ElementB> &&      \
                    not cute::is_tuple_v<LayoutA> && not cute::is_tuple_v<LayoutB> &&        \
                    (cute::is_base_of_v<KernelScheduleSm120DenseGemm, TAG> ||                \
                     cute::is_base_of_v<KernelTmaWarpSpecializedPingpong, TAG> ||            \
                     cute::is_base_of_v<KernelTmaWarpSpecializedCooperative, TAG> ||         \
                     cute::is_base_of_v<KernelPtrArrayTmaWarpSpecializedPingpong, TAG> ||    \
                     cute::is_base_of_v<KernelPtrArrayTmaWarpSpecializedCooperative, TAG> || \
                     cute::is_same_v<KernelScheduleAuto, TAG>)&&detail::                     \
                        sm1xx_gemm_is_aligned<ElementA, kAlignmentA, ElementB, kAlignmentB, TAG>()>
#else
#define MOESAIC_CUTLASS_CLAIMS(TAG)                                                               \
  cute::enable_if_t<not cute::is_tuple_v<ElementA> && not cute::is_tuple_v<ElementB> &&           \
                    not cute::is_tuple_v<LayoutA> && not cute::is_tuple_v<LayoutB> &&             \
                    (cute::is_base_of_v<KernelPtrArrayTmaWarpSpecializedCooperative, TAG> ||      \
                     cute::is_base_of_v<KernelPtrArrayTmaWarpSpecializedPingpong, TAG>)&&detail:: \
                        sm1xx_gemm_is_aligned<ElementA, kAlignmentA, ElementB, kAlignmentB, TAG>()>
#endif

template <class ElementA, class LayoutA, int kAlignmentA, class ElementB, class LayoutB, int kAlignmentB,
          class ElementAccumulator, class TileShape, class ClusterShape, class StageCount, int kSchedulerStages>
struct CollectiveBuilder<arch::Sm120, arch::OpClassTensorOp, ElementA, LayoutA, kAlignmentA, ElementB, LayoutB,
                         kAlignmentB, ElementAccumulator, TileShape, ClusterShape, StageCount,
                         KernelPtrArrayTmaWarpSpecializedCooperativeSm120<kSchedulerStages>,
                         MOESAIC_CUTLASS_CLAIMS(KernelPtrArrayTmaWarpSpecializedCooperativeSm120<kSchedulerStages>)>
    : CollectiveBuilder<arch::Sm120, arch::OpClassTensorOp, ElementA, LayoutA, kAlignmentA, ElementB, LayoutB,
                        kAlignmentB, ElementAccumulator, TileShape, ClusterShape, StageCount,
                        moesaic::sm120::Cooperative<kSchedulerStages>> {};

template <class ElementA, class LayoutA, int kAlignmentA, class ElementB, class LayoutB, int kAlignmentB,
          class ElementAccumulator, class TileShape, class ClusterShape, class StageCount, int kSchedulerStages>
struct CollectiveBuilder<arch::Sm120, arch::OpClassTensorOp, ElementA, LayoutA, kAlignmentA, ElementB, LayoutB,
                         kAlignmentB, ElementAccumulator, TileShape, ClusterShape, StageCount,
                         KernelPtrArrayTmaWarpSpecializedPingpongSm120<kSchedulerStages>,
                         MOESAIC_CUTLASS_CLAIMS(KernelPtrArrayTmaWarpSpecializedPingpongSm120<kSchedulerStages>)>
    : CollectiveBuilder<arch::Sm120, arch::OpClassTensorOp, ElementA, LayoutA, kAlignmentA, ElementB, LayoutB,
                        kAlignmentB, ElementAccumulator, TileShape, ClusterShape, StageCount,
                        moesaic::sm120::Pingpong<kSchedulerStages>> {};

#undef MOESAIC_CUTLASS_CLAIMS

}  // namespace cutlass::gemm::collective
