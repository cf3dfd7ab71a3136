#include <cmath>

#include "emulator/directed_rounding.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Half Precision Floating-Point Instructions": f16, bf16 and their packed forms, rounded to nearest even;
/// and "Mixed Precision Floating-Point Instructions": f32 sums with an operand of those.
namespace moesaic::emulator {
namespace {

/// What a modifier makes of a result.
enum class After : std::uint8_t { nothing, sat, relu };

struct F16 {
  static double decode(std::uint16_t code) { return static_cast<double>(decode_f16(code)); }
  static std::uint16_t encode(double value) { return encode_f16(float_to_odd(value)); }
  static std::uint16_t flush(std::uint16_t code) {
    return static_cast<std::uint16_t>((code & 0x7c00U) == 0 ? code & 0x8000U : code);
  }
};
struct Bf16 {
  static double decode(std::uint16_t code) { return static_cast<double>(decode_bf16(code)); }
  static std::uint16_t encode(double value) { return encode_bf16(float_to_odd(value)); }
  static std::uint16_t flush(std::uint16_t code) { return code; }  // no instruction on bf16 has .ftz
};

// Sums and products of two such numbers are exact in double or, rounded to odd, as good as exact.
double add(double a, double b) {
  return add_to_odd(a, b);
}
double sub(double a, double b) {
  return add_to_odd(a, -b);
}
double mul(double a, double b) {
  return a * b;
}
double fma(double a, double b, double c) {
  return add_to_odd(a * b, c);
}

/// Whether .ftz of f16 flushes a result: it is below the smallest normal number when it is rounded as if there were
/// more exponents.
bool is_tiny(double value) {
  return std::fabs(value) < 0x1p-14 && F16::decode(F16::encode(std::fabs(value) * 0x1p10)) < 0x1p-4;
}

template <typename Format, After kAfter, bool kFtz>
std::uint16_t finish(double value) {
  if (kFtz && is_tiny(value)) value = std::copysign(0.0, value);
  if constexpr (kAfter == After::sat) value = saturated(value);
  if constexpr (kAfter == After::relu) value = value > 0 || std::isnan(value) ? value : 0;
  return Format::encode(value);
}

template <typename Format, auto kFunction, After kAfter, bool kFtz, typename... Codes>
std::uint16_t one(Codes... codes) {
  const auto read = [](std::uint16_t code) { return Format::decode(kFtz ? Format::flush(code) : code); };
  return finish<Format, kAfter, kFtz>(kFunction(read(codes)...));
}

template <typename Format, double (*kFunction)(double, double), After kAfter, bool kFtz>
std::uint16_t binary(std::uint16_t a, std::uint16_t b) {
  return one<Format, kFunction, kAfter, kFtz>(a, b);
}
template <typename Format, After kAfter, bool kFtz>
std::uint16_t fused(std::uint16_t a, std::uint16_t b, std::uint16_t c) {
  return one<Format, fma, kAfter, kFtz>(a, b, c);
}
/// What tensor copies put outside of a tensor on request (tests/fixtures/silicon/copy_boxes.bin).
constexpr std::uint16_t kOutsideNan = 0x7ff7;

/// .oob: a factor that is the NaN with which tensor copies fill what lies outside, of either sign, makes the result 0.
template <typename Format, After kAfter>
std::uint16_t fused_oob(std::uint16_t a, std::uint16_t b, std::uint16_t c) {
  const bool outside = (a & 0x7fffU) == kOutsideNan || (b & 0x7fffU) == kOutsideNan;
  return outside ? std::uint16_t{0} : fused<Format, kAfter, false>(a, b, c);
}

/// 0x7fff for every NaN.
template <std::uint16_t kInfinity>
std::uint16_t canonical_half(std::uint32_t code) {
  return (code & 0x7fffU) > kInfinity ? std::uint16_t{0x7fff} : static_cast<std::uint16_t>(code);
}
template <std::uint16_t kInfinity, bool kFtz>
std::uint16_t negated(std::uint16_t a) {
  return canonical_half<kInfinity>((kFtz ? F16::flush(a) : a) ^ 0x8000U);
}
template <std::uint16_t kInfinity, bool kFtz>
std::uint16_t absolute(std::uint16_t a) {
  return canonical_half<kInfinity>((kFtz ? F16::flush(a) : a) & 0x7fffU);
}

/// A function of 16-bit values on both halves of 32-bit ones.
template <auto kFunction, typename... Pairs>
std::uint32_t two(Pairs... pairs) {
  const std::uint32_t low = kFunction(static_cast<std::uint16_t>(pairs)...);
  const std::uint32_t high = kFunction(static_cast<std::uint16_t>(pairs >> 16)...);
  return high << 16 | low;
}
template <auto kFunction>
std::uint32_t two_of_one(std::uint32_t a) {
  return two<kFunction>(a);
}
template <auto kFunction>
std::uint32_t two_of_two(std::uint32_t a, std::uint32_t b) {
  return two<kFunction>(a, b);
}
template <auto kFunction>
std::uint32_t two_of_three(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  return two<kFunction>(a, b, c);
}

/// f32 sums with operands of 16 bits.
template <typename Format, Rounding kRounding, bool kSat>
float mixed_fma(std::uint16_t a, std::uint16_t b, float c) {
  const float result =
      fma_rounded<kRounding>(static_cast<float>(Format::decode(a)), static_cast<float>(Format::decode(b)), c);
  return kSat ? saturated(result) : canonical(result);
}
template <typename Format, Rounding kRounding, bool kSat>
float mixed_add(std::uint16_t a, float c) {
  const float result = add_rounded<kRounding>(static_cast<float>(Format::decode(a)), c);
  return kSat ? saturated(result) : canonical(result);
}
template <typename Format, Rounding kRounding, bool kSat>
float mixed_sub(std::uint16_t a, float c) {
  return mixed_add<Format, kRounding, kSat>(a, -c);
}

struct Adder {
  InstructionTable& table;

  void add(const std::string& name, const char* operands, Handler handler) const {
    table.add(name, operands, Class::floating, handler);
  }

  template <auto kFunction>
  void unary(const std::string& name, const std::string& type) const {
    add(name + type, "d s", lanewise<kFunction>);
    add(name + type + "x2", "d s", lanewise<two_of_one<kFunction>>);
  }
  template <auto kFunction>
  void binary(const std::string& name, const std::string& type) const {
    add(name + type, "d s s", lanewise<kFunction>);
    add(name + type + "x2", "d s s", lanewise<two_of_two<kFunction>>);
  }
  template <auto kFunction>
  void ternary(const std::string& name, const std::string& type) const {
    add(name + type, "d s s s", lanewise<kFunction>);
    add(name + type + "x2", "d s s s", lanewise<two_of_three<kFunction>>);
  }

  template <typename Format, After kAfter, bool kFtz>
  void sums(const std::string& mods, const std::string& type) const {
    binary<emulator::binary<Format, emulator::add, kAfter, kFtz>>("add[.rn]" + mods, type);
    binary<emulator::binary<Format, sub, kAfter, kFtz>>("sub[.rn]" + mods, type);
    binary<emulator::binary<Format, mul, kAfter, kFtz>>("mul[.rn]" + mods, type);
  }

  template <typename Format, Rounding kRounding>
  void mixed(const std::string& rounding, const std::string& type) const {
    const std::string plain = kRounding == Rounding::nearest ? "[.rn]" : rounding;
    add("add" + plain + ".f32" + type, "d s s", lanewise<mixed_add<Format, kRounding, false>>);
    add("add" + plain + ".sat.f32" + type, "d s s", lanewise<mixed_add<Format, kRounding, true>>);
    add("sub" + plain + ".f32" + type, "d s s", lanewise<mixed_sub<Format, kRounding, false>>);
    add("sub" + plain + ".sat.f32" + type, "d s s", lanewise<mixed_sub<Format, kRounding, true>>);
    add("fma" + rounding + ".f32" + type, "d s s s", lanewise<mixed_fma<Format, kRounding, false>>);
    add("fma" + rounding + ".sat.f32" + type, "d s s s", lanewise<mixed_fma<Format, kRounding, true>>);
  }
  template <typename Format>
  void mixed_roundings(const std::string& type) const {
    mixed<Format, Rounding::nearest>(".rn", type);
    mixed<Format, Rounding::zero>(".rz", type);
    mixed<Format, Rounding::down>(".rm", type);
    mixed<Format, Rounding::up>(".rp", type);
  }
};

}  // namespace

void add_half_rows(InstructionTable& table) {
  const Adder to{table};
  to.sums<F16, After::nothing, false>("", ".f16");
  to.sums<F16, After::nothing, true>(".ftz", ".f16");
  to.sums<F16, After::sat, false>(".sat", ".f16");
  to.sums<F16, After::sat, true>(".ftz.sat", ".f16");
  to.ternary<fused<F16, After::nothing, false>>("fma.rn", ".f16");
  to.ternary<fused<F16, After::nothing, true>>("fma.rn.ftz", ".f16");
  to.ternary<fused<F16, After::sat, false>>("fma.rn.sat", ".f16");
  to.ternary<fused<F16, After::sat, true>>("fma.rn.ftz.sat", ".f16");
  to.ternary<fused<F16, After::relu, false>>("fma.rn.relu", ".f16");
  to.ternary<fused<F16, After::relu, true>>("fma.rn.ftz.relu", ".f16");
  to.ternary<fused_oob<F16, After::nothing>>("fma.rn.oob", ".f16");
  to.ternary<fused_oob<F16, After::sat>>("fma.rn.oob.sat", ".f16");
  to.ternary<fused_oob<F16, After::relu>>("fma.rn.oob.relu", ".f16");
  to.unary<negated<kInfinityF16, false>>("neg", ".f16");
  to.unary<negated<kInfinityF16, true>>("neg.ftz", ".f16");
  to.unary<absolute<kInfinityF16, false>>("abs", ".f16");
  to.unary<absolute<kInfinityF16, true>>("abs.ftz", ".f16");

  to.binary<emulator::binary<Bf16, add, After::nothing, false>>("add[.rn]", ".bf16");
  to.binary<emulator::binary<Bf16, sub, After::nothing, false>>("sub[.rn]", ".bf16");
  to.binary<emulator::binary<Bf16, mul, After::nothing, false>>("mul[.rn]", ".bf16");
  to.ternary<fused<Bf16, After::nothing, false>>("fma.rn", ".bf16");
  to.ternary<fused<Bf16, After::relu, false>>("fma.rn.relu", ".bf16");
  to.ternary<fused_oob<Bf16, After::nothing>>("fma.rn.oob", ".bf16");
  to.ternary<fused_oob<Bf16, After::relu>>("fma.rn.oob.relu", ".bf16");
  to.unary<negated<kInfinityBf16, false>>("neg", ".bf16");
  to.unary<absolute<kInfinityBf16, false>>("abs", ".bf16");

  const InstructionTable::Section blackwell(table, Target::sm_100, Proof::independent);
  to.mixed_roundings<F16>(".f16");
  to.mixed_roundings<Bf16>(".bf16");
}

}  // namespace moesaic::emulator
