// The grouped GEMM and the kernels around it, one test body for every card: emulated ones, and a real one where there
// is one. Nothing here knows which it has.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "device/gpu.hpp"
#include "engine/kernel_set.hpp"
#include "random_operands.hpp"
#include "reference/bounds.hpp"
#include "spec/error.hpp"
#include "spec/panels.hpp"

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
    bias.resize(w.scales.size());
    for (float& value : bias) value = random.uniform();
  }

  /// The same, with tokens that are finite in e5m2 too.
  Operands in(TokenFormat format) const {
    Operands other = *this;
    if (format == TokenFormat::e5m2) {
      for (std::uint8_t& code : other.x) code &= 0xbfU;
    }
    return other;
  }

  int rows() const { return first.back(); }
  std::size_t out_size() const { return static_cast<std::size_t>(rows()) * static_cast<std::size_t>(problem.n); }

  Problem problem;
  Experts w;
  std::vector<std::int32_t> first;
  std::vector<std::uint8_t> x;
  std::vector<float> x_scales;
  std::vector<float> bias;
};

/// The forms in which a GEMM takes and gives its operands; the default ones are those that the reference judges.
struct Forms {
  WeightLayout layout = WeightLayout::rows;
  OutFormat out = OutFormat::f32;
  Dependence dependence = Dependence::full;
  ScalePer w_scale_per = ScalePer::vector;
  ScalePer x_scale_per = ScalePer::vector;
  bool bias = false;
};

/// Bytes after an output that nobody may touch.
constexpr std::size_t kGuard = 256;
constexpr unsigned char kGuardByte = 0xa5;

/// The result as it lies in memory.
std::vector<unsigned char> run_gemm(device::Gpu& gpu, KernelSet& kernels, const Config& config, const Operands& o,
                                    const Forms& forms) {
  Problem problem = o.problem;
  problem.x_format = config.x_format;
  device::Buffer w = gpu.upload<std::uint8_t>(o.w.codes);
  if (forms.layout == WeightLayout::panels) {
    device::Buffer panels = gpu.allocate(panels_bytes(problem.experts, problem.n, problem.k));
    kernels.pack(problem, w, panels);
    w = std::move(panels);
    problem.layout = WeightLayout::panels;
  }
  const device::Buffer w_scales = gpu.upload<float>(o.w.scales);
  const device::Buffer x = gpu.upload<std::uint8_t>(o.x);
  const device::Buffer x_scales = gpu.upload<float>(o.x_scales);
  const device::Buffer bias = gpu.upload<float>(o.bias);
  const device::Buffer first = gpu.upload<std::int32_t>(o.first);
  const std::size_t bytes = o.out_size() * static_cast<std::size_t>(out_bytes(forms.out));
  const device::Buffer out = gpu.allocate(bytes + kGuard);
  gpu.fill(out, kGuardByte);
  kernels.gemm(config, {.problem = problem,
                        .rows = o.rows(),
                        .w = &w,
                        .w_scales = &w_scales,
                        .x = &x,
                        .x_scales = &x_scales,
                        .first = &first,
                        .out = &out,
                        .bias = forms.bias ? &bias : nullptr,
                        .w_scale_per = forms.w_scale_per,
                        .x_scale_per = forms.x_scale_per,
                        .out_format = forms.out,
                        .dependence = forms.dependence});
  gpu.synchronize();
  auto got = gpu.download<unsigned char>(out, out.bytes());
  for (std::size_t i = bytes; i < got.size(); ++i) {
    EXPECT_EQ(got[i], kGuardByte) << "guard byte " << i - bytes << " was overwritten";
  }
  got.resize(bytes);
  return got;
}

std::vector<float> run_gemm(device::Gpu& gpu, KernelSet& kernels, const Config& config, const Operands& o) {
  const std::vector<unsigned char> bytes = run_gemm(gpu, kernels, config, o, Forms{});
  std::vector<float> out(o.out_size());
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

/// Compares every element with its double-precision value; `!(error <= bound)` so that NaN fails. Returns the largest
/// error relative to its bound.
double largest_error(const Operands& o, TokenFormat format, const std::vector<float>& out) {
  const auto decode_x = [format](std::uint8_t code) {
    return static_cast<double>(format == TokenFormat::e4m3 ? decode_e4m3(code) : decode_e5m2(code));
  };
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
            const double product = static_cast<double>(decode_e4m3(w[i])) * decode_x(x[i]);
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

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want[i])) << "element " << i;
  }
}

/// What a form's output should be, bit for bit: the plain f32 result, with the bias added and rounded once.
std::vector<unsigned char> expected_bytes(const Operands& o, const Forms& forms, const std::vector<float>& plain) {
  std::vector<unsigned char> bytes;
  const auto n = static_cast<std::size_t>(o.problem.n);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const auto row = static_cast<std::int32_t>(i / n);
    const auto expert =
        static_cast<std::size_t>(std::upper_bound(o.first.begin(), o.first.end(), row) - o.first.begin() - 1);
    const float value = forms.bias ? plain[i] + o.bias[expert * n + i % n] : plain[i];
    const std::uint32_t code = forms.out == OutFormat::f32    ? std::bit_cast<std::uint32_t>(value)
                               : forms.out == OutFormat::bf16 ? encode_bf16(value)
                                                              : encode_f16(value);
    for (int byte = 0; byte < out_bytes(forms.out); ++byte) {
      bytes.push_back(static_cast<unsigned char>(code >> (8 * byte)));
    }
  }
  return bytes;
}

/// Makes the scales of `o` such as forms that vary them less can state.
void level_scales(Operands& o, const Forms& forms) {
  const auto n = static_cast<std::size_t>(o.problem.n);
  for (std::size_t i = 0; i < o.w.scales.size(); ++i) {
    if (forms.w_scale_per != ScalePer::vector) {
      o.w.scales[i] = o.w.scales[forms.w_scale_per == ScalePer::expert ? i / n * n : 0];
    }
  }
  for (std::size_t e = 0; e + 1 < o.first.size(); ++e) {
    for (auto r = static_cast<std::size_t>(o.first[e]); r < static_cast<std::size_t>(o.first[e + 1]); ++r) {
      if (forms.x_scale_per == ScalePer::expert) o.x_scales[r] = 0.01F * static_cast<float>(e + 1);
      if (forms.x_scale_per == ScalePer::scalar) o.x_scales[r] = 0.02F;
    }
  }
}

/// The same scales as the form wants them.
void shorten_scales(Operands& o, const Forms& forms) {
  const auto n = static_cast<std::size_t>(o.problem.n);
  std::vector<float> of_expert;
  for (std::size_t e = 0; e < static_cast<std::size_t>(o.problem.experts); ++e) of_expert.push_back(o.w.scales[e * n]);
  if (forms.w_scale_per != ScalePer::vector) o.w.scales = of_expert;
  if (forms.x_scale_per == ScalePer::scalar) o.x_scales = {0.02F};
  if (forms.x_scale_per == ScalePer::expert) {
    o.x_scales.clear();
    for (int e = 0; e < o.problem.experts; ++e) o.x_scales.push_back(0.01F * static_cast<float>(e + 1));
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
  /// The variants that run on this card.
  static std::vector<Config> variants(const device::Gpu& gpu) {
    std::vector<Config> those;
    for (const Config& config : KernelSet::variants()) {
      const Problem any{.experts = 1, .n = 8, .k = 16, .x_format = config.x_format};
      if (valid(config, any, gpu.device()).empty()) those.push_back(config);
    }
    return those;
  }
  /// Runs the operands through every variant; all have to be right and, of one format, to agree bit for bit. Unless it
  /// is 0, every block is to be busy with so many experts.
  void check(const Operands& operands, std::uint64_t seed, std::size_t experts_each = 0) {
    device::Gpu gpu(place(seed));
    KernelSet kernels(gpu);
    std::map<TokenFormat, std::vector<float>> first_out;
    double worst = 0;
    for (const Config& config : variants(gpu)) {
      SCOPED_TRACE(variant_name(config));
      const Operands o = operands.in(config.x_format);
      if (experts_each != 0) expect_busy(config, o, experts_each);
      const std::vector<float> out = run_gemm(gpu, kernels, config, o);
      const auto [first, is_first] = first_out.emplace(config.x_format, out);
      if (is_first) worst = std::max(worst, largest_error(o, config.x_format, out));
      expect_same_bits(out, first->second);
    }
    fmt::print("{}: largest error / bound {:.3f}\n", GetParam(), worst);
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
  check(Operands(random, {.experts = 40, .n = 264, .k = 400},
                 [] {
                   std::vector<int> rows(40, 0);
                   rows[37] = 130;
                   return rows;
                 }()),
        21, 1);
}

TEST_P(GroupedGemmTest, MoreExpertsThanAWarpCountsAtOnce) {
  Random random(25);
  std::vector<int> rows(kMaxExperts, 0);
  for (const std::size_t e : {0U, 3U, 127U, 128U, 300U, 511U}) rows[e] = 1 + static_cast<int>(e % 11);
  check(Operands(random, {.experts = kMaxExperts, .n = 40, .k = 48}, rows), 25);
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

TEST_P(GroupedGemmTest, EveryFormGivesTheBitsOfThePlainOne) {
  constexpr std::array kForms{
      Forms{.layout = WeightLayout::panels},
      Forms{.layout = WeightLayout::panels, .out = OutFormat::bf16, .dependence = Dependence::early},
      Forms{.out = OutFormat::f16, .dependence = Dependence::strict, .bias = true},
      Forms{.dependence = Dependence::early, .w_scale_per = ScalePer::scalar, .x_scale_per = ScalePer::expert},
      Forms{.out = OutFormat::bf16, .w_scale_per = ScalePer::expert, .x_scale_per = ScalePer::scalar, .bias = true},
  };
  device::Gpu gpu(place(71));
  KernelSet kernels(gpu);
  std::size_t turn = 0;
  for (const Config& config : variants(gpu)) {
    for (const std::size_t form : {turn % kForms.size(), (turn + 2) % kForms.size()}) {
      const Forms& forms = kForms[form];
      if (forms.layout == WeightLayout::panels && config.tile_k < kPanelBytes) continue;
      SCOPED_TRACE(fmt::format("{} form {}", variant_name(config), form));
      Random random(71 + form);
      Operands o = Operands(random, {.experts = 5, .n = 136, .k = 208}, {3, 0, 41, 1, 20}).in(config.x_format);
      level_scales(o, forms);
      const std::vector<float> plain = run_gemm(gpu, kernels, config, o);
      const std::vector<unsigned char> want = expected_bytes(o, forms, plain);
      shorten_scales(o, forms);
      EXPECT_EQ(run_gemm(gpu, kernels, config, o, forms), want);
    }
    ++turn;
  }
}

TEST_P(GroupedGemmTest, NaNStaysWhereItIs) {
  Random random(81);
  Operands o(random, {.experts = 3, .n = 72, .k = 144}, {5, 0, 18});
  device::Gpu gpu(place(81));
  KernelSet kernels(gpu);
  const auto k = static_cast<std::size_t>(o.problem.k);
  const auto n = static_cast<std::size_t>(o.problem.n);
  constexpr std::uint8_t kNaN = 0x7f;
  std::fill_n(o.w.codes.begin() + static_cast<std::ptrdiff_t>(n * k), n * k, kNaN);  // an expert without rows
  o.w.codes[(2 * n + 7) * k + 3] = kNaN;                                             // channel 7 of expert 2
  o.x[1 * k + 140] = kNaN;                                                           // row 1
  for (const Config& config : variants(gpu)) {
    SCOPED_TRACE(variant_name(config));
    const std::vector<float> out = run_gemm(gpu, kernels, config, o.in(config.x_format));
    for (std::size_t i = 0; i < out.size(); ++i) {
      // The row's code is finite in e5m2.
      const bool expected = (i / n == 1 && config.x_format == TokenFormat::e4m3) || (i / n >= 5 && i % n == 7);
      EXPECT_EQ(std::isnan(out[i]), expected) << i / n << " " << i % n;
    }
  }
}

TEST_P(GroupedGemmTest, PackedWeightsLieAsPanelsHppSays) {
  Random random(91);
  const Problem problem{.experts = 2, .n = 24, .k = 176};
  const Experts w = random_experts(random, problem.experts, problem.n, problem.k);
  device::Gpu gpu(place(91));
  KernelSet kernels(gpu);
  const device::Buffer rows = gpu.upload<std::uint8_t>(w.codes);
  const device::Buffer panels = gpu.allocate(panels_bytes(problem.experts, problem.n, problem.k));
  kernels.pack(problem, rows, panels);
  gpu.synchronize();
  const auto got = gpu.download<std::uint8_t>(panels, panels.bytes());
  std::vector<std::uint8_t> want(got.size(), 0);
  for (int e = 0; e < problem.experts; ++e) {
    for (int n = 0; n < problem.n; ++n) {
      for (int k = 0; k < problem.k; ++k) {
        const std::size_t to = panel_offset(problem.n, panel_count(problem.k), e, n, k / 16 * 16);
        want[to + static_cast<std::size_t>(k % 16)] =
            w.codes[(static_cast<std::size_t>(e * problem.n + n)) * static_cast<std::size_t>(problem.k) +
                    static_cast<std::size_t>(k)];
      }
    }
  }
  EXPECT_EQ(got, want);
}

TEST_P(GroupedGemmTest, ATokenAloneAndInABatchHasTheSameBits) {
  Random random(61);
  const Problem problem{.experts = 2, .n = 264, .k = 400};
  const Operands batch(random, problem, {75, 20});
  device::Gpu gpu(place(61));
  KernelSet kernels(gpu);
  const std::vector<Config> all_variants = variants(gpu);
  const std::vector<float> all = run_gemm(gpu, kernels, all_variants.back(), batch.in(all_variants.back().x_format));
  for (const int row : {0, 74, 94}) {
    Operands alone = batch;
    const bool second = row >= batch.first[1];
    alone.first = second ? std::vector<std::int32_t>{0, 0, 1} : std::vector<std::int32_t>{0, 1, 1};
    const auto k = static_cast<std::ptrdiff_t>(problem.k);
    alone.x.assign(batch.x.begin() + row * k, batch.x.begin() + (row + 1) * k);
    alone.x_scales = {batch.x_scales[static_cast<std::size_t>(row)]};
    for (const Config& config : all_variants) {
      if (config.x_format != all_variants.back().x_format) continue;
      SCOPED_TRACE(fmt::format("{} row {}", variant_name(config), row));
      const auto n = static_cast<std::ptrdiff_t>(problem.n);
      expect_same_bits(run_gemm(gpu, kernels, config, alone.in(config.x_format)),
                       std::vector<float>(all.begin() + row * n, all.begin() + (row + 1) * n));
    }
  }
}

TEST_P(GroupedGemmTest, WrongSizesAreRefusedWithTheReason) {
  device::Gpu gpu(place(1));
  KernelSet kernels(gpu);
  const Config& config = KernelSet::variants()[0];
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
