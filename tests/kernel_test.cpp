// The grouped GEMM and the kernels around it, one test body for every card: emulated ones, and a real one where there
// is one. Nothing here knows which it has.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <set>

#include "device/gpu.hpp"
#include "engine/kernel_set.hpp"
#include "random_operands.hpp"
#include "reference/bounds.hpp"
#include "spec/error.hpp"

namespace moesaic {
namespace {

using namespace test;  // NOLINT: its names are this file's vocabulary
using engine::KernelSet;

/// SMs that emulated cards are cut to, so that a block gets many tiles.
constexpr int kSms = 2;

std::vector<std::string> place_names() {
  std::vector<std::string> names{"emulated:gb10", "emulated:h200"};
  if (const device::BestPlace best = device::best_place(); best.place.kind == device::Place::Kind::gpu) {
    names.push_back(best.place.name());
  }
  return names;
}

/// The operands of a grouped GEMM on the host.
struct Operands {
  Operands(Random& random, Problem sizes, const std::vector<int>& rows_of)
      : problem(sizes), w(random_experts(random, sizes.experts, sizes.n, sizes.k)) {
    first.assign(1, 0);
    for (const int rows : rows_of) first.push_back(first.back() + rows);
    x.resize(static_cast<std::size_t>(rows()) * static_cast<std::size_t>(sizes.k));
    for (std::uint8_t& code : x) code = random_code(random);
    x_scales.resize(static_cast<std::size_t>(rows()));
    for (float& scale : x_scales) scale = std::abs(random.uniform()) * 0.1F;
  }

  int rows() const { return first.back(); }
  std::size_t out_size() const { return static_cast<std::size_t>(rows()) * static_cast<std::size_t>(problem.n); }

  Problem problem;
  Experts w;
  std::vector<std::int32_t> first;
  std::vector<std::uint8_t> x;
  std::vector<float> x_scales;
};

/// Bytes before and after an output that nobody may touch.
constexpr std::size_t kGuard = 256;
constexpr unsigned char kGuardByte = 0xa5;

std::vector<float> run_gemm(device::Gpu& gpu, KernelSet& kernels, const Config& config, const Operands& o) {
  const device::Buffer w = gpu.upload<std::uint8_t>(o.w.codes);
  const device::Buffer w_scales = gpu.upload<float>(o.w.scales);
  const device::Buffer x = gpu.upload<std::uint8_t>(o.x);
  const device::Buffer x_scales = gpu.upload<float>(o.x_scales);
  const device::Buffer first = gpu.upload<std::int32_t>(o.first);
  const device::Buffer out = gpu.allocate(o.out_size() * sizeof(float) + kGuard);
  gpu.fill(out, kGuardByte);
  kernels.gemm(config, {.problem = o.problem,
                        .rows = o.rows(),
                        .w = &w,
                        .w_scales = &w_scales,
                        .x = &x,
                        .x_scales = &x_scales,
                        .first = &first,
                        .out = &out});
  gpu.synchronize();
  const auto guard = gpu.download<unsigned char>(out, out.bytes());
  for (std::size_t i = out.bytes() - kGuard; i < out.bytes(); ++i) {
    EXPECT_EQ(guard[i], kGuardByte) << "guard byte " << i << " was overwritten";
  }
  return gpu.download<float>(out, o.out_size());
}

/// Compares every element with its double-precision value; `!(error <= bound)` so that NaN fails. Returns the largest
/// error relative to its bound.
double largest_error(const Operands& o, const std::vector<float>& out) {
  double worst = 0;
  int failures = 0;
  const int k = o.problem.k;
  for (int e = 0; e < o.problem.experts; ++e) {
    for (int r = o.first[static_cast<std::size_t>(e)]; r < o.first[static_cast<std::size_t>(e) + 1]; ++r) {
      for (int n = 0; n < o.problem.n; ++n) {
        const std::size_t channel =
            static_cast<std::size_t>(e) * static_cast<std::size_t>(o.problem.n) + static_cast<std::size_t>(n);
        const std::uint8_t* w = o.w.codes.data() + channel * static_cast<std::size_t>(k);
        const std::uint8_t* x = o.x.data() + static_cast<std::size_t>(r) * static_cast<std::size_t>(k);
        reference::SumBound sum;
        for (int k0 = 0; k0 < k; k0 += reference::kStepLength) {
          double value = 0;
          double size = 0;
          for (int i = k0; i < std::min(k, k0 + reference::kStepLength); ++i) {
            const double product = static_cast<double>(decode_e4m3(w[i])) * static_cast<double>(decode_e4m3(x[i]));
            value += product;
            size += std::abs(product);
          }
          sum.step(value, size);
        }
        const reference::Bounded want =
            reference::scaled(sum.value(), sum.error(), static_cast<double>(o.w.scales[channel]),
                              static_cast<double>(o.x_scales[static_cast<std::size_t>(r)]));
        const double got = static_cast<double>(
            out[static_cast<std::size_t>(r) * static_cast<std::size_t>(o.problem.n) + static_cast<std::size_t>(n)]);
        const double error = std::abs(got - want.value);
        worst = std::max(worst, error / want.bound);
        if (!(error <= want.bound) && ++failures <= 3) {
          ADD_FAILURE() << fmt::format("expert {} row {} channel {}: got {}, want {} within {}", e, r, n, got,
                                       want.value, want.bound);
        }
      }
    }
  }
  EXPECT_EQ(failures, 0);
  return worst;
}

/// Whether each block of a card of kSms SMs wraps its ring three times and gets two tiles, of so many experts.
void expect_busy(const Config& config, const Operands& o, std::size_t experts_each) {
  const int blocks = kSms * config.blocks_per_sm;
  const int steps_of_tile = ceil_div(o.problem.k, config.tile_k);
  std::vector<int> steps(static_cast<std::size_t>(blocks));
  std::vector<int> tiles_each(steps.size());
  std::vector<std::set<std::size_t>> experts(steps.size());
  std::size_t block = 0;
  for (std::size_t e = 0; e + 1 < o.first.size(); ++e) {
    const int tiles = ceil_div(o.first[e + 1] - o.first[e], config.tile_t) * ceil_div(o.problem.n, config.tile_f);
    for (int tile = 0; tile < tiles; ++tile) {
      steps[block] += steps_of_tile;
      ++tiles_each[block];
      experts[block].insert(e);
      block = (block + 1) % steps.size();
    }
  }
  for (block = 0; block < steps.size(); ++block) {
    EXPECT_GE(steps[block], 3 * config.stages) << variant_name(config) << " block " << block;
    EXPECT_GE(tiles_each[block], 2) << variant_name(config) << " block " << block;
    EXPECT_GE(experts[block].size(), experts_each) << variant_name(config) << " block " << block;
  }
}

class GroupedGemmTest : public testing::TestWithParam<std::string> {
 protected:
  device::Place place(std::uint64_t seed) const {
    device::Place place = device::parse_place(GetParam());
    place.sms = kSms;
    place.seed = seed;
    place.checks = "all";
    return place;
  }
  /// Runs the operands through every variant; all have to be right and to agree bit for bit. Unless it is 0, every
  /// block is to be busy with so many experts.
  void check(const Operands& o, std::uint64_t seed, std::size_t experts_each = 0) {
    device::Gpu gpu(place(seed));
    KernelSet kernels(gpu);
    std::vector<float> first_out;
    for (const Config& config : kernels.variants()) {
      SCOPED_TRACE(variant_name(config));
      if (experts_each != 0) expect_busy(config, o, experts_each);
      const std::vector<float> out = run_gemm(gpu, kernels, config, o);
      const double worst = largest_error(o, out);
      fmt::print("{} {}: largest error / bound {:.3f}\n", GetParam(), variant_name(config), worst);
      if (first_out.empty()) first_out = out;
      for (std::size_t i = 0; i < out.size(); ++i) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), std::bit_cast<std::uint32_t>(first_out[i]))
            << "variants differ at element " << i;
      }
    }
  }
};

TEST_P(GroupedGemmTest, RaggedExpertsWithAnIndivisibleK) {
  for (const std::uint64_t seed : {11U, 12U, 13U}) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    const Operands o(random, {.experts = 6, .n = 352, .k = 704}, {9, 0, 70, 1, 0, 8});
    check(o, seed, 2);
  }
}

TEST_P(GroupedGemmTest, AllRowsOnOneExpert) {
  Random random(21);
  check(Operands(random, {.experts = 40, .n = 264, .k = 272},
                 [] {
                   std::vector<int> rows(40, 0);
                   rows[37] = 130;
                   return rows;
                 }()),
        21, 1);
}

TEST_P(GroupedGemmTest, OneRow) {
  Random random(31);
  check(Operands(random, {.experts = 3, .n = 64, .k = 128}, {0, 1, 0}), 31);
}

TEST_P(GroupedGemmTest, SmallestSizes) {
  Random random(41);
  check(Operands(random, {.experts = 1, .n = 8, .k = 16}, {3}), 41);
}

TEST_P(GroupedGemmTest, NoRows) {
  Random random(51);
  check(Operands(random, {.experts = 2, .n = 64, .k = 128}, {0, 0}), 51);
}

TEST_P(GroupedGemmTest, ATokenAloneAndInABatchHasTheSameBits) {
  Random random(61);
  const Problem problem{.experts = 2, .n = 520, .k = 400};
  const Operands batch(random, problem, {75, 20});
  device::Gpu gpu(place(61));
  KernelSet kernels(gpu);
  for (const Config& config : kernels.variants()) expect_busy(config, batch, 2);
  const std::vector<float> all = run_gemm(gpu, kernels, kernels.variants()[1], batch);
  for (const int row : {0, 7, 74, 75, 94}) {
    Operands alone = batch;
    const bool second = row >= batch.first[1];
    alone.first = second ? std::vector<std::int32_t>{0, 0, 1} : std::vector<std::int32_t>{0, 1, 1};
    const auto k = static_cast<std::ptrdiff_t>(problem.k);
    alone.x.assign(batch.x.begin() + row * k, batch.x.begin() + (row + 1) * k);
    alone.x_scales = {batch.x_scales[static_cast<std::size_t>(row)]};
    for (const Config& config : kernels.variants()) {
      const std::vector<float> out = run_gemm(gpu, kernels, config, alone);
      for (std::size_t n = 0; n < out.size(); ++n) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[n]),
                  std::bit_cast<std::uint32_t>(all[static_cast<std::size_t>(row) * out.size() + n]))
            << variant_name(config) << " row " << row << " channel " << n;
      }
    }
  }
}

TEST_P(GroupedGemmTest, WrongSizesAreRefusedWithTheReason) {
  device::Gpu gpu(place(1));
  KernelSet kernels(gpu);
  const Config& config = kernels.variants()[0];
  try {
    kernels.gemm(config, {.problem = {.experts = 1, .n = 64, .k = 100}, .rows = 1});
    FAIL() << "k 100 was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("k 100 is not a positive multiple of 16"), std::string::npos)
        << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Cards, GroupedGemmTest, testing::ValuesIn(place_names()), [](const auto& instance) {
  std::string name = instance.param;
  std::replace(name.begin(), name.end(), ':', '_');
  return name;
});

}  // namespace
}  // namespace moesaic
