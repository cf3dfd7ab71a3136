#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "isa/judge.hpp"

// Approximate functions in long double. The ISA allows more; the emulator claims half a unit in the last place.
namespace moesaic::isa {
namespace {

using Real = long double;
constexpr Real kSlack = 1e-3L;

/// A binary format with subnormal numbers.
struct Format {
  int fraction_bits;
  int lowest_exponent;  ///< of normal numbers
  Real largest;
};
constexpr Format kF32{23, -126, 0x1.fffffep127L};
constexpr Format kF16{10, -14, 65504.0L};
constexpr Format kBf16{7, -126, 0x1.fep127L};

/// Whether `got` is within half a unit, and a little, of `want`.
bool is_near(Real got, Real want, const Format& format) {
  int exponent = 0;
  static_cast<void>(std::frexp(want, &exponent));
  const Real unit = std::ldexp(1.0L, std::max(exponent - 1, format.lowest_exponent) - format.fraction_bits);
  if (std::isinf(got) || std::isinf(want)) {
    const bool overflows = std::isinf(want) || std::fabs(want) >= format.largest + unit * (0.5L - kSlack);
    return overflows && std::isinf(got) && std::signbit(got) == std::signbit(want);
  }
  return std::fabs(got - want) <= unit * (0.5L + kSlack) &&
         (got != 0 || want != 0 || std::signbit(got) == std::signbit(want));
}

Real apply(std::string_view name, Real a) {
  if (name.starts_with("rcp")) return 1 / a;
  if (name.starts_with("rsqrt")) return 1 / std::sqrt(a);
  if (name.starts_with("sqrt")) return std::sqrt(a);
  if (name.starts_with("ex2")) return std::exp2(a);
  if (name.starts_with("lg2")) return std::log2(a);
  if (name.starts_with("sin")) return std::sin(a);
  if (name.starts_with("cos")) return std::cos(a);
  return std::tanh(a);
}

float flushed(float value, bool ftz) {
  return ftz && std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value) : value;
}
float f32_of(std::uint64_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
}

/// Whether a 32-bit result is `want`, flushed when asked.
bool is_f32(std::uint64_t result, Real want, bool ftz) {
  if (std::isnan(want)) return result == 0x7fffffff;
  const float got = f32_of(result);
  const Real least = std::ldexp(1.0L, kF32.lowest_exponent);
  const bool tiny = std::fabs(want) < least;
  if (ftz && tiny && want != 0) {
    const bool rounds_up = std::fabs(want) > least * (1 - 0x1p-24L) && static_cast<Real>(std::fabs(got)) == least;
    return rounds_up || (got == 0 && std::signbit(got) == std::signbit(want));
  }
  return is_near(static_cast<Real>(got), want, kF32);
}

Judge of_f32(std::string_view name, bool ftz) {
  return [=](const std::vector<std::uint64_t>& in, std::uint64_t result) {
    return is_f32(result, apply(name, static_cast<Real>(flushed(f32_of(in[0]), ftz))), ftz);
  };
}

/// PTX ISA, div: above 2^126 div.approx gives 0, or NaN for an infinite dividend.
Judge of_quotient(bool approx, bool ftz) {
  return [=](const std::vector<std::uint64_t>& in, std::uint64_t result) {
    const float a = flushed(f32_of(in[0]), ftz);
    const float b = flushed(f32_of(in[1]), ftz);
    if (approx && std::isfinite(b) && std::fabs(b) > 0x1p126F && !std::isnan(a)) {
      return std::isinf(a) ? result == 0x7fffffff : f32_of(result) == 0;
    }
    return is_f32(result, static_cast<Real>(a) / static_cast<Real>(b), ftz);
  };
}

/// The .ftz.f64 forms: the upper words alone, 20 bits of fraction.
Judge of_f64(std::string_view name, bool upper_only) {
  return [=](const std::vector<std::uint64_t>& in, std::uint64_t result) {
    double a = std::bit_cast<double>(upper_only ? in[0] & 0xffffffff00000000U : in[0]);
    if (upper_only && std::fpclassify(a) == FP_SUBNORMAL) a = std::copysign(0.0, a);
    const Real want = apply(name, static_cast<Real>(a));
    const auto got = static_cast<Real>(std::bit_cast<double>(result));
    if (upper_only && (result & 0xffffffffU) != 0) return false;
    if (std::isnan(want)) return std::isnan(got);
    if (std::isinf(want) || want == 0) return got == want && std::signbit(got) == std::signbit(want);
    if (upper_only && std::fabs(want) < std::ldexp(1.0L, -1022)) return got == 0;
    return std::fabs(got - want) <= std::fabs(want) * (upper_only ? 0x1p-19L : 0x1p-52L);
  };
}

Real half_of(std::uint64_t bits, bool is_bf16) {
  if (is_bf16) return static_cast<Real>(f32_of((bits & 0xffffU) << 16));
  const auto exponent = static_cast<int>((bits >> 10) & 31U);
  const auto fraction = static_cast<Real>(bits & 1023U);
  Real size = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) size = fraction == 0 ? HUGE_VALL : std::nanl("");
  return (bits & 0x8000U) != 0 ? -size : size;
}

Judge of_half(std::string_view name, bool is_bf16, bool is_pair, bool ftz) {
  const auto one = [=](std::uint64_t operand, std::uint64_t result) {
    const Real least = std::ldexp(1.0L, kBf16.lowest_exponent);
    Real a = half_of(operand, is_bf16);
    if (ftz && std::fabs(a) < least) a = std::copysign(0.0L, a);
    const Real want = apply(name, a);
    if (std::isnan(want)) return (result & 0xffffU) == 0x7fff;
    const Real got = half_of(result, is_bf16);
    if (ftz && std::fabs(want) < least && want != 0) return got == 0 || std::fabs(got) == least;
    return is_near(got, want, is_bf16 ? kBf16 : kF16);
  };
  return [=](const std::vector<std::uint64_t>& in, std::uint64_t result) {
    return one(in[0] & 0xffffU, result & 0xffffU) && (!is_pair || one(in[0] >> 16 & 0xffffU, result >> 16));
  };
}

}  // namespace

Judge judge_of_function(const emulator::Row& row) {
  const std::string_view name = row.name;
  const bool ftz = name.find(".ftz") != std::string_view::npos;
  const bool approx = name.find(".approx") != std::string_view::npos;
  if (!approx && name.find(".full") == std::string_view::npos) return {};
  if (name.starts_with("div")) return of_quotient(approx, ftz);
  if (name.ends_with(".f64")) return of_f64(name, ftz);
  if (name.ends_with(".f32")) return of_f32(name, ftz);
  return of_half(name, name.find("bf16") != std::string_view::npos, name.ends_with("x2"), ftz);
}

Judge judge_of(const emulator::Row& row) {
  for (const auto judges : {judge_of_rounding, judge_of_conversion, judge_of_function}) {
    if (Judge judge = judges(row)) return judge;
  }
  return {};
}

}  // namespace moesaic::isa
