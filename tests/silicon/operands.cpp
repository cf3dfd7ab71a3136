#include "silicon/operands.hpp"

#include <bit>
#include <cmath>
#include <limits>

namespace moesaic::silicon {
namespace {

std::uint32_t sign_bit(const Format& format) {
  return 1U << (format.bits() - 1);
}

/// A code with a random sign and fraction and an exponent field in [lowest, lowest + range).
std::uint32_t with_exponent(Random& random, const Format& format, std::uint32_t lowest, std::uint32_t range) {
  const std::uint32_t fraction = random.below(1U << format.fraction_bits);
  const std::uint32_t exponent = lowest + random.below(range);
  return random.below(2) * sign_bit(format) | exponent << format.fraction_bits | fraction;
}

std::uint32_t any_finite(Random& random, const Format& format) {
  for (;;) {
    const auto code = static_cast<std::uint32_t>(random.next() >> (64 - format.bits()));
    if (format.is_finite(code)) return code;
  }
}

/// NaN or infinity, as far as the format has them.
std::uint32_t not_finite(Random& random, const Format& format) {
  for (;;) {
    const std::uint32_t code = with_exponent(random, format, (1U << format.exponent_bits) - 1, 1);
    const std::uint32_t infinity = code >> format.fraction_bits << format.fraction_bits;
    if (format.ieee && random.below(2) == 0) return infinity;
    if (!format.is_finite(code)) return code;
  }
}

std::uint32_t element(Random& random, const Format& format, int regime, std::uint32_t before) {
  const std::uint32_t highest = (1U << format.exponent_bits) - 2;
  switch (regime) {
    case 1:
      return random.once_in(100) ? not_finite(random, format) : any_finite(random, format);
    case 2:
      return with_exponent(random, format, 0, 3);
    case 3:
      return with_exponent(random, format, highest - 1, 2);
    case 4:
      return random.once_in(8) ? any_finite(random, format) : before ^ random.below(2) * sign_bit(format);
    case 5:
      return random.once_in(6) ? any_finite(random, format) : random.below(2) * sign_bit(format);
    default:
      return any_finite(random, format);
  }
}

std::vector<std::uint32_t> packed(const std::vector<std::uint32_t>& codes, unsigned bits) {
  const std::size_t per_word = 32 / bits;
  std::vector<std::uint32_t> words(codes.size() / per_word);
  for (std::size_t i = 0; i < codes.size(); ++i) words[i / per_word] |= codes[i] << (bits * (i % per_word));
  return words;
}

void append(std::vector<std::uint32_t>& to, const std::vector<std::uint32_t>& words) {
  to.insert(to.end(), words.begin(), words.end());
}

Products products(const Format& operand, const Format& sum, std::size_t cases, std::uint64_t seed) {
  Random random(seed);
  const std::size_t k = 256 / operand.bits();
  Products all;
  all.cases = cases;
  for (std::size_t i = 0; i < cases; ++i) {
    const int regime = static_cast<int>(i % kRegimes);
    append(all.a, matrix(random, operand, regime, 16 * k));
    append(all.b, matrix(random, operand, regime, 8 * k));
    append(all.c, addends(random, sum, regime, 16 * 8));
  }
  return all;
}

}  // namespace

Products products_e4m3() {
  return products(kE4m3, kF32, 360, 1);
}
Products products_f16() {
  return products(kF16, kF32, 180, 2);
}
Products products_bf16() {
  return products(kBf16, kF32, 180, 3);
}
Products products_f16_f16() {
  return products(kF16, kF16, 180, 4);
}

bool Format::is_finite(std::uint32_t code) const {
  const std::uint32_t magnitude = code & ((1U << (exponent_bits + fraction_bits)) - 1);
  if (!ieee) return magnitude != (1U << (exponent_bits + fraction_bits)) - 1;
  return magnitude >> fraction_bits != (1U << exponent_bits) - 1;
}

std::vector<std::uint32_t> matrix(Random& random, const Format& format, int regime, std::size_t count) {
  std::vector<std::uint32_t> codes(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t before = i % 2 == 0 ? any_finite(random, format) : codes[i - 1];
    codes[i] = element(random, format, regime, before);
  }
  return packed(codes, format.bits());
}

std::vector<std::uint32_t> addends(Random& random, const Format& format, int regime, std::size_t count) {
  const std::uint32_t middle = (1U << (format.exponent_bits - 1)) - 1;
  const std::uint32_t highest = (1U << format.exponent_bits) - 2;
  std::vector<std::uint32_t> codes(count);
  for (std::uint32_t& code : codes) {
    switch (random.below(regime == 1 ? 6 : 5)) {
      case 0:
        code = random.below(2) * sign_bit(format);
        break;
      case 1:
        code = with_exponent(random, format, middle - 8, 16);
        break;
      case 2:
        code = with_exponent(random, format, 0, 1);
        break;
      case 3:
        code = with_exponent(random, format, highest, 1);
        break;
      case 4:
        code = any_finite(random, format);
        break;
      default:
        code = not_finite(random, format);
        break;
    }
  }
  return packed(codes, format.bits());
}

std::vector<float> floats_near_e4m3(Random& random, std::size_t count) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> values{infinity, 464.0F, 480.0F, 3.0e38F, std::numeric_limits<float>::denorm_min(), 1.0e-40F};
  float last = 0;
  for (int code = 0; code < 0x80; ++code) {
    const int exponent = code / 8 == 0 ? 1 : code / 8;
    const float value = std::ldexp(static_cast<float>(code / 8 == 0 ? code : code % 8 + 8), exponent - 10);
    for (const float at : {value, (last + value) / 2}) {
      values.push_back(at);
      values.push_back(std::nextafter(at, infinity));
      values.push_back(std::nextafter(at, 0.0F));
    }
    last = value;
  }
  const std::size_t positive = values.size();
  for (std::size_t i = 0; i < positive; ++i) values.push_back(-values[i]);
  for (const std::uint32_t nan : {0x7fc00000U, 0xffc00000U, 0x7f800001U, 0xff800001U, 0x7fffffffU, 0xffffffffU}) {
    values.push_back(std::bit_cast<float>(nan));
  }
  while (values.size() < count) {
    const auto bits = static_cast<std::uint32_t>(random.next() >> 32);
    const auto in_range = (bits & 0x807fffffU) | (0x70U + random.below(32)) << 23;
    values.push_back(std::bit_cast<float>(random.below(4) == 0 ? bits : in_range));
  }
  values.resize(count);
  return values;
}

}  // namespace moesaic::silicon
