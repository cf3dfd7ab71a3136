// The preparation of grouped_mm's arguments on the device against a plain loop on the host, and the gate.
#include "moesaic/cutlass/moe_mm_data.hpp"

#include <cstdint>
#include <cstdio>
#include <vector>

#include "cutlass/device_vector.hpp"
#include "moesaic/cutlass/capability.hpp"

namespace {

using namespace moesaic::test;
using moesaic::sm120::MoeMmDataArguments;

constexpr int kN = 96;
constexpr int kK = 160;
constexpr int32_t kUntouched = -7;

struct Routing {
  const char* name;
  int experts;
  int tokens;
  int topk;
  bool is_gated;
  bool blockscale;
};

/// Ids of a routing: expert 1 is nobody's, every eleventh id is -1.
std::vector<int32_t> ids_of(const Routing& routing) {
  std::vector<int32_t> ids;
  for (int i = 0; i < routing.tokens * routing.topk; ++i) {
    const int id = (i * 7 + i / 5) % routing.experts;
    ids.push_back(i % 11 == 10 ? -1 : id == 1 ? 0 : id);
  }
  return ids;
}

bool equal(const Routing& routing, const char* what, const std::vector<int32_t>& got,
           const std::vector<int32_t>& want) {
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (got[i] == want[i]) continue;
    std::printf("%s: %s[%zu] is %d, not %d\n", routing.name, what, i, got[i], want[i]);
    return false;
  }
  return true;
}

bool right(const Routing& routing) {
  const std::vector<int32_t> ids = ids_of(routing);
  const int count = static_cast<int>(ids.size());
  const bool tokens_as_n = !routing.blockscale && count <= 64;

  std::vector<int32_t> offsets;
  std::vector<int32_t> rounded{0};
  std::vector<int32_t> sizes1;
  std::vector<int32_t> sizes2;
  std::vector<int32_t> input(count, kUntouched);
  std::vector<int32_t> output(count, kUntouched);
  int row = 0;
  for (int expert = 0; expert < routing.experts; ++expert) {
    offsets.push_back(row);
    for (int i = 0; i < count; ++i) {
      if (ids[i] != expert) continue;
      input[row] = i / routing.topk;
      output[i] = row++;
    }
    const int rows = row - offsets.back();
    const int n1 = routing.is_gated ? 2 * kN : kN;
    for (const int size : {tokens_as_n ? n1 : rows, tokens_as_n ? rows : n1, kK}) sizes1.push_back(size);
    for (const int size : {tokens_as_n ? kK : rows, tokens_as_n ? rows : kK, kN}) sizes2.push_back(size);
    rounded.push_back(rounded.back() + (rows + 127) / 128 * 128);
  }
  offsets.push_back(row);
  for (int i = 0; i < count; ++i) {
    if (ids[i] == -1) output[i] = row;
  }

  const auto untouched = [](std::size_t size) { return std::vector<int32_t>(size, kUntouched); };
  const DeviceVector<int32_t> topk_ids(ids);
  const DeviceVector<int32_t> expert_offsets(untouched(routing.experts + 1));
  const DeviceVector<int32_t> problem_sizes1(untouched(3 * routing.experts));
  const DeviceVector<int32_t> problem_sizes2(untouched(3 * routing.experts));
  const DeviceVector<int32_t> input_permutation(untouched(count));
  const DeviceVector<int32_t> output_permutation(untouched(count));
  const DeviceVector<int32_t> blockscale_offsets(untouched(routing.experts + 1));
  const MoeMmDataArguments args{topk_ids.get(),
                                expert_offsets.get(),
                                problem_sizes1.get(),
                                problem_sizes2.get(),
                                input_permutation.get(),
                                output_permutation.get(),
                                routing.experts,
                                kN,
                                kK,
                                routing.blockscale ? blockscale_offsets.get() : nullptr,
                                routing.is_gated,
                                routing.tokens,
                                routing.topk};
  check(moesaic::sm120::get_moe_mm_data(args, nullptr), "get_moe_mm_data");
  check(cudaDeviceSynchronize(), "get_moe_mm_data");
  const std::vector<int32_t> want_rounded = routing.blockscale ? rounded : untouched(routing.experts + 1);
  return equal(routing, "expert_offsets", expert_offsets.host(), offsets) &&
         equal(routing, "problem_sizes1", problem_sizes1.host(), sizes1) &&
         equal(routing, "problem_sizes2", problem_sizes2.host(), sizes2) &&
         equal(routing, "input_permutation", input_permutation.host(), input) &&
         equal(routing, "output_permutation", output_permutation.host(), output) &&
         equal(routing, "blockscale_offsets", blockscale_offsets.host(), want_rounded) &&
         moesaic::sm120::tokens_as_n(args) == tokens_as_n;
}

using Answer = moesaic::sm120::Support::Answer;
static_assert(moesaic::sm120::support(12, 0) && moesaic::sm120::support(121));
static_assert(moesaic::sm120::support(90).answer == Answer::no && moesaic::sm120::support(10, 3).answer == Answer::no);
static_assert(moesaic::sm120::support(12, 2).answer == Answer::unknown && !moesaic::sm120::support(130));

}  // namespace

int main() {
  const Routing routings[] = {
      {"one token", 8, 1, 4, true, false},
      {"64 ids", 16, 16, 4, false, false},
      {"65 ids", 16, 13, 5, true, false},
      {"blockscale offsets", 8, 4, 2, true, true},
      {"more ids than threads", 300, 150, 6, false, true},
  };
  bool all = true;
  for (const Routing& routing : routings) {
    const bool passed = right(routing);
    std::printf("%s: %s\n", routing.name, passed ? "right" : "WRONG");
    all = all && passed;
  }
  return all ? 0 : 1;
}
