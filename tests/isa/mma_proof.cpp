#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

#include "device/place.hpp"
#include "emulator/mma_form.hpp"
#include "isa/register_case.hpp"
#include "isa/row_proof.hpp"

/// The multiplies that only 12.x has, computed once more from the published model (MMA-Sim, arXiv 2511.10909) in whole
/// numbers, with the fragments as the tables of the PTX ISA give them, element by element.
namespace moesaic::isa {
namespace {

using emulator::MmaArithmetic;
using emulator::MmaForm;
using reference::Narrow;

constexpr unsigned kThreads = 128;
constexpr unsigned kBlocks = 4;
constexpr unsigned kAll = kThreads * kBlocks;

/// significand * 2^unit; `exponent` is what it is aligned by.
struct Number {
  std::int64_t significand = 0;
  int unit = 0;
  int exponent = 0;
  bool nan = false;
  bool infinite = false;
};

Number take_apart(std::uint32_t code, int exponent_bits, int fraction_bits, bool has_infinity, bool has_nan) {
  const std::uint32_t field = code >> fraction_bits & ((1U << exponent_bits) - 1);
  const std::uint32_t fraction = code & ((1U << fraction_bits) - 1);
  const bool highest = field + 1 == 1U << exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  Number number;
  number.exponent = static_cast<int>(std::max(field, 1U)) - bias;
  number.unit = number.exponent - fraction_bits;
  number.significand = fraction | (field == 0 ? 0 : 1U << fraction_bits);
  if ((code >> (exponent_bits + fraction_bits) & 1U) != 0) number.significand = -number.significand;
  number.infinite = has_infinity && highest && fraction == 0;
  number.nan = highest && has_nan && (has_infinity ? fraction != 0 : fraction + 1 == 1U << fraction_bits);
  return number;
}

Number narrow(Narrow type, std::uint32_t code) {
  switch (type) {
    case Narrow::kE4m3:
      return take_apart(code, 4, 3, false, true);
    case Narrow::kE5m2:
      return take_apart(code, 5, 2, true, true);
    case Narrow::kE3m2:
      return take_apart(code & 0x3f, 3, 2, false, false);
    case Narrow::kE2m3:
      return take_apart(code & 0x3f, 2, 3, false, false);
    case Narrow::kE2m1:
      break;
  }
  return take_apart(code >> 2 & 0xf, 2, 1, false, false);
}

Number times(const Number& a, const Number& b) {
  Number product{a.significand * b.significand, a.unit + b.unit, a.exponent + b.exponent, a.nan || b.nan, false};
  const auto zero = [](const Number& n) { return n.significand == 0 && !n.infinite; };
  if (a.infinite || b.infinite) {
    product.infinite = true;
    product.nan = product.nan || zero(a) || zero(b);
    product.significand = (a.significand < 0) != (b.significand < 0) ? -1 : 1;
  }
  return product;
}

/// The sum of the terms, of which the last is C, truncated to `fraction` bits below the largest exponent.
Number fused(const std::vector<Number>& terms, int fraction) {
  Number sum;
  bool plus = false;
  bool minus = false;
  int top = terms.back().exponent;
  for (const Number& term : terms) {
    sum.nan = sum.nan || term.nan;
    if (term.infinite && !term.nan) (term.significand < 0 ? minus : plus) = true;
    if (term.significand != 0) top = std::max(top, term.exponent);
  }
  sum.nan = sum.nan || (plus && minus);
  sum.infinite = plus || minus;
  sum.unit = top - fraction;
  if (sum.infinite || sum.nan) {
    sum.significand = minus ? -1 : 1;
    return sum;
  }
  for (const Number& term : terms) {
    if (term.significand == 0) continue;  // its unit may lie far above the sum's
    const int shift = term.unit - sum.unit;
    const std::int64_t size = std::abs(term.significand);
    const std::int64_t kept = shift >= 0 ? size << shift : shift > -63 ? size >> -shift : 0;
    sum.significand += term.significand < 0 ? -kept : kept;
  }
  return sum;
}

/// The code of a sum in a format with `fraction_bits`, whose lowest exponent is `lowest`: toward zero or to nearest.
std::uint32_t encode(const Number& sum, int exponent_bits, int fraction_bits, bool nearest) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const std::uint32_t infinity = ((1U << exponent_bits) - 1) << fraction_bits;
  const std::uint32_t sign = sum.significand < 0 ? 1U << (exponent_bits + fraction_bits) : 0;
  if (sum.nan) return exponent_bits == 8 ? 0x7fffffffU : 0x7fffU;
  if (sum.infinite) return sign | infinity;
  std::uint64_t size = static_cast<std::uint64_t>(std::abs(sum.significand));
  if (size == 0) return 0;
  const int exponent = std::max(sum.unit + 63 - std::countl_zero(size), 1 - bias);
  const int drop = exponent - fraction_bits - sum.unit;
  if (drop > 63) return 0;
  if (drop > 0) {
    const std::uint64_t rest = size & ((std::uint64_t{1} << drop) - 1);
    const std::uint64_t half = std::uint64_t{1} << (drop - 1);
    size >>= drop;
    if (nearest && (rest > half || (rest == half && (size & 1U) != 0))) ++size;
  } else {
    size <<= -drop;
  }
  if (size == 0) return 0;
  // Counting on from the code of the exponent's smallest number also carries into the next exponent.
  const std::uint64_t code = (static_cast<std::uint64_t>(exponent + bias - 1) << fraction_bits) + size;
  return sign | static_cast<std::uint32_t>(std::min<std::uint64_t>(code, infinity));
}

/// What a warp's lanes have in their registers.
class Fragments {
 public:
  Fragments(const Case& one, const MmaForm& form, unsigned warp) : one_(one), form_(form), warp_(warp) {}

  /// PTX ISA, "Matrix Fragments for mma.m16n8k32" and "... m16n8k64": element i of lane l, by row and column.
  std::uint32_t a(int row, int k) const {
    const int each = 32 / form_.code_bits;  // elements of a register
    const int lane = row % 8 * 4 + k % (4 * each) / each;
    const int reg = row / 8 + 2 * (k / (4 * each));
    return code(reg, lane, k % each);
  }
  std::uint32_t b(int k, int column) const {
    const int each = 32 / form_.code_bits;
    return code(4 + k / (4 * each), column * 4 + k % (4 * each) / each, k % each);
  }
  std::uint32_t c(int row, int column) const {
    const int lane = row % 8 * 4 + column / 2;
    const int i = row / 8 * 2 + column % 2;
    if (!form_.f16_sums()) return word(6 + i, lane);
    return word(6 + i / 2, lane) >> (16 * (i % 2)) & 0xffffU;
  }
  /// Byte `byte` of the scale register of A or B.
  std::uint32_t scale(bool of_b, int lane, int byte) const {
    return word(6 + form_.sum_registers() + (of_b ? 1 : 0), lane) >> (8 * byte) & 0xffU;
  }

 private:
  std::uint32_t word(int reg, int lane) const {
    return one_.input[static_cast<std::size_t>(reg) * kAll + warp_ * 32 + static_cast<std::size_t>(lane)];
  }
  std::uint32_t code(int reg, int lane, int i) const {
    return word(reg, lane) >> (form_.code_bits * i) & ((1U << form_.code_bits) - 1);
  }

  const Case& one_;
  const MmaForm& form_;
  unsigned warp_;
};

struct Selectors {
  int a_byte = 0;
  int a_thread = 0;
  int b_byte = 0;
  int b_thread = 0;
};

Number scale_number(reference::Fp4Scales format, std::uint32_t code) {
  if (format == reference::Fp4Scales::kFourUe4m3) return take_apart(code & 0x7fU, 4, 3, false, true);
  const int exponent = static_cast<int>(code) - 127;
  return {1, exponent, exponent, code == 0xff, false};
}

std::uint32_t expected(const MmaForm& form, const Fragments& in, const Selectors& select, int row, int column) {
  std::vector<Number> terms;
  const auto scale = [&](int i) {
    const int a_lane = row % 8 * 4 + 2 * select.a_thread + row / 8;
    const Number a = scale_number(form.scale_format, in.scale(false, a_lane, select.a_byte + i));
    const Number b = scale_number(form.scale_format, in.scale(true, column * 4 + select.b_thread, select.b_byte + i));
    return times(a, b);
  };
  const bool fp4 = form.arithmetic == MmaArithmetic::fp4;
  for (int k = 0; k < form.k; k += fp4 ? 16 : 1) {
    Number term;
    if (fp4) {
      Number sum{0, -2, 0, false, false};  // quarters
      for (int i = k; i < k + 16; ++i) {
        const Number product =
            times(take_apart(in.a(row, i), 2, 1, false, false), take_apart(in.b(i, column), 2, 1, false, false));
        sum.significand += product.significand << (product.unit + 2);
      }
      term = times(sum, scale(k / (64 / form.scales)));
    } else {
      term = times(narrow(form.a, in.a(row, k)), narrow(form.b, in.b(k, column)));
      if (form.scales != 0) term = times(term, scale(0));
    }
    terms.push_back(term);
  }
  const std::uint32_t c = in.c(row, column);
  terms.push_back(form.f16_sums() ? take_apart(c, 5, 10, true, true) : take_apart(c, 8, 23, true, true));
  const Number sum = fused(terms, fp4 ? 35 : 25);
  return form.f16_sums() ? encode(sum, 5, 10, true) : encode(sum, 8, 23, false);
}

/// Codes of all kinds, sparse ones, and C of any size or near the products.
std::uint64_t random_word(Random& random, const RegisterSet& set, bool f16, unsigned thread) {
  const std::uint32_t word = random.word();
  if (set.prefix == "x" || set.prefix == "y") {  // scales around 1; in one warp of four of any size
    return thread / 32 % 4 == 0 ? word : (word & 0x07070707U) + 0x7b7b7b7bU;
  }
  if (set.prefix != "c") return thread / 32 % 4 == 1 ? word & random.word() & random.word() : word;
  if (f16) return word & 0xbfffbfffU;
  return random.below(2) == 0 ? (word & 0x80ffffffU) | 0x3f000000U | random.below(8) << 23 : word;
}

std::string prove(const MmaForm& form, std::size_t number) {
  Random random(9000 + number);
  const int step = std::max(form.scales, 1);
  const auto pick = [&](int most, int by) {
    return static_cast<int>(random.below(static_cast<unsigned>(most / by + 1))) * by;
  };
  const Selectors select{pick(4 - step, step), pick(1, 1), pick(4 - step, step), pick(3, 1)};
  std::vector<RegisterSet> loaded{{"a", 4, 32}, {"b", 2, 32}, {"c", form.sum_registers(), 32}};
  const RegisterSet d{"d", form.sum_registers(), 32};
  std::string text =
      form.name + " " + braced(d) + ", " + braced(loaded[0]) + ", " + braced(loaded[1]) + ", " + braced(loaded[2]);
  if (form.scales != 0) {
    loaded.push_back({"x", 1, 32});
    loaded.push_back({"y", 1, 32});
    const auto pair = [](int byte, int thread) { return fmt::format("{{{}, {}}}", byte, thread); };
    text += ", %x0, " + pair(select.a_byte, select.a_thread) + ", %y0, " + pair(select.b_byte, select.b_thread);
  }
  const Case one = register_case(
      "mma", {form.name}, text + ";\n", loaded, {d}, kBlocks, kThreads,
      [&](const RegisterSet& set, int, unsigned thread) { return random_word(random, set, form.f16_sums(), thread); });
  device::Place place = device::parse_place("emulated:gb10");
  place.sms = 1;
  const std::vector<Case> cases{one};
  const std::vector<Answer> answers = run_cases(device::open_driver(place), "sm_120f", cases);
  if (!answers[0].error.empty()) return answers[0].error;
  for (unsigned warp = 0; warp < kAll / 32; ++warp) {
    const Fragments in(one, form, warp);
    for (int i = 0; i < 128; ++i) {
      const int row = i / 8;
      const int column = i % 8;
      const int element = row / 8 * 2 + column % 2;
      const int reg = form.f16_sums() ? element / 2 : element;
      std::uint32_t got = answers[0].words[static_cast<std::size_t>(reg) * kAll + warp * 32 +
                                           static_cast<std::size_t>(row % 8 * 4 + column / 2)];
      if (form.f16_sums()) got = got >> (16 * (element % 2)) & 0xffffU;
      const std::uint32_t want = expected(form, in, select, row, column);
      if (got == want) continue;
      return form.name + ": warp " + std::to_string(warp) + " row " + std::to_string(row) + " column " +
             std::to_string(column) + ": " + std::to_string(got) + ", not " + std::to_string(want);
    }
  }
  return {};
}

}  // namespace

std::vector<RowProof> mma_proofs() {
  std::vector<RowProof> proofs;
  const std::vector<MmaForm>& forms = emulator::mma_forms();
  for (std::size_t i = 0; i < forms.size(); ++i) {
    if (forms[i].only_sm120) proofs.push_back({{forms[i].name}, [i] { return prove(emulator::mma_forms()[i], i); }});
  }
  return proofs;
}

}  // namespace moesaic::isa
