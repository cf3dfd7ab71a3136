#include <cmath>

#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Half Precision Floating-Point Instructions": f16, bf16 and their packed forms, rounded to nearest even.
namespace moesaic::emulator {
namespace {

struct F16 {
  static double decode(std::uint16_t code) { return static_cast<double>(decode_f16(code)); }
  static std::uint16_t encode(double value) { return encode_f16(float_to_odd(value)); }
};
struct Bf16 {
  static double decode(std::uint16_t code) { return static_cast<double>(decode_bf16(code)); }
  static std::uint16_t encode(double value) { return encode_bf16(float_to_odd(value)); }
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
double minimum(double a, double b) {
  if (a == b) return std::signbit(a) ? a : b;
  return std::fmin(a, b);
}
double maximum(double a, double b) {
  if (a == b) return std::signbit(a) ? b : a;
  return std::fmax(a, b);
}

template <typename Format, auto kFunction, typename... Codes>
std::uint16_t one(Codes... codes) {
  return Format::encode(kFunction(Format::decode(codes)...));
}
template <typename Format, auto kFunction, typename... Pairs>
std::uint32_t two(Pairs... pairs) {
  const std::uint32_t low = one<Format, kFunction>(static_cast<std::uint16_t>(pairs)...);
  const std::uint32_t high = one<Format, kFunction>(static_cast<std::uint16_t>(pairs >> 16)...);
  return high << 16 | low;
}

template <typename Format, double (*kFunction)(double, double)>
std::uint16_t binary(std::uint16_t a, std::uint16_t b) {
  return one<Format, kFunction>(a, b);
}
template <typename Format, double (*kFunction)(double, double)>
std::uint32_t binary_x2(std::uint32_t a, std::uint32_t b) {
  return two<Format, kFunction>(a, b);
}
template <typename Format>
std::uint16_t fused(std::uint16_t a, std::uint16_t b, std::uint16_t c) {
  return one<Format, fma>(a, b, c);
}
template <typename Format>
std::uint32_t fused_x2(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  return two<Format, fma>(a, b, c);
}
std::uint16_t negated(std::uint16_t a) {
  return static_cast<std::uint16_t>(a ^ 0x8000U);
}
std::uint16_t absolute(std::uint16_t a) {
  return static_cast<std::uint16_t>(a & 0x7fffU);
}
std::uint32_t negated_x2(std::uint32_t a) {
  return a ^ 0x80008000U;
}
std::uint32_t absolute_x2(std::uint32_t a) {
  return a & 0x7fff7fffU;
}

template <typename Format>
void add_format(InstructionTable& table, const std::string& type) {
  const auto row = [&](const std::string& name, const char* operands, Handler handler) {
    table.add(name + type, operands, Class::floating, handler);
  };
  row("add[.rn].", "d s s", lanewise<binary<Format, add>>);
  row("sub[.rn].", "d s s", lanewise<binary<Format, sub>>);
  row("mul[.rn].", "d s s", lanewise<binary<Format, mul>>);
  row("min.", "d s s", lanewise<binary<Format, minimum>>);
  row("max.", "d s s", lanewise<binary<Format, maximum>>);
  row("fma.rn.", "d s s s", lanewise<fused<Format>>);
  row("neg.", "d s", lanewise<negated>);
  row("abs.", "d s", lanewise<absolute>);
  const auto row_x2 = [&](const std::string& name, const char* operands, Handler handler) {
    table.add(name + type + "x2", operands, Class::floating, handler);
  };
  row_x2("add[.rn].", "d s s", lanewise<binary_x2<Format, add>>);
  row_x2("sub[.rn].", "d s s", lanewise<binary_x2<Format, sub>>);
  row_x2("mul[.rn].", "d s s", lanewise<binary_x2<Format, mul>>);
  row_x2("min.", "d s s", lanewise<binary_x2<Format, minimum>>);
  row_x2("max.", "d s s", lanewise<binary_x2<Format, maximum>>);
  row_x2("fma.rn.", "d s s s", lanewise<fused_x2<Format>>);
  row_x2("neg.", "d s", lanewise<negated_x2>);
  row_x2("abs.", "d s", lanewise<absolute_x2>);
}

}  // namespace

void add_half_rows(InstructionTable& table) {
  add_format<F16>(table, "f16");
  add_format<Bf16>(table, "bf16");
}

}  // namespace moesaic::emulator
