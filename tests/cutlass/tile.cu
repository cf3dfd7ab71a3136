// One tile of the collectives against the reference, as a program: MOESAIC_M, _N, _K: the tile; MOESAIC_SCHEDULE: the
// builder's tag; MOESAIC_TOKENS: the axis of tokens, m or n; MOESAIC_X: the type of the tokens; MOESAIC_D: the type of
// D; MOESAIC_BIAS: void or the type of a bias. Groups of 0, 1, 7, 128 and 129 rows, a K that ends inside a tile,
// channels that end inside a tile, both kinds of scales. A line for each case; exit code 1 when one is wrong. Writes
// what it computed to the file in its argument, for own_kernel.cpp.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "cutlass/device_vector.hpp"
#include "cutlass/grouped_case.hpp"
#include "moesaic/cutlass/grouped_mm.hpp"

namespace {

using namespace moesaic::test;
using moesaic::OutFormat;
using moesaic::TokenFormat;
using moesaic::sm120::Axis;
using moesaic::sm120::Cooperative;
using moesaic::sm120::Multiply;
using moesaic::sm120::Pingpong;
template <int kStages>
using CutlassCooperative = cutlass::gemm::KernelPtrArrayTmaWarpSpecializedCooperativeSm120<kStages>;
// nvcc takes a comma in -D for the end of a definition.
template <int kStages>
using PlainCooperative = Cooperative<kStages, Multiply::plain>;
template <int kStages>
using WidenedCooperative = Cooperative<kStages, Multiply::widened>;
template <int kStages>
using CutlassPingpong = cutlass::gemm::KernelPtrArrayTmaWarpSpecializedPingpongSm120<kStages>;

using Tile = cute::Shape<cute::Int<MOESAIC_M>, cute::Int<MOESAIC_N>, cute::Int<MOESAIC_K>>;
using Grouped =
    moesaic::sm120::GroupedGemm<MOESAIC_D, Axis::MOESAIC_TOKENS, Tile, MOESAIC_SCHEDULE, MOESAIC_BIAS, MOESAIC_X>;
constexpr bool kBiased = !cute::is_void_v<MOESAIC_BIAS>;  // a float
constexpr TokenFormat kTokenFormat =
    cute::is_same_v<MOESAIC_X, cutlass::float_e5m2_t> ? TokenFormat::e5m2 : TokenFormat::e4m3;
using Mainloop = typename Grouped::CollectiveMainloop;
static_assert(moesaic::sm120::is_ours<Mainloop>);

// The stage count is that of the kernel's real struct: one stage more would not fit.
constexpr int kStageBytes = MOESAIC_K * (MOESAIC_M + MOESAIC_N);
static_assert(Grouped::Kernel::SharedStorageSize + kStageBytes > 101'376);

constexpr OutFormat kFormat = sizeof(MOESAIC_D) == 4                            ? OutFormat::f32
                              : cute::is_same_v<MOESAIC_D, cutlass::bfloat16_t> ? OutFormat::bf16
                                                                                : OutFormat::f16;
// The form for compute capability 9.0 sums in another order.
constexpr bool kChain = !cute::is_same_v<
    typename Mainloop::TiledMma::MMA_Op,
    moesaic::sm120::Fp8Mma<Multiply::widened, typename Mainloop::ElementA, typename Mainloop::ElementB>>;
constexpr uint8_t kGuard = 0xa5;  // rows before and behind the output

/// Computes a case on the card; the rows of guard around the output must be as they were. Appends the output to `all`.
std::string run(const GroupedCase& grouped, int sm_count, std::vector<uint8_t>& all) {
  const int experts = grouped.experts();
  std::vector<int64_t> offsets;
  std::vector<int32_t> sizes;
  int64_t first = 0;
  for (const int rows : grouped.rows) {
    offsets.push_back(first);
    const bool tokens_as_m = Grouped::kTokens == Axis::m;
    for (const int size : {tokens_as_m ? rows : grouped.n, tokens_as_m ? grouped.n : rows, grouped.k})
      sizes.push_back(size);
    first += rows;
  }
  const std::size_t guard_bytes = grouped.n * sizeof(MOESAIC_D);
  const std::size_t out_bytes = first * guard_bytes;
  const DeviceVector<uint8_t> a(grouped.a);
  const DeviceVector<uint8_t> b(grouped.b);
  const DeviceVector<float> a_scales(grouped.a_scales);
  const DeviceVector<float> b_scales(grouped.b_scales);
  const DeviceVector<float> bias(grouped.bias);
  const DeviceVector<int64_t> expert_offsets(offsets);
  const DeviceVector<int32_t> problem_sizes(sizes);
  const DeviceVector<int64_t> ab_strides(std::vector<int64_t>(experts, grouped.k));
  const DeviceVector<int64_t> c_strides(std::vector<int64_t>(experts, grouped.n));
  const DeviceVector<uint8_t> out(std::vector<uint8_t>(out_bytes + 2 * guard_bytes, kGuard));
  const DeviceVector<uint8_t> workspace(moesaic::sm120::grouped_mm_workspace_bytes<Grouped>(experts, sm_count));

  const moesaic::sm120::GroupedMmArguments args{out.get() + guard_bytes,
                                                a.get(),
                                                b.get(),
                                                a_scales.get(),
                                                b_scales.get(),
                                                expert_offsets.get(),
                                                problem_sizes.get(),
                                                ab_strides.get(),
                                                ab_strides.get(),
                                                c_strides.get(),
                                                grouped.per_token,
                                                grouped.per_channel,
                                                experts,
                                                grouped.n,
                                                grouped.k,
                                                bias.get()};
  const cutlass::Status status = moesaic::sm120::grouped_mm<Grouped>(args, workspace.get(), sm_count, nullptr);
  if (status != cutlass::Status::kSuccess) return cutlass::cutlassGetStatusString(status);
  check(cudaDeviceSynchronize(), "the GEMM");

  const std::vector<uint8_t> written = out.host();
  for (std::size_t i = 0; i < guard_bytes; ++i) {
    if (written[i] != kGuard || written[guard_bytes + out_bytes + i] != kGuard) return "wrote outside the output";
  }
  all.insert(all.end(), written.begin() + guard_bytes, written.end() - guard_bytes);
  std::string problem = judge(grouped, written.data() + guard_bytes, kFormat);
  if (problem.empty() && kChain) problem = judge_bits(grouped, written.data() + guard_bytes, kFormat);
  return problem;
}

}  // namespace

int main(int argc, char** argv) {
  cudaDeviceProp card{};
  check(cudaGetDeviceProperties(&card, 0), "cudaGetDeviceProperties");
  std::printf("tile %dx%dx%d stages %d bytes %d\n", MOESAIC_M, MOESAIC_N, MOESAIC_K, Mainloop::DispatchPolicy::Stages,
              Grouped::Kernel::SharedStorageSize);

  bool right = true;
  std::vector<uint8_t> all;
  for (const GroupedCase& grouped : tile_cases(kBiased, kTokenFormat)) {
    const std::string problem = run(grouped, card.multiProcessorCount, all);
    std::printf("%s: %s\n", grouped.per_token ? "token and channel scales" : "tensor and expert scales",
                problem.empty() ? "right" : problem.c_str());
    right = right && problem.empty();
  }
  if (argc > 1) {
    std::ofstream file(argv[1], std::ios::binary);
    file.write(reinterpret_cast<const char*>(all.data()), all.size());
    if (!file.flush()) {
      std::printf("%s: the file cannot be written\n", argv[1]);
      right = false;
    }
  }
  return right ? 0 : 1;
}
