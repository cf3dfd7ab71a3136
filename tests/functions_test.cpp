// The functions that kernels compute for themselves, against double precision.

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "device/gpu.hpp"
#include "random_operands.hpp"

extern "C" const unsigned char moesaic_functions_begin[];  // NOLINT: an array whose end the linker knows

namespace moesaic {
namespace {

using namespace test;  // NOLINT: its names are this file's vocabulary

std::vector<float> map_on_card(const char* kernel, const std::vector<float>& x) {
  device::Place place = device::parse_place("emulated:gb10");
  place.checks = "all";
  device::Gpu gpu(place);
  CUfunction function = gpu.function(gpu.load(moesaic_functions_begin), kernel);
  const device::Buffer in = gpu.upload<float>(x);
  const device::Buffer out = gpu.allocate(x.size() * sizeof(float));
  constexpr unsigned kThreads = 128;
  const auto count = static_cast<int>(x.size());
  gpu.launch(function, {(static_cast<unsigned>(count) + kThreads - 1) / kThreads, kThreads, 0}, in.as<const float>(),
             out.as<float>(), count);
  gpu.synchronize();
  return gpu.download<float>(out, x.size());
}

/// The distance of neighbouring floats at `value`.
double unit_in_last_place(double value) {
  if (std::abs(value) < 0x1p-126) return 0x1p-149;
  return std::ldexp(1.0, std::ilogb(value) - 23);
}

std::vector<float> negative_numbers() {
  std::vector<float> x{0.0F,
                       -0.0F,
                       -1.0F,
                       -87.3F,
                       -103.0F,
                       -103.9F,
                       -104.0F,
                       -200.0F,
                       -std::numeric_limits<float>::max(),
                       -std::numeric_limits<float>::infinity()};
  Random random(71);
  for (int i = 0; i < 6000; ++i) x.push_back(-std::abs(random.uniform()) * 105);
  for (int i = 0; i < 6000; ++i) x.push_back(-std::abs(random.uniform() * random.tailed()));
  return x;
}

TEST(Functions, ExpIsWithinOneUnitInTheLastPlace) {
  const std::vector<float> x = negative_numbers();
  const std::vector<float> y = map_on_card("exp_nonpositive", x);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(static_cast<double>(x[i]));
    const double error = std::abs(static_cast<double>(y[i]) - want) / unit_in_last_place(want);
    worst = std::max(worst, error);
    ASSERT_TRUE(error <= 1) << "exp(" << x[i] << ") is " << y[i];
  }
  fmt::print("largest error {:.3f} units in the last place\n", worst);
}

TEST(Functions, SigmoidIsWithinThreeUnitsInTheLastPlace) {
  std::vector<float> x = negative_numbers();
  const std::size_t half = x.size();
  for (std::size_t i = 0; i < half; ++i) x.push_back(-x[i]);
  const std::vector<float> y = map_on_card("sigmoid", x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = 1 / (1 + std::exp(-static_cast<double>(x[i])));
    const double error = std::abs(static_cast<double>(y[i]) - want);
    ASSERT_TRUE(error <= 3 * unit_in_last_place(want)) << "sigmoid(" << x[i] << ") is " << y[i] << ", not " << want;
  }
}

TEST(Functions, SiluIsWithinFourUnitsInTheLastPlace) {
  std::vector<float> x = negative_numbers();
  const std::size_t half = x.size();
  for (std::size_t i = 0; i < half; ++i) x.push_back(-x[i]);
  const std::vector<float> y = map_on_card("silu", x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto g = static_cast<double>(x[i]);
    if (g == -std::numeric_limits<double>::infinity()) {
      EXPECT_TRUE(std::isnan(y[i]) || y[i] == 0);  // -inf * 0
      continue;
    }
    const double want = std::isinf(g) ? g : g / (1 + std::exp(-g));
    if (std::isinf(want)) {
      ASSERT_EQ(static_cast<double>(y[i]), want);
      continue;
    }
    const double error = std::abs(static_cast<double>(y[i]) - want);
    // Where exp is subnormal it has fewer digits; silu multiplies what they miss by g.
    const double lost = std::abs(g) * 0x1p-149;
    ASSERT_TRUE(error <= 4 * unit_in_last_place(want) + lost) << "silu(" << g << ") is " << y[i] << ", not " << want;
  }
}

}  // namespace
}  // namespace moesaic
