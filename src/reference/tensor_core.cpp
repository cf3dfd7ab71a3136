#include "reference/tensor_core.hpp"

#include "reference/fused_sum.hpp"

namespace moesaic::reference {
namespace {

using NarrowTable = std::array<Element<float>, 256>;

/// The value of bits [sign, exponent, fraction] of a format in which every code is finite, as e3m2, e2m3 and e2m1 are.
float decode_finite(std::uint32_t bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const std::uint32_t field = (bits >> fraction_bits) & ((1U << exponent_bits) - 1);
  const std::uint32_t fraction = bits & ((1U << fraction_bits) - 1);
  const std::uint32_t significand = field == 0 ? fraction : fraction | 1U << fraction_bits;
  const int exponent = (field == 0 ? 1 : static_cast<int>(field)) - bias - fraction_bits;
  const float magnitude = std::ldexp(static_cast<float>(significand), exponent);
  return ((bits >> (exponent_bits + fraction_bits)) & 1U) != 0 ? -magnitude : magnitude;
}

float decode_narrow(Narrow type, std::uint32_t code) {
  switch (type) {
    case Narrow::kE4m3:
      return decode_e4m3(static_cast<std::uint8_t>(code));
    case Narrow::kE5m2:
      return decode_f16(static_cast<std::uint16_t>(code << 8));  // its upper half
    case Narrow::kE3m2:
      return decode_finite(code, 3, 2);
    case Narrow::kE2m3:
      return decode_finite(code, 2, 3);
    case Narrow::kE2m1:
      break;
  }
  return decode_finite(code >> 2, 2, 1);
}

/// Elements of all 256 codes.
NarrowTable make_table(Narrow type, int lowest_exponent) {
  NarrowTable table;
  for (std::uint32_t code = 0; code < 256; ++code)
    table[code] = make_element(decode_narrow(type, code), lowest_exponent);
  return table;
}

const NarrowTable& narrow_table(Narrow type) {
  static const std::array<NarrowTable, 5> tables{make_table(Narrow::kE4m3, -6), make_table(Narrow::kE5m2, -14),
                                                 make_table(Narrow::kE3m2, -2), make_table(Narrow::kE2m3, 0),
                                                 make_table(Narrow::kE2m1, 0)};
  return tables[static_cast<std::size_t>(type)];
}

/// As f16 has them: subnormals of e4m3 are normal there.
const NarrowTable& unpacked_table(Narrow type) {
  static const NarrowTable e4m3 = make_table(Narrow::kE4m3, -14);
  return type == Narrow::kE4m3 ? e4m3 : narrow_table(type);
}

template <typename Value, int kLength, int kLines, typename Code, typename ElementOf>
Lines<Value, kLength, kLines> make_lines(int k, const Code* codes, ElementOf&& element_of) {
  Lines<Value, kLength, kLines> lines;
  for (Line<Value, kLength>& line : lines) {
    for (int i = 0; i < k; ++i) line.set(i, element_of(*codes++));
  }
  return lines;
}

template <int kLines>
Lines<float, 16, kLines> f16_lines(int k, const std::uint16_t* codes) {
  return make_lines<float, 16, kLines>(k, codes,
                                       [](std::uint16_t code) { return make_element(decode_f16(code), kF16Lowest); });
}

template <int kLines>
Lines<double, 16, kLines> bf16_lines(int k, const std::uint16_t* codes) {
  return make_lines<double, 16, kLines>(
      k, codes, [](std::uint16_t code) { return make_element(static_cast<double>(decode_bf16(code)), kF32Lowest); });
}

template <int kLines>
Lines<double, 16, kLines> tf32_lines(int k, const std::uint32_t* codes) {
  return make_lines<double, 16, kLines>(k, codes, [](std::uint32_t code) {
    return make_element(static_cast<double>(std::bit_cast<float>(code & 0xffffe000U)), kF32Lowest);
  });
}

template <int kLines>
Lines<float, 32, kLines> narrow_lines(Narrow type, int k, const std::uint8_t* codes) {
  const NarrowTable& table = narrow_table(type);
  return make_lines<float, 32, kLines>(k, codes, [&](std::uint8_t code) { return table[code]; });
}

/// Line 2i holds the elements of line i with k mod 4 in {0, 1}, line 2i + 1 the others.
template <int kLines>
Lines<float, 16, 2 * kLines> unpacked_lines(Narrow type, int k, const std::uint8_t* codes) {
  const NarrowTable& table = unpacked_table(type);
  Lines<float, 16, 2 * kLines> lines;
  for (std::size_t line = 0; line < kLines; ++line) {
    for (int i = 0; i < k; ++i) {
      lines[2 * line + static_cast<std::size_t>(i / 2 % 2)].set(i / 4 * 2 + i % 2, table[*codes++]);
    }
  }
  return lines;
}

template <typename Rows, typename Columns>
void multiply(const Rows& rows, const Columns& columns, const float* c, float* d) {
  for_each_element(
      [&](std::size_t m, std::size_t n, std::size_t i) { d[i] = toward_zero(fused_sum(rows[m], columns[n], c[i])); });
}

template <typename Rows, typename Columns>
void multiply_f16(const Rows& rows, const Columns& columns, const std::uint16_t* c, std::uint16_t* d) {
  for_each_element([&](std::size_t m, std::size_t n, std::size_t i) {
    d[i] = nearest_f16(fused_sum(rows[m], columns[n], decode_f16(c[i]), 0, kF16Lowest));
  });
}

}  // namespace

void mma_half(Half type, int k, const std::uint16_t* a, const std::uint16_t* b, const float* c, float* d) {
  if (type == Half::kF16) {
    multiply(f16_lines<kM>(k, a), f16_lines<kN>(k, b), c, d);
  } else {
    multiply(bf16_lines<kM>(k, a), bf16_lines<kN>(k, b), c, d);
  }
}

void mma_half_f16(int k, const std::uint16_t* a, const std::uint16_t* b, const std::uint16_t* c, std::uint16_t* d) {
  multiply_f16(f16_lines<kM>(k, a), f16_lines<kN>(k, b), c, d);
}

void mma_tf32(int k, const std::uint32_t* a, const std::uint32_t* b, const float* c, float* d) {
  multiply(tf32_lines<kM>(k, a), tf32_lines<kN>(k, b), c, d);
}

void mma_narrow_sm90(Narrow a_type, Narrow b_type, int k, const std::uint8_t* a, const std::uint8_t* b, const float* c,
                     float* d) {
  const auto rows = unpacked_lines<kM>(a_type, k, a);
  const auto columns = unpacked_lines<kN>(b_type, k, b);
  for_each_element([&](std::size_t m, std::size_t n, std::size_t i) {
    const float first = toward_zero(fused_sum(rows[2 * m], columns[2 * n], 0.0F));
    const float both = toward_zero(fused_sum(rows[2 * m + 1], columns[2 * n + 1], first));
    const float sum = both + c[i];
    d[i] = std::isnan(sum) ? std::bit_cast<float>(kNan32) : sum;
  });
}

void mma_narrow_sm90_f16(Narrow a_type, Narrow b_type, int k, const std::uint8_t* a, const std::uint8_t* b,
                         const std::uint16_t* c, std::uint16_t* d) {
  const auto rows = unpacked_lines<kM>(a_type, k, a);
  const auto columns = unpacked_lines<kN>(b_type, k, b);
  for_each_element([&](std::size_t m, std::size_t n, std::size_t i) {
    const std::uint16_t first = nearest_f16(fused_sum(rows[2 * m], columns[2 * n], 0.0F, 0, kF16Lowest));
    const std::uint16_t both =
        nearest_f16(fused_sum(rows[2 * m + 1], columns[2 * n + 1], decode_f16(first), 0, kF16Lowest));
    d[i] = nearest_f16(static_cast<double>(decode_f16(both)) + static_cast<double>(decode_f16(c[i])));
  });
}

void mma_narrow_sm120(Narrow a_type, Narrow b_type, int k, const std::uint8_t* a, const std::uint8_t* b, const float* c,
                      float* d) {
  multiply(narrow_lines<kM>(a_type, k, a), narrow_lines<kN>(b_type, k, b), c, d);
}

void mma_narrow_sm120_f16(Narrow a_type, Narrow b_type, int k, const std::uint8_t* a, const std::uint8_t* b,
                          const std::uint16_t* c, std::uint16_t* d) {
  multiply_f16(narrow_lines<kM>(a_type, k, a), narrow_lines<kN>(b_type, k, b), c, d);
}

void mma_mxf8(Narrow a_type, Narrow b_type, const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* a_scales,
              const std::uint8_t* b_scales, const float* c, float* d) {
  const auto rows = narrow_lines<kM>(a_type, 32, a);
  const auto columns = narrow_lines<kN>(b_type, 32, b);
  for_each_element([&](std::size_t m, std::size_t n, std::size_t i) {
    const bool nan = a_scales[m] == 0xff || b_scales[n] == 0xff;
    const int exponent = a_scales[m] + b_scales[n] - 2 * 127;
    d[i] = nan ? std::bit_cast<float>(kNan32) : toward_zero(fused_sum(rows[m], columns[n], c[i], exponent));
  });
}

}  // namespace moesaic::reference
