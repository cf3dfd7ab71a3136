#include <cmath>

#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Floating-Point Instructions". Rounding is to nearest even. Approximate functions are correctly rounded
/// from double here: the ISA bounds their error and leaves the bits open.
namespace moesaic::emulator {
namespace {

/// The modifiers that follow an operation on f32.
enum class Mode : std::uint8_t { plain, ftz, sat, ftz_sat };

template <Mode kMode>
float into(float value) {
  return kMode == Mode::ftz || kMode == Mode::ftz_sat ? flush(value) : value;
}
template <Mode kMode>
float out_of(float value) {
  value = into<kMode>(value);
  if constexpr (kMode == Mode::sat || kMode == Mode::ftz_sat) {
    // Saturation takes NaN to +0.
    return std::isnan(value) ? 0.0F : std::fmin(std::fmax(value, 0.0F), 1.0F);
  }
  return canonical(value);
}

template <Mode kMode>
float add(float a, float b) {
  return out_of<kMode>(into<kMode>(a) + into<kMode>(b));
}
template <Mode kMode>
float sub(float a, float b) {
  return out_of<kMode>(into<kMode>(a) - into<kMode>(b));
}
template <Mode kMode>
float mul(float a, float b) {
  return out_of<kMode>(into<kMode>(a) * into<kMode>(b));
}
template <Mode kMode>
float fma(float a, float b, float c) {
  return out_of<kMode>(std::fma(into<kMode>(a), into<kMode>(b), into<kMode>(c)));
}
template <Mode kMode>
float div(float a, float b) {
  return out_of<kMode>(into<kMode>(a) / into<kMode>(b));
}
template <Mode kMode>
float rcp(float a) {
  return out_of<kMode>(1.0F / into<kMode>(a));
}
template <Mode kMode>
float square_root(float a) {
  return out_of<kMode>(std::sqrt(into<kMode>(a)));
}
template <Mode kMode>
float negated(float a) {
  return -into<kMode>(a);
}
template <Mode kMode>
float absolute(float a) {
  return std::fabs(into<kMode>(a));
}

/// The lesser or greater of two, -0 below +0; of a number and NaN the number, unless kNan.
template <typename T, bool kGreater, bool kNan>
T extreme(T a, T b) {
  if (std::isnan(a) || std::isnan(b)) {
    const bool none = std::isnan(a) && std::isnan(b);
    if (kNan || none) return std::numeric_limits<T>::quiet_NaN();
    return std::isnan(a) ? b : a;
  }
  if (a == b) return std::signbit(a) != kGreater ? a : b;
  return (a > b) == kGreater ? a : b;
}
template <Mode kMode, bool kNan>
float minimum(float a, float b) {
  return canonical(extreme<float, false, kNan>(into<kMode>(a), into<kMode>(b)));
}
template <Mode kMode, bool kNan>
float maximum(float a, float b) {
  return canonical(extreme<float, true, kNan>(into<kMode>(a), into<kMode>(b)));
}

template <Mode kMode, double (*kFunction)(double)>
float approximate(float a) {
  return out_of<kMode>(static_cast<float>(kFunction(static_cast<double>(into<kMode>(a)))));
}
double reciprocal(double a) {
  return 1 / a;
}
double reciprocal_root(double a) {
  return 1 / std::sqrt(a);
}

float copy_sign(float sign, float value) {
  return std::copysign(value, sign);
}
double copy_sign64(double sign, double value) {
  return std::copysign(value, sign);
}
double add64(double a, double b) {
  return a + b;
}
double sub64(double a, double b) {
  return a - b;
}
double mul64(double a, double b) {
  return a * b;
}
double fma64(double a, double b, double c) {
  return std::fma(a, b, c);
}
double div64(double a, double b) {
  return a / b;
}
double root64(double a) {
  return std::sqrt(a);
}
double neg64(double a) {
  return -a;
}
double abs64(double a) {
  return std::fabs(a);
}

template <Mode kMode>
void add_rounded(InstructionTable& table, const std::string& suffix) {
  const auto row = [&](const std::string& name, const char* operands, Handler handler) {
    table.add(name + suffix, operands, Class::floating, handler);
  };
  row("add[.rn]", "d s s", lanewise<add<kMode>>);
  row("sub[.rn]", "d s s", lanewise<sub<kMode>>);
  row("mul[.rn]", "d s s", lanewise<mul<kMode>>);
  row("fma.rn", "d s s s", lanewise<fma<kMode>>);
  row("mad.rn", "d s s s", lanewise<fma<kMode>>);
}

template <Mode kMode>
void add_others(InstructionTable& table, const std::string& suffix) {
  const auto row = [&](const std::string& name, const char* operands, Handler handler) {
    table.add(name + suffix, operands, Class::floating, handler);
  };
  row("div.rn", "d s s", lanewise<div<kMode>>);
  row("div.(full|approx)", "d s s", lanewise<div<kMode>>);
  row("rcp.rn", "d s", lanewise<rcp<kMode>>);
  row("sqrt.rn", "d s", lanewise<square_root<kMode>>);
  row("neg", "d s", lanewise<negated<kMode>>);
  row("abs", "d s", lanewise<absolute<kMode>>);
  row("min", "d s s", lanewise<minimum<kMode, false>>);
  row("max", "d s s", lanewise<maximum<kMode, false>>);
  const std::string with_nan = suffix.substr(0, suffix.find(".f32")) + ".NaN.f32";
  table.add("min" + with_nan, "d s s", Class::floating, lanewise<minimum<kMode, true>>);
  table.add("max" + with_nan, "d s s", Class::floating, lanewise<maximum<kMode, true>>);
  row("rcp.approx", "d s", lanewise<approximate<kMode, reciprocal>>);
  row("sqrt.approx", "d s", lanewise<approximate<kMode, std::sqrt>>);
  row("rsqrt.approx", "d s", lanewise<approximate<kMode, reciprocal_root>>);
  row("ex2.approx", "d s", lanewise<approximate<kMode, std::exp2>>);
  row("lg2.approx", "d s", lanewise<approximate<kMode, std::log2>>);
  row("sin.approx", "d s", lanewise<approximate<kMode, std::sin>>);
  row("cos.approx", "d s", lanewise<approximate<kMode, std::cos>>);
  row("tanh.approx", "d s", lanewise<approximate<kMode, std::tanh>>);
}

}  // namespace

void add_float_rows(InstructionTable& table) {
  add_rounded<Mode::plain>(table, ".f32");
  add_rounded<Mode::ftz>(table, ".ftz.f32");
  add_rounded<Mode::sat>(table, ".sat.f32");
  add_rounded<Mode::ftz_sat>(table, ".ftz.sat.f32");
  add_others<Mode::plain>(table, ".f32");
  add_others<Mode::ftz>(table, ".ftz.f32");
  table.add("copysign.f32", "d s s", Class::floating, lanewise<copy_sign>);
  table.add("copysign.f64", "d s s", Class::floating, lanewise<copy_sign64>);
  table.add("add[.rn].f64", "d s s", Class::floating, lanewise<add64>);
  table.add("sub[.rn].f64", "d s s", Class::floating, lanewise<sub64>);
  table.add("mul[.rn].f64", "d s s", Class::floating, lanewise<mul64>);
  table.add("(fma|mad).rn.f64", "d s s s", Class::floating, lanewise<fma64>);
  table.add("div.rn.f64", "d s s", Class::floating, lanewise<div64>);
  table.add("sqrt.rn.f64", "d s", Class::floating, lanewise<root64>);
  table.add("rcp.rn.f64", "d s", Class::floating, lanewise<reciprocal>);
  table.add("neg.f64", "d s", Class::floating, lanewise<neg64>);
  table.add("abs.f64", "d s", Class::floating, lanewise<abs64>);
  table.add("min.f64", "d s s", Class::floating, lanewise<extreme<double, false, false>>);
  table.add("max.f64", "d s s", Class::floating, lanewise<extreme<double, true, false>>);
}

}  // namespace moesaic::emulator
