#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <string_view>

#include "isa/judge.hpp"

// Every code of a small format is looked at; the nearest one is right, of two the even one.
namespace moesaic::isa {
namespace {

/// A format of sign, exponent and fraction without infinities and NaN.
struct Small {
  int exponent_bits;
  int fraction_bits;
  int bias;

  int bits() const { return 1 + exponent_bits + fraction_bits; }
  unsigned largest() const { return (1U << (exponent_bits + fraction_bits)) - 1; }
  double value(unsigned code) const {
    const auto exponent = static_cast<int>(code >> fraction_bits) & ((1 << exponent_bits) - 1);
    const auto fraction = static_cast<double>(code & ((1U << fraction_bits) - 1));
    const double whole = exponent == 0 ? 0.0 : std::ldexp(1.0, fraction_bits);
    return std::ldexp(whole + fraction, (exponent == 0 ? 1 : exponent) - bias - fraction_bits);
  }
};

std::optional<Small> small_of(std::string_view type) {
  if (type == "e2m1x2") return Small{2, 1, 1};
  if (type == "e2m3x2") return Small{2, 3, 1};
  if (type == "e3m2x2") return Small{3, 2, 3};
  return std::nullopt;
}

unsigned nearest(const Small& format, float value, bool relu) {
  if (std::isnan(value)) return format.largest();
  if (relu && std::signbit(value)) return 0;
  // Far beyond the largest number all are as far away.
  const double size = std::min(std::fabs(static_cast<double>(value)), 2 * format.value(format.largest()));
  unsigned best = 0;
  for (unsigned code = 1; code <= format.largest(); ++code) {
    const double here = std::fabs(format.value(code) - size);
    const double there = std::fabs(format.value(best) - size);
    if (here < there || (here == there && code % 2 == 0)) best = code;
  }
  return best | (std::signbit(value) ? format.largest() + 1 : 0);
}

float f32_of(std::uint64_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
}
float f16_of(std::uint64_t bits) {
  const auto exponent = static_cast<int>((bits >> 10) & 31U);
  const auto fraction = static_cast<float>(bits & 1023U);
  float size = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) size = fraction == 0 ? HUGE_VALF : std::nanf("");
  return (bits & 0x8000U) != 0 ? -size : size;
}
float bf16_of(std::uint64_t bits) {
  return f32_of((bits & 0xffffU) << 16);
}

/// The two numbers that an instruction converts, the upper one first.
std::pair<float, float> pair_of(std::string_view from, const std::vector<std::uint64_t>& in) {
  if (from == "f32") return {f32_of(in[0]), f32_of(in[1])};
  if (from == "f16x2") return {f16_of(in[0] >> 16), f16_of(in[0])};
  return {bf16_of(in[0] >> 16), bf16_of(in[0])};
}

Judge encoder(const Small& format, std::string_view from, bool relu) {
  return [=](const std::vector<std::uint64_t>& in, std::uint64_t result) {
    const auto [high, low] = pair_of(from, in);
    const int place = format.bits() == 4 ? 4 : 8;
    return result == (std::uint64_t{nearest(format, high, relu)} << place | nearest(format, low, relu));
  };
}

/// f16 of every code is exact.
Judge decoder(const Small& format, bool relu) {
  return [=](const std::vector<std::uint64_t>& in, std::uint64_t result) {
    const int place = format.bits() == 4 ? 4 : 8;
    const auto is_right = [&](std::uint64_t code, std::uint64_t half) {
      const bool negative = ((code >> (format.bits() - 1)) & 1U) != 0;
      const double size = format.value(static_cast<unsigned>(code) & format.largest());
      const float want = static_cast<float>(negative ? -size : size);
      if (relu && negative) return (half & 0xffffU) == 0;
      return f16_of(half & 0xffffU) == want && (((half >> 15) & 1U) != 0) == negative;
    };
    return is_right(in[0], result & 0xffffU) && is_right(in[0] >> place, result >> 16);
  };
}

/// ue8m0: the powers of two, looked through from below.
unsigned scale_code(float value, bool up, bool satfinite) {
  if (std::isnan(value)) return 255;
  const double size = std::fabs(static_cast<double>(value));
  unsigned below = 0;
  while (below < 254 && std::ldexp(1.0, static_cast<int>(below) + 1 - 127) <= size) ++below;
  if (std::isinf(value)) return satfinite ? 254 : 255;
  const double there = std::ldexp(1.0, static_cast<int>(below) - 127);
  if (!up || size <= there) return below;
  if (below < 254) return below + 1;
  return satfinite ? 254 : 255;
}

Judge scale_encoder(std::string_view from, bool up, bool satfinite) {
  return [=](const std::vector<std::uint64_t>& in, std::uint64_t result) {
    const auto [high, low] = pair_of(from, in);
    return result == (std::uint64_t{scale_code(high, up, satfinite)} << 8 | scale_code(low, up, satfinite));
  };
}

bool scale_decoded(const std::vector<std::uint64_t>& in, std::uint64_t result) {
  const auto is_right = [](std::uint64_t code, std::uint64_t half) {
    if (code == 255) return half == 0x7fff;
    return static_cast<double>(bf16_of(half)) == std::ldexp(1.0, static_cast<int>(code) - 127);
  };
  return is_right(in[0] & 255U, result & 0xffffU) && is_right((in[0] >> 8) & 255U, result >> 16);
}

/// tf32 as a number: 10 bits of fraction, from an exact quotient by the unit.
Judge tf32(bool truncates, bool relu) {
  return [=](const std::vector<std::uint64_t>& in, std::uint64_t result) {
    const float value = f32_of(in[0]);
    if (std::isnan(value)) return result == 0x7fffe000;  // as an H200 gives without .satfinite
    if (relu && std::signbit(value)) return result == 0;
    int exponent = 0;
    static_cast<void>(std::frexp(static_cast<double>(value), &exponent));
    const double unit = std::ldexp(1.0, std::max(exponent - 11, -136));
    const double quotient = static_cast<double>(value) / unit;
    double want = (truncates ? std::trunc(quotient) : std::nearbyint(quotient)) * unit;
    const double largest = std::ldexp(2047.0, 117);
    if (std::fabs(want) > largest || std::isinf(value)) want = std::copysign(largest, static_cast<double>(value));
    return result == std::bit_cast<std::uint32_t>(static_cast<float>(want));
  };
}

}  // namespace

Judge judge_of_conversion(const emulator::Row& row) {
  const std::string_view name = row.name;
  if (!name.starts_with("cvt.")) return {};
  const std::size_t last = name.rfind('.');
  const std::string_view from = name.substr(last + 1);
  const std::string_view before = name.substr(0, last);
  const std::string_view to = before.substr(before.rfind('.') + 1);
  const bool relu = name.find(".relu") != std::string_view::npos;
  const bool satfinite = name.find(".satfinite") != std::string_view::npos;
  if (to == "tf32" && satfinite) return tf32(name.find(".rz") != std::string_view::npos, relu);
  if (to == "ue8m0x2") return scale_encoder(from, name.find(".rp") != std::string_view::npos, satfinite);
  if (from == "ue8m0x2") return scale_decoded;
  if (const auto format = small_of(to)) return encoder(*format, from, relu);
  if (const auto format = small_of(from)) return decoder(*format, relu);
  return {};
}

}  // namespace moesaic::isa
