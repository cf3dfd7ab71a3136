#include "reference/fused_sum.hpp"
#include "reference/tensor_core.hpp"

namespace moesaic::reference {
namespace {

constexpr int kGroup = 16;  // products that are summed exactly
constexpr std::size_t kGroups = 4;
constexpr int kFp4Fraction = 35;  // bits that survive the alignment
constexpr int kScaleFraction = 3;

/// Twice the value of an e2m1 code.
constexpr std::array<std::int8_t, 16> kTwice{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// significand * 2^(exponent - kScaleFraction); a significand of -1 is NaN.
struct Scale {
  std::int32_t significand = 0;
  int exponent = 0;
};

Scale scale_of(Fp4Scales format, std::uint8_t code) {
  if (format == Fp4Scales::kTwoUe8m0) return {code == 0xff ? -1 : 1 << kScaleFraction, code - 127};
  const int field = (code >> 3) & 0xf;
  const int fraction = code & 7;
  if (field == 15 && fraction == 7) return {-1, 0};
  return field == 0 ? Scale{fraction, -6} : Scale{fraction | 8, field - 7};
}

/// A row of A or a column of B.
struct Fp4Line {
  std::array<std::int8_t, kGroup * kGroups> twice{};
  std::array<Scale, kGroups> scales;
  bool nan = false;
};

Fp4Line make_line(Fp4Scales format, const std::uint8_t* pairs, const std::uint8_t* scales) {
  Fp4Line line;
  for (std::size_t k = 0; k < line.twice.size(); ++k) line.twice[k] = kTwice[(pairs[k / 2] >> (4 * (k % 2))) & 0xfU];
  for (std::size_t group = 0; group < kGroups; ++group) {
    line.scales[group] = scale_of(format, scales[format == Fp4Scales::kTwoUe8m0 ? group / 2 : group]);
    line.nan = line.nan || line.scales[group].significand < 0;
  }
  return line;
}

float scaled_sum(const Fp4Line& a, const Fp4Line& b, float c) {
  if (a.nan || b.nan || std::isnan(c)) return std::bit_cast<float>(kNan32);
  if (std::isinf(c)) return c;
  std::array<std::int64_t, kGroups> sums{};
  std::array<int, kGroups> exponents{};
  int top = std::max(c == 0 ? kF32Lowest : std::ilogb(c), kF32Lowest);
  for (std::size_t group = 0; group < kGroups; ++group) {
    std::int32_t sum = 0;
    for (std::size_t k = group * kGroup; k < (group + 1) * kGroup; ++k) sum += a.twice[k] * b.twice[k];
    sums[group] = std::int64_t{sum} * a.scales[group].significand * b.scales[group].significand;
    exponents[group] = a.scales[group].exponent + b.scales[group].exponent;
    if (sums[group] != 0) top = std::max(top, exponents[group]);
  }
  // A sum counts quarters of eighths of eighths: 2^-8.
  std::int64_t total = c == 0 ? 0 : aligned(c, top, kFp4Fraction);
  for (std::size_t group = 0; group < kGroups; ++group) {
    const std::int64_t magnitude = std::abs(sums[group]) << (kFp4Fraction - 2 - 2 * kScaleFraction);
    const std::int64_t kept = magnitude >> std::clamp(top - exponents[group], 0, 63);
    total += sums[group] < 0 ? -kept : kept;
  }
  return toward_zero(std::ldexp(static_cast<double>(total), top - kFp4Fraction));
}

}  // namespace

void mma_fp4(Fp4Scales scales, const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* a_scales,
             const std::uint8_t* b_scales, const float* c, float* d) {
  std::array<Fp4Line, kM> rows;
  std::array<Fp4Line, kN> columns;
  for (std::size_t m = 0; m < kM; ++m) rows[m] = make_line(scales, a + 32 * m, a_scales + kGroups * m);
  for (std::size_t n = 0; n < kN; ++n) columns[n] = make_line(scales, b + 32 * n, b_scales + kGroups * n);
  for_each_element([&](std::size_t m, std::size_t n, std::size_t i) { d[i] = scaled_sum(rows[m], columns[n], c[i]); });
}

}  // namespace moesaic::reference
