#include "isa/operand_values.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "isa/isa_case.hpp"

namespace moesaic::isa {
namespace {

/// A binary floating-point format by its fields; the sign is the highest bit.
struct Format {
  unsigned exponent_bits = 0;
  unsigned fraction_bits = 0;

  unsigned bits() const { return 1 + exponent_bits + fraction_bits; }
  std::uint64_t bias() const { return (std::uint64_t{1} << (exponent_bits - 1)) - 1; }
  std::uint64_t fraction() const { return (std::uint64_t{1} << fraction_bits) - 1; }
  std::uint64_t highest() const { return (std::uint64_t{1} << exponent_bits) - 1; }
  std::uint64_t make(std::uint64_t exponent, std::uint64_t fraction_field) const {
    return std::min(exponent, highest()) << fraction_bits | (fraction_field & fraction());
  }
};

/// What a PTX type is made of: `parts` values side by side of `bits` each, integers when `format` has no exponent.
struct Kind {
  unsigned parts = 1;
  unsigned bits = 32;
  Format format{};

  bool floating() const { return format.exponent_bits != 0; }
};

constexpr Format kF16{5, 10};
constexpr Format kBf16{8, 7};
constexpr Format kF32{8, 23};
constexpr Format kF64{11, 52};

Kind kind_of(std::string_view type) {
  if (type == "f16" || type == "f16x2") return {type == "f16" ? 1U : 2U, 16, kF16};
  if (type == "bf16" || type == "bf16x2") return {type == "bf16" ? 1U : 2U, 16, kBf16};
  if (type == "f32" || type == "f32x2" || type == "tf32") return {type == "f32x2" ? 2U : 1U, 32, kF32};
  if (type == "f64") return {1, 64, kF64};
  if (type.ends_with("16x2")) return {2, 16, {}};
  if (type.ends_with("x2")) return {2, type == "e2m1x2" ? 4U : 8U, {}};
  if (type.ends_with("64")) return {1, 64, {}};
  if (type.ends_with("16")) return {1, 16, {}};
  return {1, 32, {}};  // 8-bit values too: the bits above them must not matter
}

Values integer_edges(unsigned bits) {
  const std::uint64_t all = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  Values edges{0,   1,      2,      3,      7,          8,          15,         16,
               31,  32,     33,     63,     64,         127,        128,        255,
               256, 0x7fff, 0x8000, 0xffff, all,        all - 1,    all >> 1,   (all >> 1) + 1,
               100, 200,    0x1234, 0x80,   0x7fffffff, 0x80000000, 0xffffffff, 0x5555555555555555};
  for (std::uint64_t& edge : edges) edge &= all;
  return edges;
}

Values float_edges(const Format& f) {
  const std::uint64_t one = f.bias();
  const std::uint64_t top = std::uint64_t{1} << (f.fraction_bits - 1);
  Values edges{0,
               1,
               f.fraction(),
               f.make(1, 0),
               f.make(1, 1),
               f.make(one, 0),
               f.make(one, 1),
               f.make(one - 1, f.fraction()),
               f.make(one - 1, 0),
               f.make(one, top),
               f.make(one + 1, top / 2),
               f.make(one + 3, top),
               f.make(f.highest() - 1, f.fraction()),
               f.make(f.highest(), 0),
               f.make(f.highest(), top),
               f.make(f.highest(), top / 2 + 1)};
  if (f.bits() == 16) edges[1] = 0x7ff7;  // what tensor copies put outside: .oob looks for it
  const std::size_t positive = edges.size();
  for (std::size_t i = 0; i < positive; ++i) edges.push_back(edges[i] | std::uint64_t{1} << (f.bits() - 1));
  return edges;
}

Values edges_of(const Kind& kind) {
  return kind.floating() ? float_edges(kind.format) : integer_edges(kind.bits < 8 ? 8 : kind.bits);
}

/// A fraction that lies at a boundary of a shorter one: a few leading bits, then 0..0, 10..0, 01..1 or 10..01.
std::uint64_t short_fraction(Random& random, const Format& f) {
  const unsigned kept = random.below(f.fraction_bits - 1);
  const unsigned rest = f.fraction_bits - kept;
  const std::uint64_t lead = (random.next() & ((std::uint64_t{1} << kept) - 1)) << rest;
  const std::uint64_t half = std::uint64_t{1} << (rest - 1);
  const std::array<std::uint64_t, 4> tails{0, half, half - 1, half + 1};
  return lead | tails[random.below(4)];
}

std::uint64_t random_float(Random& random, const Format& f, unsigned regime, std::uint64_t partner) {
  const std::uint64_t sign = (random.next() & 1U) << (f.bits() - 1);
  const std::uint64_t near = f.bias() > 70 ? 70 : f.bias();
  // The fraction is drawn first: what was recorded on silicon depends on the order.
  const auto with_exponent = [&](std::uint64_t fraction, std::uint64_t lowest, std::uint64_t range) {
    return sign | f.make(lowest + random.below(static_cast<std::uint32_t>(range)), fraction);
  };
  switch (regime) {
    case 0:
      return random.next() >> (64 - f.bits());
    case 1:
      return with_exponent(random.next(), f.bias() - 4, 9);
    case 2: {  // of like size and of the other sign
      const std::uint64_t exponent = (partner >> f.fraction_bits) & f.highest();
      const std::uint64_t beside = exponent + random.below(3);
      const std::uint64_t other = ~partner & (std::uint64_t{1} << (f.bits() - 1));
      return other |
             f.make(beside == 0 ? 0 : beside - 1, random.below(3) == 0 ? partner ^ random.below(4) : random.next());
    }
    case 3:
      return with_exponent(random.next(), 0, 3);
    case 4:
      return with_exponent(random.next(), f.highest() - 3, 3);
    case 5:
      return with_exponent(short_fraction(random, f), f.bias() - std::min<std::uint64_t>(f.bias() - 1, 30), near + 26);
    case 6:
      return with_exponent(short_fraction(random, f), f.bias() - 2, 10);
    default:
      return with_exponent(random.next(), f.bias(), near);
  }
}

std::uint64_t random_integer(Random& random, unsigned bits, unsigned regime, std::uint64_t partner) {
  const std::uint64_t value = random.next() >> (64 - bits);
  if (regime == 1) return value >> random.below(bits);
  if (regime == 2) return partner ^ random.below(4);
  if (regime == 3)
    return (value >> (1 + random.below(bits - 1))) ^ (bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1);
  return value;
}

std::uint64_t random_part(Random& random, const Kind& kind, unsigned regime, std::uint64_t partner) {
  return kind.floating() ? random_float(random, kind.format, regime, partner)
                         : random_integer(random, kind.bits, regime, partner);
}

}  // namespace

unsigned type_bits(std::string_view type) {
  const Kind kind = kind_of(type);
  return kind.parts * kind.bits;
}

std::vector<Values> operand_values(const std::vector<std::string>& types, std::size_t count) {
  Random random(types.size());
  std::vector<Values> all(types.size(), Values(count));
  for (std::size_t i = 0; i < count; ++i) {
    const bool edges = i < count / 2;
    for (std::size_t operand = 0; operand < types.size(); ++operand) {
      const Kind kind = kind_of(types[operand]);
      const Values choices = edges_of(kind);
      const std::uint64_t first = all[0][i];
      std::uint64_t value = 0;
      for (unsigned part = 0; part < kind.parts; ++part) {
        // The first two operands go through all pairs of edges; the others draw.
        const std::array<std::size_t, 3> turn{i, i / choices.size(), random.below(1U << 16)};
        const std::size_t chosen = turn[std::min<std::size_t>(operand, 2)] + 5 * part;
        const std::uint64_t one =
            edges ? choices[chosen % choices.size()] : random_part(random, kind, i % 8, first >> (part * kind.bits));
        const std::uint64_t mask = kind.bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << kind.bits) - 1;
        value |= (one & mask) << (part * kind.bits % 64);
      }
      if (types[operand] == "shift" && !edges && i % 4 != 0) value = random.below(72);
      if (types[operand] == "pred") value = random.below(2);
      all[operand][i] = value;
    }
  }
  return all;
}

}  // namespace moesaic::isa
