#pragma once

#include <cutlass/epilogue/thread/activation.h>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/epilogue/fusion/operations.hpp>
#include <cutlass/epilogue/fusion/sm90_visitor_compute_tma_warpspecialized.hpp>
#include <cutlass/epilogue/fusion/sm90_visitor_load_tma_warpspecialized.hpp>

/// The epilogue of a grouped GEMM with dequantization scales, as CUTLASS epilogue visitor trees:
///
///   D[m, n] = round(accumulator[m, n] * w_scale * x_scale (+ bias))
///
/// with a scale for each group or for each row or column of each group. f32 throughout, every product and the sum
/// rounded to nearest on its own, one rounding to D's type at the end.
namespace moesaic::sm120 {

/// Along which index of D a vector runs.
enum class Axis { m, n };

/// A vector of values for each group. Group g's starts at
///   pointers[g]                               where there are pointers,
///   base + first[g] * per_element             where there are none and `first` (a prefix sum of rows) is given,
///   base + g * group_stride                   otherwise.
/// per_element 1: the vector has an element for each index of its axis; 0: one value serves the whole group. So one
/// f32 for everything is {base, group_stride 0, per_element 0}, one for each token {base, first, per_element 1}, one
/// for each expert {base, group_stride 1, per_element 0}, one for each of N channels {base, group_stride N, per_element
/// 1}. All pointers are the device's. Neither pointers nor base: every value is `absent`; a scale's is 1, a bias wants
/// 0.
template <class Element>
struct GroupVector {
  Element const* base = nullptr;
  int64_t group_stride = 0;
  int32_t per_element = 1;
  int64_t const* first = nullptr;
  Element const* const* pointers = nullptr;
  Element absent = Element(1);

  CUTLASS_HOST_DEVICE Element const* of_group(int64_t group) const {
    if (pointers != nullptr) return pointers[group];
    if (base == nullptr) return nullptr;
    return base + (first != nullptr ? first[group] * per_element : group * group_stride);
  }
  /// Element `index` of the vector that `of_group` gave.
  CUTLASS_HOST_DEVICE Element value(Element const* vector, int64_t index) const {
    return vector == nullptr ? absent : vector[index * per_element];
  }
};

/// A leaf of a visitor tree: a GroupVector along kAxis. Read from memory into registers once for each tile, before its
/// first subtile.
template <Axis kAxis, class Element = float>
struct VectorBroadcast : cutlass::epilogue::fusion::detail::Sm90VisitorImpl<> {
  static constexpr int kMode = kAxis == Axis::m ? 0 : 1;
  using Arguments = GroupVector<Element>;
  using Params = Arguments;

  template <class ProblemShape>
  static constexpr Params to_underlying_arguments(ProblemShape const&, Arguments const& args, void*) {
    return args;
  }
  template <class ProblemShape>
  static bool can_implement(ProblemShape const&, Arguments const&) {
    return true;
  }
  template <class ProblemShape>
  static size_t get_workspace_size(ProblemShape const&, Arguments const&) {
    return 0;
  }
  template <class ProblemShape>
  static cutlass::Status initialize_workspace(ProblemShape const&, Arguments const&, void*, cudaStream_t,
                                              cutlass::CudaHostAdapter* = nullptr) {
    return cutlass::Status::kSuccess;
  }

  CUTLASS_HOST_DEVICE VectorBroadcast() {}
  CUTLASS_HOST_DEVICE VectorBroadcast(Params const& params, SharedStorage const&) : params_(params) {}

  template <class Values, class Coordinates>
  struct Callbacks : cutlass::epilogue::fusion::detail::EmptyConsumerStoreCallbacks {
    Params const& params;
    Values values;            // (CPY, CPY_M, CPY_N, EPI_M, EPI_N) in registers, stride 0 off the axis
    Coordinates coordinates;  // likewise, relative to this thread's first element
    int group;
    int origin;  // this thread's first element along the axis
    int extent;  // of the group along the axis

    CUTLASS_DEVICE Callbacks(Params const& p, Values const& registers, Coordinates const& at, int g, int first, int all)
        : params(p), values(registers), coordinates(at), group(g), origin(first), extent(all) {}

    CUTLASS_DEVICE void begin() {
      cute::Tensor to = cute::filter_zeros(values);
      cute::Tensor at = cute::filter_zeros(coordinates, values.stride());
      Element const* vector = params.of_group(group);
      CUTLASS_PRAGMA_UNROLL
      for (int i = 0; i < cute::size(to); ++i) {
        const int index = origin + cute::get<kMode>(at(i));
        to(i) = index < extent ? params.value(vector, index) : Element(0);  // what is not in the group is not stored
      }
    }

    template <class Accumulator, int kCount>
    CUTLASS_DEVICE auto visit(cutlass::Array<Accumulator, kCount> const&, int epi_v, int epi_m, int epi_n) {
      cute::Tensor subtile = values(cute::_, cute::_, cute::_, epi_m, epi_n);
      cutlass::Array<float, kCount> out;
      CUTLASS_PRAGMA_UNROLL
      for (int i = 0; i < kCount; ++i) out[i] = float(subtile(epi_v * kCount + i));
      return out;
    }
  };

  template <bool kReferenceSource, class... Args>
  CUTLASS_DEVICE auto get_consumer_store_callbacks(
      cutlass::epilogue::fusion::detail::ConsumerStoreArgs<Args...> const& args) {
    using namespace cute;
    auto shape = take<0, 2>(args.problem_shape_mnkl);
    using Stride = conditional_t<kAxis == Axis::m, cute::Stride<_1, _0, _0>, cute::Stride<_0, _1, _0>>;
    auto vector = make_tensor(static_cast<Element*>(nullptr), make_layout(append(shape, 1), Stride{}));
    auto [m, n, k, l] = args.tile_coord_mnkl;
    auto partition = cutlass::epilogue::fusion::detail::sm90_partition_for_epilogue<kReferenceSource>(
        vector, args.tile_shape_mnk, make_coord(m, n, k, 0), args.epi_tile, args.tiled_copy, args.thread_idx);
    auto values = make_tensor_like<Element>(partition);
    const int extent = get<kMode>(shape);
    return Callbacks<decltype(values), decltype(args.tCcD)>(params_, values, args.tCcD, static_cast<int>(l),
                                                            extent - get<kMode>(args.residue_tCcD), extent);
  }

 private:
  Params params_;
};

namespace detail {

/// a * b, rounded: a multiply that the compiler does not fuse with the addition of a bias.
template <class Fragment>
struct Product {};
template <int kCount>
struct Product<cutlass::Array<float, kCount>> {
  CUTLASS_DEVICE auto operator()(cutlass::Array<float, kCount> a, cutlass::Array<float, kCount> const& b) const {
    CUTLASS_PRAGMA_UNROLL
    for (int i = 0; i < kCount; ++i) a[i] = __fmul_rn(a[i], b[i]);
    return a;
  }
};

template <template <class> class Function, class Element>
using Rounded =
    cutlass::epilogue::fusion::Sm90Compute<Function, Element, float, cutlass::FloatRoundStyle::round_to_nearest>;

constexpr Axis other(Axis axis) {
  return axis == Axis::m ? Axis::n : Axis::m;
}

}  // namespace detail

/// D = accumulator * w * x, w first. Its Arguments, in CUTLASS's order of operands: {x, {w, {}, {}}, {}}, x and w being
/// GroupVectors. kTokens is the axis of D along which tokens run; the weights' channels run along the other.
template <Axis kTokens, class ElementD>
using ScaledTree = cutlass::epilogue::fusion::Sm90EVT<
    detail::Rounded<detail::Product, ElementD>, VectorBroadcast<kTokens>,
    cutlass::epilogue::fusion::Sm90EVT<detail::Rounded<detail::Product, float>, VectorBroadcast<detail::other(kTokens)>,
                                       cutlass::epilogue::fusion::Sm90AccFetch>>;

/// D = accumulator * w * x + bias, a bias for each channel. Its Arguments: {{x, {w, {}, {}}, {}}, bias, {}}.
template <Axis kTokens, class ElementD, class ElementBias>
using ScaledBiasTree =
    cutlass::epilogue::fusion::Sm90EVT<detail::Rounded<cutlass::plus, ElementD>, ScaledTree<kTokens, float>,
                                       VectorBroadcast<detail::other(kTokens), ElementBias>>;

}  // namespace moesaic::sm120
