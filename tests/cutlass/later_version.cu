// CUTLASS 4.6 and later bring a builder of their own for the tags KernelPtrArrayTmaWarpSpecialized*Sm120, which no
// wheel has. This is compiled, and not run, over a tree that claims them as NVIDIA's repository did in 2026
// (sm120_array_mma_builder.inl at 91e3f66fb459): 4.5's headers without the claim of their dense builder, and a stand-in
// with the published condition. Whoever asks for these tags must get our collective, and the compiler must see no two
// that fit equally.
#include <cutlass/version.h>
#include <cutlass/gemm/collective/collective_builder.hpp>

namespace moesaic::test {

/// What the later CUTLASS would give.
struct Theirs {};

}  // namespace moesaic::test

namespace cutlass::gemm::collective {

template <class A, class LayoutA, int kAlignmentA, class B, class LayoutB, int kAlignmentB, class Accumulator,
          class Tile, class Cluster, class Stages, class Tag>
struct CollectiveBuilder<arch::Sm120, arch::OpClassTensorOp, A, LayoutA, kAlignmentA, B, LayoutB, kAlignmentB,
                         Accumulator, Tile, Cluster, Stages, Tag,
                         cute::enable_if_t<not cute::is_tuple_v<A> && not cute::is_tuple_v<B> &&
                                           not cute::is_tuple_v<LayoutA> && not cute::is_tuple_v<LayoutB> &&
                                           (cute::is_base_of_v<KernelPtrArrayTmaWarpSpecializedCooperative, Tag> ||
                                            cute::is_base_of_v<KernelPtrArrayTmaWarpSpecializedPingpong, Tag>)&&detail::
                                               sm1xx_gemm_is_aligned<A, kAlignmentA, B, kAlignmentB, Tag>()>> {
  using CollectiveOp = moesaic::test::Theirs;
};

}  // namespace cutlass::gemm::collective

#ifndef MOESAIC_WITHOUT_OURS
#include "moesaic/cutlass/builder.hpp"
#endif

namespace {

using namespace cutlass::gemm;

template <class Tag>
using Collective = typename collective::CollectiveBuilder<
    cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, cutlass::float_e4m3_t, cutlass::layout::RowMajor*, 16,
    cutlass::float_e4m3_t, cutlass::layout::ColumnMajor*, 16, float, cute::Shape<cute::_128, cute::_64, cute::_128>,
    cute::Shape<cute::_1, cute::_1, cute::_1>, collective::StageCount<2>, Tag>::CollectiveOp;

#ifdef MOESAIC_WITHOUT_OURS
template <class Tag>
constexpr bool kAsWanted = cute::is_same_v<Collective<Tag>, moesaic::test::Theirs>;
#else
template <class Tag>
constexpr bool kAsWanted = moesaic::sm120::is_ours<Collective<Tag>>;
static_assert(kAsWanted<moesaic::sm120::Cooperative<2>> && kAsWanted<moesaic::sm120::Pingpong<2>>);
#endif

static_assert(CUTLASS_VERSION >= 460);
static_assert(kAsWanted<KernelPtrArrayTmaWarpSpecializedCooperativeSm120<2>>);
static_assert(kAsWanted<KernelPtrArrayTmaWarpSpecializedPingpongSm120<3>>);

}  // namespace
