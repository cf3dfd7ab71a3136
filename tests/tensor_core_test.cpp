#include "reference/tensor_core.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "spec/formats.hpp"

namespace moesaic::reference {
namespace {

// An independent statement of the arithmetic: integers only, each code taken apart by hand, one rule after another.

enum class Class { kFinite, kInfinite, kNan };

/// (-1)^negative * significand * 2^lsb; `exponent` is what the value is aligned by.
struct Term {
  Class kind = Class::kFinite;
  bool negative = false;
  std::uint64_t significand = 0;
  int lsb = 0;
  int exponent = 0;
};

/// Takes apart a code with the given numbers of exponent and fraction bits. `ieee`: the highest exponent is Inf or NaN.
Term take_apart(std::uint32_t code, int exponent_bits, int fraction_bits, bool ieee) {
  Term term;
  const std::uint32_t field = (code >> fraction_bits) & ((1U << exponent_bits) - 1);
  const std::uint32_t fraction = code & ((1U << fraction_bits) - 1);
  term.negative = ((code >> (exponent_bits + fraction_bits)) & 1U) != 0;
  const bool highest = field == (1U << exponent_bits) - 1;
  if (ieee && highest) term.kind = fraction != 0 ? Class::kNan : Class::kInfinite;
  if (!ieee && highest && fraction == (1U << fraction_bits) - 1) term.kind = Class::kNan;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  term.exponent = (field == 0 ? 1 : static_cast<int>(field)) - bias;
  term.significand = field == 0 ? fraction : fraction | (1U << fraction_bits);
  term.lsb = term.exponent - fraction_bits;
  return term;
}

Term take_apart_f32(float value) {
  return take_apart(std::bit_cast<std::uint32_t>(value), 8, 23, true);
}

constexpr int kNothing = -100000;

Term times(const Term& a, const Term& b, int scale = 0) {
  Term product{.kind = Class::kFinite,
               .negative = a.negative != b.negative,
               .significand = a.significand * b.significand,
               .lsb = a.lsb + b.lsb + scale,
               .exponent = a.exponent + b.exponent + scale};
  const auto zero = [](const Term& t) { return t.kind == Class::kFinite && t.significand == 0; };
  if (a.kind == Class::kInfinite || b.kind == Class::kInfinite) product.kind = Class::kInfinite;
  if (product.kind == Class::kInfinite && (zero(a) || zero(b))) product.kind = Class::kNan;
  if (a.kind == Class::kNan || b.kind == Class::kNan) product.kind = Class::kNan;
  if (product.significand == 0) product.exponent = kNothing;  // nothing is aligned to a product of zero
  return product;
}

/// The fused sum of terms as sum * 2^lsb, or a class.
struct Sum {
  Class kind = Class::kFinite;
  std::int64_t sum = 0;
  int lsb = 0;
};

Sum fused(const std::vector<Term>& terms) {
  Sum result;
  int signs_of_infinities = 0;  // 1: plus, 2: minus
  int top = kNothing;
  for (const Term& term : terms) {
    if (term.kind == Class::kNan) return {.kind = Class::kNan};
    if (term.kind == Class::kInfinite) signs_of_infinities |= term.negative ? 2 : 1;
    top = std::max(top, term.exponent);
  }
  if (signs_of_infinities == 3) return {.kind = Class::kNan};
  if (signs_of_infinities != 0) return {.kind = Class::kInfinite, .sum = signs_of_infinities == 1 ? 1 : -1};
  result.lsb = top - 25;
  for (const Term& term : terms) {
    if (term.significand == 0) continue;
    const int shift = term.lsb - result.lsb;
    std::uint64_t magnitude = 0;
    if (shift >= 0) magnitude = term.significand << shift;
    if (shift < 0 && shift > -64) magnitude = term.significand >> -shift;
    result.sum += term.negative ? -static_cast<std::int64_t>(magnitude) : static_cast<std::int64_t>(magnitude);
  }
  return result;
}

/// Rounds to a format of `precision` significant bits whose smallest unit is 2^lowest, toward zero or to nearest even.
/// Infinity from 2^limit on.
double rounded(const Sum& sum, int precision, int lowest, int limit, bool nearest) {
  const double sign = sum.sum < 0 ? -1 : 1;
  if (sum.kind == Class::kInfinite) return sign * std::numeric_limits<double>::infinity();
  auto magnitude = static_cast<std::uint64_t>(std::abs(sum.sum));
  if (magnitude == 0) return 0;
  const int bits = 64 - std::countl_zero(magnitude);
  const int unit = std::max(sum.lsb + bits - precision, lowest);
  const int drop = unit - sum.lsb;
  if (drop > 63) return 0;
  if (drop > 0) {
    const std::uint64_t rest = magnitude & ((std::uint64_t{1} << drop) - 1);
    const std::uint64_t half = std::uint64_t{1} << (drop - 1);
    magnitude >>= drop;
    if (nearest && (rest > half || (rest == half && (magnitude & 1U) != 0))) ++magnitude;
  }
  if (magnitude == 0) return 0;  // never -0
  const double value = std::ldexp(static_cast<double>(magnitude), drop > 0 ? unit : sum.lsb);
  return sign * (value >= std::ldexp(1.0, limit) ? std::numeric_limits<double>::infinity() : value);
}

std::uint32_t to_f32(const Sum& sum) {
  if (sum.kind == Class::kNan) return 0x7fffffffU;
  return std::bit_cast<std::uint32_t>(static_cast<float>(rounded(sum, 24, -149, 128, false)));
}

// Operands that reach the corners.

enum class Regime { kAnyCode, kFinite, kTiny, kCancelling, kSparse };
constexpr std::array kRegimes{Regime::kAnyCode, Regime::kFinite, Regime::kTiny, Regime::kCancelling, Regime::kSparse};

/// Fills codes of `bits` bits; `exponent_at` is the lowest bit of their exponent, `is_finite` keeps NaN and Inf out.
template <typename Code>
void fill(std::vector<Code>& codes, Regime regime, std::mt19937_64& random, int bits, int exponent_at,
          const std::function<bool(Code)>& is_finite) {
  for (std::size_t i = 0; i < codes.size(); ++i) {
    do {
      codes[i] = static_cast<Code>(random());
      if (regime == Regime::kTiny) codes[i] &= static_cast<Code>((1U << (bits - 1)) | (1U << (exponent_at + 1)) | 7U);
    } while (regime != Regime::kAnyCode && !is_finite(codes[i]));
    if (regime == Regime::kSparse && random() % 4 != 0) codes[i] &= static_cast<Code>(1U << (bits - 1));
    if (regime == Regime::kAnyCode && random() % 64 != 0 && !is_finite(codes[i])) codes[i] = 0;
    if (regime == Regime::kCancelling && i % 2 == 1 && random() % 8 != 0) {
      codes[i] = static_cast<Code>(codes[i - 1] ^ (random() % 2 << (bits - 1)));
    }
  }
}

float random_c(Regime regime, std::mt19937_64& random) {
  for (;;) {
    auto bits = static_cast<std::uint32_t>(random());
    switch (random() % 4) {
      case 0:
        return 0.0F;
      case 1:  // near the products
        bits = (bits & 0x807fffffU) | static_cast<std::uint32_t>(107 + random() % 40) << 23;
        break;
      case 2:  // subnormal, or huge
        bits = (bits & 0x807fffffU) | (random() % 2 == 0 ? 0U : 0x7f000000U);
        break;
      default:
        break;
    }
    const auto value = std::bit_cast<float>(bits);
    if (regime == Regime::kAnyCode || std::isfinite(value)) return value;
  }
}

Term take_apart_fp8(Narrow type, std::uint8_t code) {
  return type == Narrow::kE4m3 ? take_apart(code, 4, 3, false) : take_apart(code, 5, 2, true);
}

bool is_finite_fp8(Narrow type, std::uint8_t code) {
  return take_apart_fp8(type, code).kind == Class::kFinite;
}

/// What the unpacked f16 is aligned by: only zeros and values below 2^-14 are not normal there.
Term unpacked(Term term) {
  if (term.kind != Class::kFinite || term.significand == 0) return term;
  const int leading = term.lsb + 63 - std::countl_zero(term.significand);
  term.exponent = std::max(leading, -14);
  return term;
}

struct Fp8Case {
  Narrow a_type;
  Narrow b_type;
  std::vector<std::uint8_t> a = std::vector<std::uint8_t>(16 * 32);
  std::vector<std::uint8_t> b = std::vector<std::uint8_t>(8 * 32);
  std::vector<float> c = std::vector<float>(16 * 8);
  std::vector<float> d = std::vector<float>(16 * 8);

  Fp8Case(Narrow a_format, Narrow b_format, Regime regime, std::mt19937_64& random)
      : a_type(a_format), b_type(b_format) {
    fill<std::uint8_t>(a, regime, random, 8, a_type == Narrow::kE4m3 ? 3 : 2,
                       [this](std::uint8_t code) { return is_finite_fp8(a_type, code); });
    fill<std::uint8_t>(b, regime, random, 8, b_type == Narrow::kE4m3 ? 3 : 2,
                       [this](std::uint8_t code) { return is_finite_fp8(b_type, code); });
    for (float& value : c) value = random_c(regime, random);
  }

  Term product(std::size_t m, std::size_t n, std::size_t k, bool unpack, int scale = 0) const {
    const Term x = take_apart_fp8(a_type, a[m * 32 + k]);
    const Term y = take_apart_fp8(b_type, b[n * 32 + k]);
    return unpack ? times(unpacked(x), unpacked(y)) : times(x, y, scale);
  }
};

/// Compares all of D with want(m, n), bit for bit.
void expect_equal(const std::vector<float>& d, const std::function<std::uint32_t(std::size_t, std::size_t)>& want) {
  for (std::size_t m = 0; m < 16; ++m) {
    for (std::size_t n = 0; n < 8; ++n) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(d[m * 8 + n]), want(m, n)) << "m " << m << " n " << n;
    }
  }
}

/// Runs `body` for each regime and each pair of 8-bit types.
void for_each_fp8_case(int repetitions, const std::function<void(Fp8Case&, std::mt19937_64&)>& body) {
  std::mt19937_64 random(20251114);
  for (const Regime regime : kRegimes) {
    for (const Narrow a_type : {Narrow::kE4m3, Narrow::kE5m2}) {
      for (const Narrow b_type : {Narrow::kE4m3, Narrow::kE5m2}) {
        for (int i = 0; i < repetitions; ++i) {
          Fp8Case one(a_type, b_type, regime, random);
          body(one, random);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(TensorCore, Fp8OnHopperEqualsIntegerArithmetic) {
  for_each_fp8_case(60, [](Fp8Case& one, std::mt19937_64&) {
    mma_narrow_sm90(one.a_type, one.b_type, 32, one.a.data(), one.b.data(), one.c.data(), one.d.data());
    expect_equal(one.d, [&](std::size_t m, std::size_t n) {
      std::vector<Term> first;
      std::vector<Term> second;
      for (std::size_t k = 0; k < 32; ++k) (k % 4 < 2 ? first : second).push_back(one.product(m, n, k, true));
      second.push_back(take_apart_f32(std::bit_cast<float>(to_f32(fused(first)))));
      const float sum = std::bit_cast<float>(to_f32(fused(second))) + one.c[m * 8 + n];
      return std::isnan(sum) ? 0x7fffffffU : std::bit_cast<std::uint32_t>(sum);
    });
  });
}

TEST(TensorCore, Fp8OnBlackwellEqualsIntegerArithmetic) {
  for_each_fp8_case(60, [](Fp8Case& one, std::mt19937_64&) {
    mma_narrow_sm120(one.a_type, one.b_type, 32, one.a.data(), one.b.data(), one.c.data(), one.d.data());
    expect_equal(one.d, [&](std::size_t m, std::size_t n) {
      std::vector<Term> terms{take_apart_f32(one.c[m * 8 + n])};
      for (std::size_t k = 0; k < 32; ++k) terms.push_back(one.product(m, n, k, false));
      return to_f32(fused(terms));
    });
  });
}

TEST(TensorCore, BlockScaledEqualsIntegerArithmetic) {
  for_each_fp8_case(60, [](Fp8Case& one, std::mt19937_64& random) {
    const bool wide = random() % 2 == 0;
    std::array<std::uint8_t, 16> a_scales{};
    std::array<std::uint8_t, 8> b_scales{};
    for (auto& s : a_scales) s = static_cast<std::uint8_t>(wide ? random() : 120 + random() % 16);
    for (auto& s : b_scales) s = static_cast<std::uint8_t>(wide ? random() : 120 + random() % 16);
    mma_mxf8(one.a_type, one.b_type, one.a.data(), one.b.data(), a_scales.data(), b_scales.data(), one.c.data(),
             one.d.data());
    expect_equal(one.d, [&](std::size_t m, std::size_t n) {
      if (a_scales[m] == 255 || b_scales[n] == 255) return 0x7fffffffU;
      std::vector<Term> terms{take_apart_f32(one.c[m * 8 + n])};
      const int scale = a_scales[m] - 127 + b_scales[n] - 127;
      for (std::size_t k = 0; k < 32; ++k) terms.push_back(one.product(m, n, k, false, scale));
      return to_f32(fused(terms));
    });
  });
}

TEST(TensorCore, UnitScalesChangeNothing) {
  for_each_fp8_case(20, [](Fp8Case& one, std::mt19937_64&) {
    std::array<std::uint8_t, 16> scales{};
    scales.fill(127);
    std::vector<float> scaled(one.d.size());
    mma_narrow_sm120(one.a_type, one.b_type, 32, one.a.data(), one.b.data(), one.c.data(), one.d.data());
    mma_mxf8(one.a_type, one.b_type, one.a.data(), one.b.data(), scales.data(), scales.data(), one.c.data(),
             scaled.data());
    expect_equal(scaled, [&](std::size_t m, std::size_t n) { return std::bit_cast<std::uint32_t>(one.d[m * 8 + n]); });
  });
}

TEST(TensorCore, HalvesEqualIntegerArithmetic) {
  std::mt19937_64 random(7);
  for (const Regime regime : kRegimes) {
    for (const Half type : {Half::kF16, Half::kBf16}) {
      const int fraction_bits = type == Half::kF16 ? 10 : 7;
      const auto term = [&](std::uint16_t code) { return take_apart(code, 15 - fraction_bits, fraction_bits, true); };
      for (int i = 0; i < 200; ++i) {
        std::vector<std::uint16_t> a(16 * 16);
        std::vector<std::uint16_t> b(8 * 16);
        std::vector<float> c(16 * 8);
        const auto finite = [&](std::uint16_t code) { return term(code).kind == Class::kFinite; };
        fill<std::uint16_t>(a, regime, random, 16, fraction_bits, finite);
        fill<std::uint16_t>(b, regime, random, 16, fraction_bits, finite);
        for (float& value : c) value = random_c(regime, random);
        std::vector<float> d(c.size());
        mma_half(type, 16, a.data(), b.data(), c.data(), d.data());
        expect_equal(d, [&](std::size_t m, std::size_t n) {
          std::vector<Term> terms{take_apart_f32(c[m * 8 + n])};
          for (std::size_t k = 0; k < 16; ++k) terms.push_back(times(term(a[m * 16 + k]), term(b[n * 16 + k])));
          return to_f32(fused(terms));
        });
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(TensorCore, HalfSumsEqualIntegerArithmetic) {
  std::mt19937_64 random(8);
  const auto term = [](std::uint16_t code) { return take_apart(code, 5, 10, true); };
  const auto finite = [&](std::uint16_t code) { return term(code).kind == Class::kFinite; };
  for (const Regime regime : kRegimes) {
    for (int i = 0; i < 200; ++i) {
      std::vector<std::uint16_t> a(16 * 16);
      std::vector<std::uint16_t> b(8 * 16);
      std::vector<std::uint16_t> c(16 * 8);
      std::vector<std::uint16_t> d(c.size());
      fill<std::uint16_t>(a, regime, random, 16, 10, finite);
      fill<std::uint16_t>(b, regime, random, 16, 10, finite);
      fill<std::uint16_t>(c, regime, random, 16, 10, finite);
      mma_half_f16(16, a.data(), b.data(), c.data(), d.data());
      for (std::size_t at = 0; at < d.size(); ++at) {
        std::vector<Term> terms{term(c[at])};
        for (std::size_t k = 0; k < 16; ++k) terms.push_back(times(term(a[at / 8 * 16 + k]), term(b[at % 8 * 16 + k])));
        const Sum sum = fused(terms);
        const std::uint16_t want =
            sum.kind == Class::kNan ? 0x7fff : encode_f16(static_cast<float>(rounded(sum, 11, -24, 16, true)));
        ASSERT_EQ(d[at], want) << "element " << at;
      }
    }
  }
}

/// D[0, 0] of one row and one column of f16 values and C, all else zero.
float one_sum(const std::vector<float>& x, const std::vector<float>& y, float c00) {
  std::vector<std::uint16_t> a(16 * 16);
  std::vector<std::uint16_t> b(8 * 16);
  std::vector<float> c(16 * 8);
  for (std::size_t k = 0; k < x.size(); ++k) {
    a[k] = encode_f16(x[k]);
    b[k] = encode_f16(y[k]);
  }
  c[0] = c00;
  mma_half(Half::kF16, 16, a.data(), b.data(), c.data(), c.data());
  return c[0];
}

TEST(TensorCore, KeepsTwentyFiveFractionalBitsTowardZero) {
  EXPECT_EQ(one_sum({1, 1}, {3, 4}, 0), 7.0F);
  // Beside 1, a term of 2^-25 survives the alignment, one of 2^-26 does not.
  EXPECT_EQ(one_sum({1, -1, std::ldexp(1.0F, -12)}, {1, 1, std::ldexp(1.0F, -13)}, 0), std::ldexp(1.0F, -25));
  EXPECT_EQ(one_sum({1, -1, std::ldexp(1.0F, -13)}, {1, 1, std::ldexp(1.0F, -13)}, 0), 0.0F);
  // 1 + 3 * 2^-24 lies between two floats and goes to the lower one, -1 - 3 * 2^-24 to the upper one.
  EXPECT_EQ(one_sum({1, std::ldexp(3.0F, -12)}, {1, std::ldexp(1.0F, -12)}, 0), 1 + std::ldexp(1.0F, -23));
  EXPECT_EQ(one_sum({-1, std::ldexp(-3.0F, -12)}, {1, std::ldexp(1.0F, -12)}, 0), -1 - std::ldexp(1.0F, -23));
  // C takes part in the alignment: a large one swallows the products.
  EXPECT_EQ(one_sum({1}, {1}, std::ldexp(1.0F, 26)), std::ldexp(1.0F, 26));
  EXPECT_EQ(one_sum({1, 1}, {1, 1}, -std::ldexp(1.0F, 26)), -std::ldexp(1.0F, 26));
  EXPECT_EQ(one_sum({8}, {1}, std::ldexp(1.0F, 26)), std::ldexp(1.0F, 26) + 8);
}

TEST(TensorCore, SpecialValues) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto bits = [](float value) { return std::bit_cast<std::uint32_t>(value); };
  EXPECT_EQ(bits(one_sum({infinity}, {0}, 1)), 0x7fffffffU);
  EXPECT_EQ(bits(one_sum({infinity}, {1}, -infinity)), 0x7fffffffU);
  EXPECT_EQ(bits(one_sum({1}, {1}, std::bit_cast<float>(0xffc00001U))), 0x7fffffffU);
  EXPECT_EQ(one_sum({infinity}, {-2}, 1), -infinity);
  EXPECT_EQ(bits(one_sum({1, -1}, {1, 1}, 0)), 0U);
  EXPECT_EQ(one_sum({65504, 65504}, {65504, 65504}, std::numeric_limits<float>::max()),
            std::numeric_limits<float>::max());
}

}  // namespace
}  // namespace moesaic::reference
