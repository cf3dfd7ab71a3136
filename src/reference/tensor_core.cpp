#include "reference/tensor_core.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>

#include "spec/formats.hpp"

namespace moesaic::reference {
namespace {

constexpr int kM = 16;
constexpr int kN = 8;
constexpr int kFraction = 25;  // bits that survive the alignment
constexpr int kNone = -4000;   // the exponent of a zero: loses against every other
constexpr int kNoneSum = -3000;

/// One operand code: its value, and the exponent it is aligned by.
template <typename Value>
struct Element {
  Value value = 0;
  std::int16_t exponent = kNone;
};

/// A row of A or a column of B. Values that are not finite are kept only in `finite`: their sums take the slow path.
/// Products of two values must be exact in Value: float holds those of 8-bit formats and of f16, double those of bf16.
template <typename Value, int kLength>
struct Line {
  std::array<Value, kLength> values{};
  std::array<std::int16_t, kLength> exponents{};
  bool finite = true;

  void set(int k, const Element<Value>& element) {
    const auto i = static_cast<std::size_t>(k);
    values[i] = element.value;
    exponents[i] = element.exponent;
    finite = finite && std::isfinite(element.value);
  }
};

/// An operand in a format with the given lowest exponent.
template <typename Value>
Element<Value> element(Value value, int lowest_exponent) {
  if (value == 0 || !std::isfinite(value)) return {value, kNone};
  return {value, static_cast<std::int16_t>(std::max(std::ilogb(value), lowest_exponent))};
}

using Fp8Table = std::array<Element<float>, 256>;

/// Elements of all 256 codes; e5m2 is the upper half of f16.
Fp8Table make_fp8_table(Fp8 type, int lowest_exponent) {
  Fp8Table table;
  for (std::uint32_t code = 0; code < 256; ++code) {
    const float value = type == Fp8::kE4m3 ? decode_e4m3(static_cast<std::uint8_t>(code))
                                           : decode_f16(static_cast<std::uint16_t>(code << 8));
    table[code] = element(value, lowest_exponent);
  }
  return table;
}

const Fp8Table& fp8_table(Fp8 type) {
  static const Fp8Table e4m3 = make_fp8_table(Fp8::kE4m3, -6);
  static const Fp8Table e5m2 = make_fp8_table(Fp8::kE5m2, -14);
  return type == Fp8::kE4m3 ? e4m3 : e5m2;
}

/// As f16 has them: subnormals of e4m3 are normal there.
const Fp8Table& unpacked_fp8_table(Fp8 type) {
  static const Fp8Table e4m3 = make_fp8_table(Fp8::kE4m3, -14);
  return type == Fp8::kE4m3 ? e4m3 : fp8_table(Fp8::kE5m2);
}

/// The sum of products and C where some operand is not finite: only its class matters.
template <typename Value, int kLength>
double infinite_sum(const Line<Value, kLength>& a, const Line<Value, kLength>& b, float c) {
  auto sum = static_cast<double>(c);
  for (std::size_t k = 0; k < kLength; ++k) sum += static_cast<double>(a.values[k]) * static_cast<double>(b.values[k]);
  return sum;
}

/// The lowest exponents of C's formats.
constexpr int kF32Lowest = -126;
constexpr int kF16Lowest = -14;

/// C in units of 2^(top - kFraction), truncated.
std::int64_t aligned(float c, int top) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(c);
  const std::uint32_t fraction = bits & 0x7fffffU;
  const bool normal = (bits & 0x7f800000U) != 0;
  const std::int64_t significand = normal ? fraction | 0x800000U : fraction;
  const int exponent = normal ? std::ilogb(c) : kF32Lowest;
  const std::int64_t magnitude = (significand << (kFraction - 23)) >> std::min(top - exponent, 63);
  return c < 0 ? -magnitude : magnitude;
}

/// The fused sum, exactly: products times 2^scale_exponent, and C. Not finite as IEEE arithmetic would have it.
template <typename Value, int kLength>
double fused_sum(const Line<Value, kLength>& a, const Line<Value, kLength>& b, float c, int scale_exponent = 0,
                 int c_lowest = kF32Lowest) {
  if (!a.finite || !b.finite || !std::isfinite(c)) return infinite_sum(a, b, c);
  std::int16_t top_product = 2 * kNone;
  for (std::size_t k = 0; k < kLength; ++k) {
    top_product = std::max(top_product, static_cast<std::int16_t>(a.exponents[k] + b.exponents[k]));
  }
  if (top_product < kNoneSum) return static_cast<double>(c);  // no product but zeros
  // A zero has the exponent of a subnormal. It shows where products lie below it: an H200 truncates them there.
  const int c_exponent = c == 0 ? c_lowest : std::max(std::ilogb(c), c_lowest);
  const int top = std::max(top_product + scale_exponent, c_exponent);
  std::int64_t sum = c == 0 ? 0 : aligned(c, top);
  // A product's unit is 2^(top - kFraction - scale_exponent). Where its inverse is no normal number of Value, no
  // product reaches one unit. Conversion to an integer truncates; a product is below 2^27 units, so 16 of them fit 32
  // bits.
  const int inverse = kFraction + scale_exponent - top;
  const bool too_small = inverse < std::numeric_limits<Value>::min_exponent;
  const auto units = too_small ? Value{0} : static_cast<Value>(std::ldexp(1.0, inverse));
  for (std::size_t first = 0; first < kLength; first += 16) {
    std::int32_t part = 0;
    for (std::size_t k = first; k < first + 16; ++k) {
      part += static_cast<std::int32_t>(a.values[k] * b.values[k] * units);
    }
    sum += part;
  }
  return std::ldexp(static_cast<double>(sum), top - kFraction);
}

/// The float next to x toward zero; infinity from 2^128 on; one NaN.
float toward_zero(double x) {
  if (std::isnan(x)) return std::bit_cast<float>(0x7fffffffU);
  if (x == 0) return 0.0F;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const auto sign = static_cast<std::uint32_t>(bits >> 63) << 31;
  const int exponent = static_cast<int>((bits >> 52) & 0x7ff) - 1023;
  if (exponent > 127) return std::bit_cast<float>(sign | 0x7f800000U);
  if (exponent >= -126) {
    const auto fraction = static_cast<std::uint32_t>((bits & 0xfffffffffffffULL) >> 29);
    return std::bit_cast<float>(sign | static_cast<std::uint32_t>(exponent + 127) << 23 | fraction);
  }
  const auto units = static_cast<std::uint32_t>(std::ldexp(std::fabs(x), 149));
  return units == 0 ? 0.0F : std::bit_cast<float>(sign | units);  // silicon gives no -0, not even from underflow
}

/// The f16 code nearest to x, ties to even. An inexact float gets an odd last bit, so that the second rounding sees on
/// which side of a tie x lies.
std::uint16_t nearest_f16(double x) {
  const float truncated = toward_zero(x);
  const bool exact = !std::isfinite(truncated) || static_cast<double>(truncated) == x;
  const std::uint32_t sticky = exact ? 0 : 1;
  const std::uint16_t code = encode_f16(std::bit_cast<float>(std::bit_cast<std::uint32_t>(truncated) | sticky));
  return code == 0x8000 ? std::uint16_t{0} : code;
}

template <typename Value, int kLength, int kLines>
using Lines = std::array<Line<Value, kLength>, kLines>;

template <int kLines>
Lines<float, 16, kLines> f16_lines(const std::uint16_t* codes) {
  Lines<float, 16, kLines> lines;
  for (std::size_t i = 0; i < kLines; ++i) {
    for (int k = 0; k < 16; ++k) lines[i].set(k, element(decode_f16(*codes++), -14));
  }
  return lines;
}

template <int kLines>
Lines<double, 16, kLines> bf16_lines(const std::uint16_t* codes) {
  Lines<double, 16, kLines> lines;
  for (std::size_t i = 0; i < kLines; ++i) {
    for (int k = 0; k < 16; ++k) lines[i].set(k, element(static_cast<double>(decode_bf16(*codes++)), -126));
  }
  return lines;
}

template <int kLines>
Lines<float, 32, kLines> fp8_lines(Fp8 type, const std::uint8_t* codes) {
  const Fp8Table& table = fp8_table(type);
  Lines<float, 32, kLines> lines;
  for (std::size_t i = 0; i < kLines; ++i) {
    for (int k = 0; k < 32; ++k) lines[i].set(k, table[*codes++]);
  }
  return lines;
}

/// Line 2i holds the elements of line i with k mod 4 in {0, 1}, line 2i + 1 the others.
template <int kLines>
Lines<float, 16, 2 * kLines> unpacked_fp8_lines(Fp8 type, const std::uint8_t* codes) {
  const Fp8Table& table = unpacked_fp8_table(type);
  Lines<float, 16, 2 * kLines> lines;
  for (std::size_t i = 0; i < kLines; ++i) {
    for (int k = 0; k < 32; ++k) {
      lines[2 * i + static_cast<std::size_t>(k / 2 % 2)].set(k / 4 * 2 + k % 2, table[*codes++]);
    }
  }
  return lines;
}

/// Calls visit(m, n, index) for each element of D.
template <typename Visit>
void for_each_element(Visit&& visit) {
  for (std::size_t m = 0; m < kM; ++m) {
    for (std::size_t n = 0; n < kN; ++n) visit(m, n, m * kN + n);
  }
}

}  // namespace

void mma_m16n8k16(Half type, const std::uint16_t* a, const std::uint16_t* b, const float* c, float* d) {
  const auto multiply = [&](const auto& rows, const auto& cols) {
    for_each_element(
        [&](std::size_t m, std::size_t n, std::size_t i) { d[i] = toward_zero(fused_sum(rows[m], cols[n], c[i])); });
  };
  if (type == Half::kF16) {
    multiply(f16_lines<kM>(a), f16_lines<kN>(b));
  } else {
    multiply(bf16_lines<kM>(a), bf16_lines<kN>(b));
  }
}

void mma_m16n8k16_f16(const std::uint16_t* a, const std::uint16_t* b, const std::uint16_t* c, std::uint16_t* d) {
  const auto rows = f16_lines<kM>(a);
  const auto cols = f16_lines<kN>(b);
  for_each_element([&](std::size_t m, std::size_t n, std::size_t i) {
    d[i] = nearest_f16(fused_sum(rows[m], cols[n], decode_f16(c[i]), 0, kF16Lowest));
  });
}

void mma_m16n8k32_sm90(Fp8 a_type, Fp8 b_type, const std::uint8_t* a, const std::uint8_t* b, const float* c, float* d) {
  const auto rows = unpacked_fp8_lines<kM>(a_type, a);
  const auto cols = unpacked_fp8_lines<kN>(b_type, b);
  for_each_element([&](std::size_t m, std::size_t n, std::size_t i) {
    const float first = toward_zero(fused_sum(rows[2 * m], cols[2 * n], 0.0F));
    const float both = toward_zero(fused_sum(rows[2 * m + 1], cols[2 * n + 1], first));
    const float sum = both + c[i];
    d[i] = std::isnan(sum) ? std::bit_cast<float>(0x7fffffffU) : sum;
  });
}

void mma_m16n8k32_sm120(Fp8 a_type, Fp8 b_type, const std::uint8_t* a, const std::uint8_t* b, const float* c,
                        float* d) {
  const auto rows = fp8_lines<kM>(a_type, a);
  const auto cols = fp8_lines<kN>(b_type, b);
  for_each_element(
      [&](std::size_t m, std::size_t n, std::size_t i) { d[i] = toward_zero(fused_sum(rows[m], cols[n], c[i])); });
}

void mma_m16n8k32_mxf8(Fp8 a_type, Fp8 b_type, const std::uint8_t* a, const std::uint8_t* b,
                       const std::uint8_t* a_scales, const std::uint8_t* b_scales, const float* c, float* d) {
  const auto rows = fp8_lines<kM>(a_type, a);
  const auto cols = fp8_lines<kN>(b_type, b);
  for_each_element([&](std::size_t m, std::size_t n, std::size_t i) {
    const bool nan = a_scales[m] == 0xff || b_scales[n] == 0xff;
    const int exponent = a_scales[m] + b_scales[n] - 2 * 127;
    d[i] = nan ? std::bit_cast<float>(0x7fffffffU) : toward_zero(fused_sum(rows[m], cols[n], c[i], exponent));
  });
}

}  // namespace moesaic::reference
