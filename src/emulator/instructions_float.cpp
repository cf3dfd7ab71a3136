#include <cmath>

#include "emulator/directed_rounding.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Floating-Point Instructions": those that are rounded correctly, and those that round nothing.
namespace moesaic::emulator {
namespace {

/// The modifiers that follow the rounding of an operation on f32.
enum class Mode : std::uint8_t { plain, ftz, sat, ftz_sat };

constexpr bool flushes(Mode mode) {
  return mode == Mode::ftz || mode == Mode::ftz_sat;
}

template <Mode kMode>
float into(float value) {
  return flushes(kMode) ? flush(value) : value;
}
template <Mode kMode>
float out_of(float value) {
  value = into<kMode>(value);
  if constexpr (kMode == Mode::sat || kMode == Mode::ftz_sat) return saturated(value);
  return canonical(value);
}

template <Mode kMode, Rounding kRounding>
float add(float a, float b) {
  return out_of<kMode>(add_rounded<kRounding>(into<kMode>(a), into<kMode>(b)));
}
template <Mode kMode, Rounding kRounding>
float sub(float a, float b) {
  return out_of<kMode>(add_rounded<kRounding>(into<kMode>(a), -into<kMode>(b)));
}
/// .ftz looks at the result as it were with more exponents: what only the step from subnormal numbers to the smallest
/// normal one brings there is flushed. `scaled` is the result of operands that were 2^64 times as large.
template <Mode kMode>
float unless_tiny(float rounded, float scaled) {
  const bool at_edge = std::fabs(rounded) == std::numeric_limits<float>::min();
  return flushes(kMode) && at_edge && std::fabs(scaled) < 0x1p-62F ? std::copysign(0.0F, rounded) : rounded;
}
constexpr double kScale = 0x1p64;

template <Mode kMode, Rounding kRounding>
float mul(float a, float b) {
  a = into<kMode>(a);
  b = into<kMode>(b);
  const float rounded = mul_rounded<kRounding>(a, b);
  if constexpr (!flushes(kMode)) return out_of<kMode>(rounded);
  const double exact = static_cast<double>(a) * static_cast<double>(b);
  return out_of<kMode>(unless_tiny<kMode>(rounded, narrow<kRounding>(exact * kScale)));
}
template <Mode kMode, Rounding kRounding>
float fma(float a, float b, float c) {
  a = into<kMode>(a);
  b = into<kMode>(b);
  c = into<kMode>(c);
  const float rounded = fma_rounded<kRounding>(a, b, c);
  if constexpr (!flushes(kMode)) return out_of<kMode>(rounded);
  const double exact = add_to_odd(static_cast<double>(a) * static_cast<double>(b), static_cast<double>(c));
  return out_of<kMode>(unless_tiny<kMode>(rounded, narrow<kRounding>(exact * kScale)));
}
template <Mode kMode, Rounding kRounding>
float div(float a, float b) {
  a = into<kMode>(a);
  b = into<kMode>(b);
  const float rounded = div_rounded<kRounding>(a, b);
  if constexpr (!flushes(kMode)) return out_of<kMode>(rounded);
  return out_of<kMode>(unless_tiny<kMode>(rounded, div_rounded<kRounding>(a * static_cast<float>(kScale), b)));
}
template <Mode kMode, Rounding kRounding>
float rcp(float a) {
  return div<kMode, kRounding>(1.0F, a);
}
template <Mode kMode, Rounding kRounding>
float square_root(float a) {
  return out_of<kMode>(sqrt_rounded<kRounding>(into<kMode>(a)));
}

template <Rounding kRounding>
double add64(double a, double b) {
  return canonical64(add_rounded<kRounding>(a, b), b, a);
}
template <Rounding kRounding>
double sub64(double a, double b) {
  return canonical64(add_rounded<kRounding>(a, -b), b, a);
}
template <Rounding kRounding>
double mul64(double a, double b) {
  return canonical64(mul_rounded<kRounding>(a, b), b, a);
}
template <Rounding kRounding>
double fma64(double a, double b, double c) {
  return canonical64(fma_rounded<kRounding>(a, b, c), b, c, a);
}
template <Rounding kRounding>
double div64(double a, double b) {
  return canonical64(div_rounded<kRounding>(a, b), a, b);
}
template <Rounding kRounding>
double rcp64(double a) {
  return div64<kRounding>(1.0, a);
}
template <Rounding kRounding>
double root64(double a) {
  return canonical64(sqrt_rounded<kRounding>(a), a);
}

/// A function of f32 on both halves of 64-bit values.
template <float (*kFunction)(float, float)>
std::uint64_t two(std::uint64_t a, std::uint64_t b) {
  return to_bits(kFunction(from_bits<float>(a >> 32), from_bits<float>(b >> 32))) << 32 |
         to_bits(kFunction(from_bits<float>(a), from_bits<float>(b)));
}
template <float (*kFunction)(float, float, float)>
std::uint64_t two_fused(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  return to_bits(kFunction(from_bits<float>(a >> 32), from_bits<float>(b >> 32), from_bits<float>(c >> 32))) << 32 |
         to_bits(kFunction(from_bits<float>(a), from_bits<float>(b), from_bits<float>(c)));
}

template <Mode kMode>
float negated(float a) {
  return canonical(-into<kMode>(a));
}
template <Mode kMode>
float absolute(float a) {
  return canonical(std::fabs(into<kMode>(a)));
}
/// A NaN keeps its sign.
double negated64(double a) {
  return std::isnan(a) ? quiet(a) : -a;
}
double absolute64(double a) {
  return std::isnan(a) ? quiet(a) : std::fabs(a);
}
float copy_sign(float sign, float value) {
  return std::copysign(value, sign);
}
double copy_sign64(double sign, double value) {
  return std::copysign(value, sign);
}

template <typename T, auto kHolds>
Flow test(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::uint64_t* in = warp.in(instruction.operands[1]);
  Lanes yes = 0;
  for_lanes(active, [&](int lane) { yes |= Lanes{kHolds(std::fpclassify(from_bits<T>(in[lane])))} << lane; });
  warp.set_predicate(instruction.operands[0], active, yes);
  return Flow::next;
}

struct Adder {
  InstructionTable& table;

  void add(const std::string& name, const char* operands, Handler handler) const {
    table.add(name, operands, Class::floating, handler);
  }

  template <Mode kMode, Rounding kRounding>
  void sums(const std::string& rounding, const std::string& suffix) const {
    // Sums and products without a rounding are rounded to nearest; only ptxas may make an fma of them.
    const std::string plain = kRounding == Rounding::nearest ? "[.rn]" : rounding;
    add("add" + plain + suffix, "d s s", lanewise<emulator::add<kMode, kRounding>>);
    add("sub" + plain + suffix, "d s s", lanewise<sub<kMode, kRounding>>);
    add("mul" + plain + suffix, "d s s", lanewise<mul<kMode, kRounding>>);
    add("(fma|mad)" + rounding + suffix, "d s s s", lanewise<fma<kMode, kRounding>>);
  }
  template <Mode kMode, Rounding kRounding>
  void quotients(const std::string& rounding, const std::string& suffix) const {
    add("div" + rounding + suffix, "d s s", lanewise<div<kMode, kRounding>>);
    add("rcp" + rounding + suffix, "d s", lanewise<rcp<kMode, kRounding>>);
    add("sqrt" + rounding + suffix, "d s", lanewise<square_root<kMode, kRounding>>);
  }
  template <Mode kMode, Rounding kRounding>
  void pairs(const std::string& rounding, const std::string& suffix) const {
    const std::string plain = kRounding == Rounding::nearest ? "[.rn]" : rounding;
    add("add" + plain + suffix, "d s s", lanewise<two<emulator::add<kMode, kRounding>>>);
    add("sub" + plain + suffix, "d s s", lanewise<two<sub<kMode, kRounding>>>);
    add("mul" + plain + suffix, "d s s", lanewise<two<mul<kMode, kRounding>>>);
    add("fma" + rounding + suffix, "d s s s", lanewise<two_fused<fma<kMode, kRounding>>>);
  }
  template <Rounding kRounding>
  void doubles(const std::string& rounding) const {
    const std::string plain = kRounding == Rounding::nearest ? "[.rn]" : rounding;
    add("add" + plain + ".f64", "d s s", lanewise<add64<kRounding>>);
    add("sub" + plain + ".f64", "d s s", lanewise<sub64<kRounding>>);
    add("mul" + plain + ".f64", "d s s", lanewise<mul64<kRounding>>);
    add("(fma|mad)" + rounding + ".f64", "d s s s", lanewise<fma64<kRounding>>);
    add("div" + rounding + ".f64", "d s s", lanewise<div64<kRounding>>);
    add("rcp" + rounding + ".f64", "d s", lanewise<rcp64<kRounding>>);
    add("sqrt" + rounding + ".f64", "d s", lanewise<root64<kRounding>>);
  }
  template <Rounding kRounding>
  void rounded(const std::string& rounding) const {
    sums<Mode::plain, kRounding>(rounding, ".f32");
    sums<Mode::ftz, kRounding>(rounding, ".ftz.f32");
    sums<Mode::sat, kRounding>(rounding, ".sat.f32");
    sums<Mode::ftz_sat, kRounding>(rounding, ".ftz.sat.f32");
    quotients<Mode::plain, kRounding>(rounding, ".f32");
    quotients<Mode::ftz, kRounding>(rounding, ".ftz.f32");
    doubles<kRounding>(rounding);
    const InstructionTable::Section blackwell(table, Target::sm_100, Proof::independent);
    pairs<Mode::plain, kRounding>(rounding, ".f32x2");
    pairs<Mode::ftz, kRounding>(rounding, ".ftz.f32x2");
  }
  template <typename T>
  void tests(const std::string& type) const {
    add("testp.finite" + type, "p s", test<T, [](int kind) { return kind != FP_INFINITE && kind != FP_NAN; }>);
    add("testp.infinite" + type, "p s", test<T, [](int kind) { return kind == FP_INFINITE; }>);
    add("testp.number" + type, "p s", test<T, [](int kind) { return kind != FP_NAN; }>);
    add("testp.notanumber" + type, "p s", test<T, [](int kind) { return kind == FP_NAN; }>);
    // Zero counts as normal: PTX ISA, testp.
    add("testp.normal" + type, "p s", test<T, [](int kind) { return kind == FP_NORMAL || kind == FP_ZERO; }>);
    add("testp.subnormal" + type, "p s", test<T, [](int kind) { return kind == FP_SUBNORMAL; }>);
  }
};

}  // namespace

void add_float_rows(InstructionTable& table) {
  const Adder to{table};
  to.rounded<Rounding::nearest>(".rn");
  to.rounded<Rounding::zero>(".rz");
  to.rounded<Rounding::down>(".rm");
  to.rounded<Rounding::up>(".rp");
  to.add("neg.f32", "d s", lanewise<negated<Mode::plain>>);
  to.add("neg.ftz.f32", "d s", lanewise<negated<Mode::ftz>>);
  to.add("abs.f32", "d s", lanewise<absolute<Mode::plain>>);
  to.add("abs.ftz.f32", "d s", lanewise<absolute<Mode::ftz>>);
  to.add("neg.f64", "d s", lanewise<negated64>);
  to.add("abs.f64", "d s", lanewise<absolute64>);
  to.add("copysign.f32", "d s s", lanewise<copy_sign>);
  to.add("copysign.f64", "d s s", lanewise<copy_sign64>);
  to.tests<float>(".f32");
  to.tests<double>(".f64");
}

}  // namespace moesaic::emulator
