// The bounds against arithmetic that they must cover, and the reference's rounding against the formats'.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "random_operands.hpp"
#include "reference/activation.hpp"
#include "reference/bounds.hpp"
#include "reference/judgement.hpp"
#include "reference/rounding.hpp"
#include "reference/tensor_core.hpp"

namespace moesaic::reference {
namespace {

TEST(ReferenceRounding, AgreesWithTheFormats) {
  test::Random random(std::random_device{}());
  for (int i = 0; i < 1 << 20; ++i) {
    const auto bits = static_cast<std::uint32_t>(random.next());
    const float value = std::bit_cast<float>(bits);
    if (std::isnan(value)) continue;
    const double bf16 = round_to_bf16(static_cast<double>(value));
    ASSERT_EQ(bf16, static_cast<double>(decode_bf16(encode_bf16(value)))) << value;
    const float small = std::bit_cast<float>((bits & 0x87ffffffU) | 0x38000000U);  // 2^-15 up to 2
    for (const float v : {value, small * 256}) {
      ASSERT_EQ(e4m3_code(round_to_e4m3(static_cast<double>(v))), encode_e4m3(v)) << v;
    }
  }
  for (int code = 0; code < 256; ++code) {
    const auto c = static_cast<std::uint8_t>(code);
    if ((c & 0x7f) == 0x7f) continue;
    EXPECT_EQ(e4m3_code(static_cast<double>(decode_e4m3(c))), c);
  }
}

TEST(ReferenceRounding, RoundsOnce) {
  // Through float this lies halfway between two bf16 and would go to the even one below.
  EXPECT_EQ(round_to_bf16(1 + 0x1p-8 + 0x1p-40), 1 + 0x1p-7);
  EXPECT_EQ(round_to_bf16(1 + 0x1p-8), 1.0);
  EXPECT_EQ(round_to_bf16(0x1.fep127), 0x1.fep127);
  EXPECT_EQ(round_to_bf16(-0x1.ffp127), -std::numeric_limits<double>::infinity());
}

/// Operands of one kind for one element: sums that grow, that cancel, with large and with subnormal values.
struct Operands {
  std::vector<std::uint8_t> a;
  std::vector<std::uint8_t> b;
};

std::vector<Operands> operand_kinds(test::Random& random, int count) {
  const auto make = [&](auto&& code) {
    Operands made;
    for (int k = 0; k < count; ++k) {
      made.a.push_back(code(k));
      made.b.push_back(code(k));
    }
    return made;
  };
  const auto any = [&](int) {
    const auto code = static_cast<std::uint8_t>(random.next());
    return static_cast<std::uint8_t>((code & 0x7f) == 0x7f ? 0 : code);
  };
  std::vector<Operands> kinds;
  kinds.push_back(make(any));
  kinds.push_back(make([&](int) { return test::random_code(random); }));
  kinds.push_back(make([&](int k) { return static_cast<std::uint8_t>(any(k) & 0x7e); }));  // all positive
  kinds.push_back(make([&](int k) { return static_cast<std::uint8_t>(any(k) & (k % 8 == 0 ? 0xf7 : 0x87)); }));
  Operands cancelling = make(any);  // large products in the first half are taken back in the second
  for (int k = count / 2; k < count; ++k) {
    cancelling.a[static_cast<std::size_t>(k)] = cancelling.a[static_cast<std::size_t>(k - count / 2)] ^ 0x80;
    cancelling.b[static_cast<std::size_t>(k)] = cancelling.b[static_cast<std::size_t>(k - count / 2)];
  }
  kinds.push_back(cancelling);
  return kinds;
}

SumBound bound_of(const Operands& o) {
  SumBound bound;
  for (std::size_t k0 = 0; k0 < o.a.size(); k0 += kStepLength) {
    double sum = 0;
    double size = 0;
    for (std::size_t k = k0; k < std::min(k0 + kStepLength, o.a.size()); ++k) {
      const auto product = static_cast<double>(decode_e4m3(o.a[k]) * decode_e4m3(o.b[k]));
      sum += product;
      size += std::abs(product);
    }
    bound.step(sum, size);
  }
  return bound;
}

/// f32 additions, within each step in random order, C among the terms.
float sum_in_random_order(const Operands& o, test::Random& random) {
  float sum = 0;
  for (std::size_t k0 = 0; k0 < o.a.size(); k0 += kStepLength) {
    std::vector<float> terms{sum};
    for (std::size_t k = k0; k < std::min(k0 + kStepLength, o.a.size()); ++k) {
      terms.push_back(decode_e4m3(o.a[k]) * decode_e4m3(o.b[k]));
    }
    while (terms.size() > 1) {
      std::swap(terms.back(), terms[static_cast<std::size_t>(random.below(static_cast<int>(terms.size())))]);
      const float one = terms.back();
      terms.pop_back();
      terms[static_cast<std::size_t>(random.below(static_cast<int>(terms.size())))] += one;
    }
    sum = terms[0];
  }
  return sum;
}

enum class Card { sm90, sm120 };

/// The sum as the tensor core computes it, in element (0, 0) of an m16n8k32 for each step.
float sum_of_tensor_core(const Operands& o, Card card) {
  std::array<float, 16 * 8> sums{};
  for (std::size_t k0 = 0; k0 < o.a.size(); k0 += 32) {
    std::array<std::uint8_t, 16 * 32> a{};
    std::array<std::uint8_t, 8 * 32> b{};
    std::copy_n(o.a.data() + k0, std::min<std::size_t>(32, o.a.size() - k0), a.data());
    std::copy_n(o.b.data() + k0, std::min<std::size_t>(32, o.b.size() - k0), b.data());
    const auto mma = card == Card::sm90 ? mma_narrow_sm90 : mma_narrow_sm120;
    mma(Narrow::kE4m3, Narrow::kE4m3, 32, a.data(), b.data(), sums.data(), sums.data());
  }
  return sums[0];
}

TEST(ReferenceRounding, WhatRoundsToABf16CodeEndsHalfwayToItsNeighbours) {
  for (std::uint32_t code = 0; code < 0x7f80; ++code) {
    for (const std::uint32_t sign : {0U, 0x8000U}) {
      const auto bf16 = static_cast<std::uint16_t>(code | sign);
      const auto value = static_cast<double>(decode_bf16(bf16));
      const Range from = rounding_to_bf16(bf16);
      ASSERT_EQ(round_to_bf16(std::nextafter(from.lo, value)), value) << bf16;
      ASSERT_EQ(round_to_bf16(std::nextafter(from.hi, value)), value) << bf16;
      ASSERT_NE(round_to_bf16(std::nextafter(from.lo, -0x1p1000)), value) << bf16;
      ASSERT_NE(round_to_bf16(std::nextafter(from.hi, 0x1p1000)), value) << bf16;
    }
  }
}

TEST(SumBound, CoversEveryOrderAndBothTensorCores) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  test::Random random(seed);
  double largest = 0;
  for (int round = 0; round < 300; ++round) {
    for (const Operands& o : operand_kinds(random, round % 2 == 0 ? 96 : 704)) {
      const SumBound bound = bound_of(o);
      for (const float sum :
           {sum_in_random_order(o, random), sum_of_tensor_core(o, Card::sm90), sum_of_tensor_core(o, Card::sm120)}) {
        const double error = std::abs(static_cast<double>(sum) - bound.value());
        ASSERT_LE(error, bound.error()) << bound.value();
        if (bound.error() > 0) largest = std::max(largest, error / bound.error());
      }
    }
  }
  EXPECT_GT(largest, 0.02);  // or the bound would not be worth its name
}

TEST(SumBound, TruncationByTheTensorCoreComesCloseToIt) {
  // Beside a product of 2^16 the place kept last is 2^(16 - 25): 31 products of 0.94 * 2^-9 are lost whole.
  Operands o{{encode_e4m3(256)}, {encode_e4m3(256)}};
  o.a.resize(32, encode_e4m3(0x1.ep-5F));
  o.b.resize(32, encode_e4m3(0x1p-5F));
  const SumBound bound = bound_of(o);
  const double error = bound.value() - static_cast<double>(sum_of_tensor_core(o, Card::sm120));
  EXPECT_GT(error, 0.4 * bound.error());
  EXPECT_LE(error, bound.error());
}

TEST(SumBound, IsFarBelowTheBoundOfAnyOrder) {
  test::Random random(7);
  const SumBound bound = bound_of(operand_kinds(random, 2048)[1]);
  EXPECT_LT(bound.error() * 20, any_order_bound(2048, bound.size()));
}

TEST(SumBound, AMissingSliceIsFarOutside) {
  test::Random random(8);
  const Operands whole = operand_kinds(random, 4096)[1];
  const SumBound bound = bound_of(whole);
  for (std::ptrdiff_t k0 = 0; k0 < 4096; k0 += 512) {
    Operands o = whole;
    std::fill_n(o.a.begin() + k0, 32, std::uint8_t{0});
    EXPECT_GT(std::abs(bound_of(o).value() - bound.value()), 10 * bound.error());
  }
}

TEST(Scaled, CoversTwoRoundedProducts) {
  test::Random random(std::random_device{}());
  for (int i = 0; i < 100000; ++i) {
    const float acc = random.tailed() * 1e5F;
    const float w = std::ldexp(random.uniform(), -random.below(140));
    const float x = std::ldexp(random.uniform(), random.below(40) - 30);
    const Bounded want = scaled(static_cast<double>(acc), 0, static_cast<double>(w), static_cast<double>(x));
    ASSERT_LE(std::abs(static_cast<double>(acc * w * x) - want.value), want.bound) << acc << " " << w << " " << x;
  }
}

TEST(Swiglu, CoversFloatsAndIsTight) {
  test::Random random(std::random_device{}());
  for (int i = 0; i < 1 << 20; ++i) {
    const float gate = random.tailed() * 60;
    const float up = random.tailed() * 10;
    const auto g = static_cast<double>(gate);
    const auto u = static_cast<double>(up);
    const Range right = swiglu(Range{g, g}, Range{u, u});
    const auto overflowing = static_cast<double>(gate / (1.0F + std::exp(-gate)) * up);
    const float e = std::exp(-std::abs(gate));  // as a form that cannot overflow computes it
    const auto careful = static_cast<double>(gate * ((gate < 0 ? e : 1.0F) / (1.0F + e)) * up);
    for (const double h : {overflowing, careful}) {
      ASSERT_LE(right.lo, h) << gate << " " << up;
      ASSERT_GE(right.hi, h) << gate << " " << up;
    }
    if (gate > -80) {
      ASSERT_LE(right.hi - right.lo, 1.5e-6 * std::abs(silu(g) * u) + std::abs(g * u) * 0x1p-123 + 0x1p-140);
    }
  }
}

TEST(Swiglu, RangesHoldTheMinimumOfSilu) {
  EXPECT_NEAR(silu(Range{-3, 1}).lo, -0.27846454276107380, 1e-15);
  EXPECT_EQ(silu(Range{-3, 1}).hi, silu(1.0));
  EXPECT_EQ(silu(Range{-3, -2}).hi, silu(-3.0));
  EXPECT_EQ(silu(Range{-1, 2}).lo, silu(-1.0));
  EXPECT_EQ(silu(-1000.0), 0);
  test::Random random(std::random_device{}());
  for (int i = 0; i < 10000; ++i) {
    const auto near = [&] { return static_cast<double>(random.uniform()); };
    const double g0 = 4 * near();
    const double u0 = 4 * near();
    const Range gate{g0, g0 + std::abs(near())};
    const Range up{u0, u0 + std::abs(near())};
    const Range h = swiglu(gate, up);
    for (const double share : {0.0, 0.3, 0.7, 1.0}) {
      const double inside = silu(g0 + share * (gate.hi - gate.lo)) * (u0 + (1 - share) * (up.hi - up.lo));
      ASSERT_TRUE(h.lo <= inside && inside <= h.hi);
    }
  }
}

TEST(Stage, KeepsTheWorstValue) {
  Stage stage("numbers");
  EXPECT_EQ(stage.text(), "numbers   passed: nothing to compare");
  stage.compare(0, 0, 1, 1, 0);
  EXPECT_EQ(stage.text(), "numbers   passed: 1 values, all exact");
  stage.compare(1, 2, 3, 2, 2);
  EXPECT_EQ(stage.text(),
            "numbers   passed: 2 values, errors up to 0.5 of the bound; worst at row 1 column 2: got 3, "
            "want 2 +- 2");
  Stage part("numbers");
  part.compare(4, 4, 3, 2, 0);
  part.compare(4, 3, std::numeric_limits<double>::quiet_NaN(), 2, 1);
  part.compare(5, 0, 1, 2, std::numeric_limits<double>::quiet_NaN());
  part.compare(6, 0, 1, 9, 1);
  stage.merge(part);
  EXPECT_FALSE(stage.passed());
  EXPECT_EQ(stage.compared, 6);
  EXPECT_EQ(stage.failed, 4);
  EXPECT_EQ(stage.ratio, std::numeric_limits<double>::infinity());
  EXPECT_EQ(stage.row, 4);
  EXPECT_EQ(stage.column, 3);
}

}  // namespace
}  // namespace moesaic::reference
