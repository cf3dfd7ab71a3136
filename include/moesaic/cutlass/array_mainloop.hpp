#pragma once

#include <cutlass/arch/barrier.h>
#include <cutlass/cutlass.h>
#include <cute/algorithm/gemm.hpp>
#include <cute/arch/copy_sm90_desc.hpp>
#include <cute/arch/copy_sm90_tma.hpp>
#include <cute/atom/copy_traits_sm90_tma.hpp>
#include <cute/tensor.hpp>
#include <cutlass/detail/layout.hpp>
#include <cutlass/gemm/collective/collective_mma_decl.hpp>
#include <cutlass/gemm/dispatch_policy.hpp>
#include <cutlass/pipeline/pipeline.hpp>

namespace moesaic::sm120 {

/// Dispatch policy of the grouped FP8 main loop: A and B are K-major and given by one pointer for each group.
template <int kStages, class Schedule_>
struct ArrayMainloop {
  static constexpr int Stages = kStages;
  static constexpr int PipelineAsyncMmaStages = 0;
  static constexpr int SchedulerPipelineStageCount = Schedule_::SchedulerPipelineStageCount;
  using ClusterShape = cute::Shape<cute::_1, cute::_1, cute::_1>;
  using Schedule = Schedule_;
  using ArchTag = cutlass::arch::Sm120;
};

/// CUTLASS's TMA pipeline, but a stage is given back by one arrival of each consumer warp. CUTLASS lets every thread
/// arrive: 256 arrivals for each k tile where 8 do.
template <int kStages>
class WarpReleasePipeline : public cutlass::PipelineTmaAsync<kStages> {
  using Base = cutlass::PipelineTmaAsync<kStages>;

 public:
  using typename Base::Params;
  using typename Base::PipelineState;
  using typename Base::SharedStorage;

  template <class ClusterShape>
  CUTLASS_DEVICE WarpReleasePipeline(SharedStorage& storage, Params params, ClusterShape cluster_shape)
      : Base(storage, with_warps(params), cluster_shape), empty_(storage.empty_barrier_) {}

  /// All lanes of a warp call, when none of them has anything left to read of the stage.
  CUTLASS_DEVICE void consumer_release(PipelineState state) {
    __syncwarp();
    if (cutlass::canonical_lane_idx() == 0) empty_[state.index()].arrive();
  }

 private:
  CUTLASS_DEVICE static Params with_warps(Params params) {
    params.num_consumers /= cutlass::NumThreadsPerWarp;
    return params;
  }

  typename Base::EmptyBarrier* empty_;
};

}  // namespace moesaic::sm120

/// The main loop of a grouped GEMM for CUTLASS's pointer-array kernels (cooperative and pingpong) on compute capability
/// 12.x:
///
///   accumulators[m, n] = sum_k A[g][m, k] * B[g][n, k]     for one tile of group g
///
/// One thread of the producer warp fills a ring of stages by TMA, through two tensor maps that are its block's own:
/// they are patched in shared memory for each group and copied to the workspace, 2 * 128 bytes for each SM. The math
/// warps read a stage by ldmatrix, multiply, and give it back with one arrival each; nothing else waits for all of
/// them. Every element is one chain of multiplies in ascending k, whatever the tile.
///
/// What stands outside a group's rows or K is zero: the tensor maps have the group's own extents.
template <int kStages, class Schedule, class TileShape_, class ElementA_, class StrideA_, class ElementB_,
          class StrideB_, class TiledMma_, class GmemTiledCopyA_, class SmemLayoutAtomA_, class SmemCopyAtomA_,
          class GmemTiledCopyB_, class SmemLayoutAtomB_, class SmemCopyAtomB_>
struct cutlass::gemm::collective::CollectiveMma<moesaic::sm120::ArrayMainloop<kStages, Schedule>, TileShape_, ElementA_,
                                                StrideA_, ElementB_, StrideB_, TiledMma_, GmemTiledCopyA_,
                                                SmemLayoutAtomA_, SmemCopyAtomA_, cute::identity, GmemTiledCopyB_,
                                                SmemLayoutAtomB_, SmemCopyAtomB_, cute::identity> {
  // The names that CUTLASS's kernel layer and adapter read.
  using DispatchPolicy = moesaic::sm120::ArrayMainloop<kStages, Schedule>;
  using ArchTag = typename DispatchPolicy::ArchTag;
  using TileShape = TileShape_;
  using CtaShape_MNK = TileShape;
  using TiledMma = TiledMma_;
  using ElementAccumulator = typename TiledMma::ValTypeC;
  using ElementA = ElementA_;
  using ElementB = ElementB_;
  using StrideA = StrideA_;
  using StrideB = StrideB_;
  using InternalStrideA = cute::remove_pointer_t<StrideA>;
  using InternalStrideB = cute::remove_pointer_t<StrideB>;
  using GmemTiledCopyA = GmemTiledCopyA_;
  using GmemTiledCopyB = GmemTiledCopyB_;
  using SmemLayoutAtomA = SmemLayoutAtomA_;
  using SmemLayoutAtomB = SmemLayoutAtomB_;
  using SmemCopyAtomA = SmemCopyAtomA_;
  using SmemCopyAtomB = SmemCopyAtomB_;
  using TransformA = cute::identity;
  using TransformB = cute::identity;
  using MainloopPipeline = moesaic::sm120::WarpReleasePipeline<kStages>;
  using PipelineState = typename MainloopPipeline::PipelineState;
  using PipelineStorage = typename MainloopPipeline::SharedStorage;
  static constexpr int NumProducerThreadEvents = 1;

  static_assert(cute::is_pointer_v<StrideA> && cute::is_pointer_v<StrideB>,
                "this main loop is for grouped GEMMs: give A and B pointer layouts (RowMajor*, ColumnMajor*)");
  static_assert(cutlass::gemm::detail::is_major<1>(InternalStrideA{}) &&
                    cutlass::gemm::detail::is_major<1>(InternalStrideB{}),
                "both operands must be K-major: A RowMajor*, B ColumnMajor*");
  static_assert(cute::sizeof_bits_v<ElementA> == 8 && cute::sizeof_bits_v<ElementB> == 8, "operands are FP8");
  static_assert(kStages >= 2, "a ring has at least 2 stages");

  using SmemLayoutA = decltype(cute::tile_to_shape(
      SmemLayoutAtomA{},
      cute::make_shape(cute::size<0>(TileShape{}), cute::size<2>(TileShape{}), cute::Int<kStages>{})));
  using SmemLayoutB = decltype(cute::tile_to_shape(
      SmemLayoutAtomB{},
      cute::make_shape(cute::size<1>(TileShape{}), cute::size<2>(TileShape{}), cute::Int<kStages>{})));

  struct TensorStorage {
    alignas(1024) cute::ArrayEngine<uint8_t, cute::cosize_v<SmemLayoutA>> a;  // 128-byte swizzle repeats every 1024
    alignas(1024) cute::ArrayEngine<uint8_t, cute::cosize_v<SmemLayoutB>> b;
  };
  struct TensorMapStorage : cute::aligned_struct<128> {
    cute::TmaDescriptor a;
    cute::TmaDescriptor b;
  };

  /// One group's operands: ptr_A[g] is M x K with K contiguous and get<0>(dA[g]) elements from row to row, ptr_B[g]
  /// is N x K likewise. All four are arrays on the device with an entry for each group; pointers and rows must be
  /// multiples of 16 bytes. A group without rows may have any pointer.
  struct Arguments {
    ElementA const** ptr_A{nullptr};
    StrideA dA{};
    ElementB const** ptr_B{nullptr};
    StrideB dB{};
  };

 private:
  /// A TMA copy of one stage of an operand. Its tensor map is a template: extents and address are a group's own.
  template <class Copy, class Stride, class SmemLayout>
  static auto make_tma(Copy copy, Stride, SmemLayout) {
    auto stage = SmemLayout{}(cute::_, cute::_, cute::Int<0>{});
    auto box = cute::make_shape(cute::size<0>(stage), cute::size<1>(stage));
    auto shape = cute::make_shape(int32_t{cute::get<0>(box)}, int32_t{cute::get<1>(box)}, int32_t{1});
    auto tensor = cute::make_tensor(static_cast<uint8_t const*>(nullptr), cute::make_layout(shape, Stride{}));
    return cute::make_tma_copy(copy, tensor, stage, box, cute::_1{});
  }

 public:
  struct Params {
    using TmaA = decltype(make_tma(GmemTiledCopyA{}, InternalStrideA{}, SmemLayoutA{}));
    using TmaB = decltype(make_tma(GmemTiledCopyB{}, InternalStrideB{}, SmemLayoutB{}));
    TmaA tma_load_a;
    TmaB tma_load_b;
    uint32_t tma_transaction_bytes;   ///< of one stage; TMA counts what it fills with zeros too
    cute::TmaDescriptor* tensormaps;  ///< A's of every SM, then B's
    Arguments operands;
  };

  template <class ProblemShape>
  static Params to_underlying_arguments(ProblemShape const&, Arguments const& args, void* workspace) {
    return {make_tma(GmemTiledCopyA{}, InternalStrideA{}, SmemLayoutA{}),
            make_tma(GmemTiledCopyB{}, InternalStrideB{}, SmemLayoutB{}),
            static_cast<uint32_t>(sizeof(TensorStorage::a) + sizeof(TensorStorage::b)) / kStages,
            static_cast<cute::TmaDescriptor*>(workspace), args};
  }

  template <class ProblemShape>
  static size_t get_workspace_size(ProblemShape const&, Arguments const&, int sm_count) {
    return 2 * sizeof(cute::TmaDescriptor) * sm_count;
  }

  template <class ProblemShape>
  static cutlass::Status initialize_workspace(ProblemShape const&, Arguments const&, void*, cudaStream_t,
                                              CudaHostAdapter* = nullptr) {
    return cutlass::Status::kSuccess;
  }

  /// False where the host knows the problem shapes and a group's K is no multiple of 16.
  template <class ProblemShape>
  static bool can_implement(ProblemShape const& problem_shapes, Arguments const&) {
    if (!problem_shapes.is_host_problem_shape_available()) return true;
    for (int group = 0; group < problem_shapes.groups(); ++group) {
      if (cute::get<2>(problem_shapes.get_host_problem_shape(group)) % 16 != 0) return false;
    }
    return true;
  }

  // The producer warp.

  /// A as (BLK_M, BLK_K, m, k, l) and B as (BLK_N, BLK_K, n, k, l), in coordinates of their tensor maps; l is 0.
  template <class ProblemShapeMnkl>
  CUTLASS_DEVICE auto load_init(ProblemShapeMnkl const& problem_shape, Params const& params) const {
    using namespace cute;
    auto [M, N, K, L] = problem_shape;
    Tensor a = params.tma_load_a.get_tma_tensor(make_shape(M, K, Int<1>{}));
    Tensor b = params.tma_load_b.get_tma_tensor(make_shape(N, K, Int<1>{}));
    return make_tuple(local_tile(a, TileShape{}, make_coord(_, _, _), Step<_1, X, _1>{}),
                      local_tile(b, TileShape{}, make_coord(_, _, _), Step<X, _1, _1>{}));
  }

  /// Starts the copies of `k_tile_count` k tiles, each when its stage is free.
  template <class TensorA, class TensorB, class TensorMaps, class BlockCoord, class KTileIterator>
  CUTLASS_DEVICE void load(Params const& params, MainloopPipeline pipeline, PipelineState write,
                           cute::tuple<TensorA, TensorB> const& inputs, TensorMaps const& tensormaps,
                           BlockCoord const& block, KTileIterator k_tile, int k_tile_count, int, uint32_t,
                           TensorStorage& storage) {
    using namespace cute;
    if (!elect_one_sync()) return;
    auto [m, n, k, l] = block;
    auto slice_a = params.tma_load_a.get_slice(0);
    auto slice_b = params.tma_load_b.get_slice(0);
    Tensor from_a = slice_a.partition_S(get<0>(inputs)(_, _, m, _, l));  // (TMA, 1, 1, k)
    Tensor from_b = slice_b.partition_S(get<1>(inputs)(_, _, n, _, l));
    Tensor to_a = slice_a.partition_D(make_tensor(make_smem_ptr(storage.a.begin()), SmemLayoutA{}));  // (TMA, 1, 1, S)
    Tensor to_b = slice_b.partition_D(make_tensor(make_smem_ptr(storage.b.begin()), SmemLayoutB{}));

    CUTLASS_PRAGMA_NO_UNROLL
    for (; k_tile_count > 0; --k_tile_count, ++k_tile, ++write) {
      pipeline.producer_acquire(write);
      auto& full = *pipeline.producer_get_barrier(write);
      copy(params.tma_load_a.with(get<0>(tensormaps), full), from_a(_, _, _, *k_tile), to_a(_, _, _, write.index()));
      copy(params.tma_load_b.with(get<1>(tensormaps), full), from_b(_, _, _, *k_tile), to_b(_, _, _, write.index()));
    }
  }

  /// Waits until the math warps have read all stages, so that the block does not end before them.
  CUTLASS_DEVICE void load_tail(MainloopPipeline pipeline, PipelineState write) {
    if (cute::elect_one_sync()) pipeline.producer_tail(write);
  }

  // The math warps.

  /// accumulators = the tile's sums over `k_tile_count` stages. CUTLASS 4.5's kernels pass the tile's coordinate as
  /// well.
  template <class Accumulators, class... Unused>
  CUTLASS_DEVICE void mma(MainloopPipeline pipeline, PipelineState read, Accumulators& accumulators, int k_tile_count,
                          int thread_idx, TensorStorage& storage, Params const&, Unused const&...) {
    using namespace cute;
    Tensor stages_a =
        as_position_independent_swizzle_tensor(make_tensor(make_smem_ptr(storage.a.begin()), SmemLayoutA{}));
    Tensor stages_b =
        as_position_independent_swizzle_tensor(make_tensor(make_smem_ptr(storage.b.begin()), SmemLayoutB{}));
    TiledMma tiled_mma;
    auto thread_mma = tiled_mma.get_thread_slice(thread_idx);
    Tensor a = thread_mma.partition_fragment_A(stages_a(_, _, Int<0>{}));  // (MMA, MMA_M, MMA_K)
    Tensor b = thread_mma.partition_fragment_B(stages_b(_, _, Int<0>{}));  // (MMA, MMA_N, MMA_K)

    auto copy_a = make_tiled_copy_A(SmemCopyAtomA{}, tiled_mma);
    auto copy_b = make_tiled_copy_B(SmemCopyAtomB{}, tiled_mma);
    auto thread_copy_a = copy_a.get_thread_slice(thread_idx);
    auto thread_copy_b = copy_b.get_thread_slice(thread_idx);
    Tensor from_a = thread_copy_a.partition_S(stages_a);  // (CPY, CPY_M, CPY_K, S)
    Tensor from_b = thread_copy_b.partition_S(stages_b);
    Tensor to_a = thread_copy_a.retile_D(a);  // (CPY, CPY_M, CPY_K)
    Tensor to_b = thread_copy_b.retile_D(b);

    clear(accumulators);
    constexpr int kBlocks = size<2>(a);
    CUTLASS_PRAGMA_NO_UNROLL
    for (; k_tile_count > 0; --k_tile_count, ++read) {
      pipeline.consumer_wait(read);
      for_each(make_int_sequence<kBlocks>{}, [&](auto block) {
        copy(copy_a, from_a(_, _, block, read.index()), to_a(_, _, block));
        copy(copy_b, from_b(_, _, block, read.index()), to_b(_, _, block));
        if constexpr (block == kBlocks - 1) pipeline.consumer_release(read);
        cute::gemm(tiled_mma, a(_, _, block), b(_, _, block), accumulators);
      });
    }
  }

  /// Every stage has been given back when `mma` returns.
  CUTLASS_DEVICE void mma_tail(MainloopPipeline, PipelineState, int) {}

  // The tensor maps of the producer warp, whose lanes all call these.

  /// Copies the templates to shared memory and says where the block's own maps stand: (A's, B's).
  CUTLASS_DEVICE auto tensormaps_init(Params const& params, TensorMapStorage& storage, int32_t sm_count,
                                      int32_t sm_idx) {
    if (cute::elect_one_sync()) {
      storage.a = *params.tma_load_a.get_tma_descriptor();
      storage.b = *params.tma_load_b.get_tma_descriptor();
    }
    __syncwarp();
    return cute::make_tuple(&params.tensormaps[sm_idx], &params.tensormaps[sm_count + sm_idx]);
  }

  /// Patches the maps in shared memory for group `group`, whose problem is `problem_shape` (M, N, K, 1).
  template <class TensorMaps, class ProblemShapeMnkl>
  CUTLASS_DEVICE void tensormaps_perform_update(TensorMapStorage& storage, Params const& params, TensorMaps const&,
                                                ProblemShapeMnkl const& problem_shape, int32_t group) {
    if (!cute::elect_one_sync()) return;
    auto [M, N, K, L] = problem_shape;
    Arguments const& operands = params.operands;
    patch(storage.a, params.tma_load_a, operands.ptr_A[group], operands.dA[group], M, K);
    patch(storage.b, params.tma_load_b, operands.ptr_B[group], operands.dB[group], N, K);
  }

  /// Publishes the patched maps to the copy engine.
  template <class TensorMaps>
  CUTLASS_DEVICE void tensormaps_cp_fence_release(TensorMapStorage& storage, TensorMaps const& tensormaps) {
    if (cute::elect_one_sync()) {  // as every collective of CUTLASS's does before it overwrites a map
      cute::tma_desc_commit_group();
      cute::tma_desc_wait_group();
    }
    cute::tma_descriptor_cp_fence_release(cute::get<0>(tensormaps), storage.a);
    cute::tma_descriptor_cp_fence_release(cute::get<1>(tensormaps), storage.b);
  }

  template <class TensorMaps>
  CUTLASS_DEVICE void tensormaps_fence_acquire(TensorMaps const& tensormaps) {
    cute::tma_descriptor_fence_acquire(cute::get<0>(tensormaps));
    cute::tma_descriptor_fence_acquire(cute::get<1>(tensormaps));
  }

  /// Coordinates in a tensor map do not depend on the group.
  template <class Inputs, class ProblemShapeMnkl>
  CUTLASS_DEVICE Inputs tensors_perform_update(Inputs const& inputs, Params const&, ProblemShapeMnkl const&, int32_t) {
    return inputs;
  }

 private:
  /// Makes `map` describe a matrix of rows x k codes at `address`.
  template <class Tma, class Element, class Stride>
  CUTLASS_DEVICE static void patch(cute::TmaDescriptor& map, Tma const& tma, Element const* address,
                                   Stride const& stride, int rows, int k) {
    // All five extents and strides, as those that the map does not have must be valid too.
    cute::array<uint32_t, 5> extents = {1, 1, 1, 1, 1};
    cute::array<uint64_t, 5> strides = {0, 0, 0, 0, 0};  // in bytes, which are elements here
    auto layout = cute::make_layout(cute::make_shape(uint32_t(rows), uint32_t(k), cute::Int<1>{}), stride);
    cute::detail::fill_tma_gmem_shape_stride(tma, cute::make_tensor(static_cast<uint8_t const*>(nullptr), layout),
                                             extents, strides);
    cute::tma_descriptor_replace_addr_in_shared_mem(map, address);
    cute::tma_descriptor_replace_dims_strides_in_shared_mem(map, extents, strides);
  }
};
