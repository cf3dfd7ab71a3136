#include <cmath>

#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Floating-Point Instructions": .approx and .full. The ISA bounds their error and leaves the bits open; here
/// they are rounded correctly from double.
namespace moesaic::emulator {
namespace {

double reciprocal(double a) {
  return 1 / a;
}
double reciprocal_root(double a) {
  return 1 / std::sqrt(a);
}

template <bool kFtz>
float in_range(float value) {
  return kFtz ? flush(value) : value;
}

template <bool kFtz, double (*kFunction)(double)>
float of_float(float a) {
  return canonical(in_range<kFtz>(static_cast<float>(kFunction(static_cast<double>(in_range<kFtz>(a))))));
}
/// div.approx multiplies by 1 / b, which is 0 above 2^126: PTX ISA, div.
template <bool kFtz>
float product_with_reciprocal(float a, float b) {
  if (std::isfinite(b) && std::fabs(b) > 0x1p126F) return canonical(a * std::copysign(0.0F, b));
  return canonical(in_range<kFtz>(in_range<kFtz>(a) / in_range<kFtz>(b)));
}
template <bool kFtz>
float quotient(float a, float b) {
  return canonical(in_range<kFtz>(in_range<kFtz>(a) / in_range<kFtz>(b)));
}

double reciprocal_root64(double a) {
  return canonical64(reciprocal_root(a), a);
}

/// The .ftz.f64 forms look at the upper 32 bits only and give 20 bits of mantissa, as rcp.approx.ftz.f64 demands: PTX
/// ISA, rcp.approx.ftz.f64: the lower 32 bits of the operand are ignored, those of the result are zero.
template <double (*kFunction)(double)>
double of_double(double a) {
  constexpr std::uint64_t kUpper = 0xffffffff00000000U;
  const auto upper = [](double value) { return std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) & kUpper); };
  const auto flush64 = [](double value) {
    return std::fabs(value) < std::numeric_limits<double>::min() ? std::copysign(0.0, value) : value;
  };
  const double result = kFunction(flush64(upper(a)));
  if (std::isnan(result)) return std::bit_cast<double>(std::uint64_t{0x7fffffff00000000U});
  return flush64(upper(result));
}

/// A function of f16 or bf16, from the nearest float.
template <std::uint16_t (*kEncode)(float), float (*kDecode)(std::uint16_t), double (*kFunction)(double)>
std::uint16_t of_half(std::uint16_t a) {
  return kEncode(float_to_odd(kFunction(static_cast<double>(kDecode(a)))));
}
template <std::uint16_t (*kFunction)(std::uint16_t)>
std::uint32_t two(std::uint32_t a) {
  return std::uint32_t{kFunction(static_cast<std::uint16_t>(a >> 16))} << 16 | kFunction(static_cast<std::uint16_t>(a));
}
/// .ftz of ex2 on bf16: no result is subnormal.
std::uint16_t ex2_bf16(std::uint16_t a) {
  return encode_bf16(flush(float_to_odd(std::exp2(static_cast<double>(flush(decode_bf16(a)))))));
}

template <bool kFtz>
void add_floats(InstructionTable& table, const std::string& suffix) {
  const auto row = [&](const std::string& name, const char* operands, Handler handler) {
    table.add(name + suffix, operands, Class::floating, handler);
  };
  row("div.full", "d s s", lanewise<quotient<kFtz>>);
  row("div.approx", "d s s", lanewise<product_with_reciprocal<kFtz>>);
  row("rcp.approx", "d s", lanewise<of_float<kFtz, reciprocal>>);
  row("sqrt.approx", "d s", lanewise<of_float<kFtz, std::sqrt>>);
  row("rsqrt.approx", "d s", lanewise<of_float<kFtz, reciprocal_root>>);
  row("ex2.approx", "d s", lanewise<of_float<kFtz, std::exp2>>);
  row("lg2.approx", "d s", lanewise<of_float<kFtz, std::log2>>);
  row("sin.approx", "d s", lanewise<of_float<kFtz, std::sin>>);
  row("cos.approx", "d s", lanewise<of_float<kFtz, std::cos>>);
}

}  // namespace

void add_approximate_rows(InstructionTable& table) {
  const InstructionTable::Section approximate(table, Target::any, Proof::independent);
  const auto row = [&](const std::string& name, Handler handler) { table.add(name, "d s", Class::floating, handler); };
  add_floats<false>(table, ".f32");
  add_floats<true>(table, ".ftz.f32");
  row("tanh.approx.f32", lanewise<of_float<false, std::tanh>>);
  row("rcp.approx.ftz.f64", lanewise<of_double<reciprocal>>);
  row("rsqrt.approx.ftz.f64", lanewise<of_double<reciprocal_root>>);
  row("rsqrt.approx.f64", lanewise<reciprocal_root64>);
  row("tanh.approx.f16", lanewise<of_half<encode_f16, decode_f16, std::tanh>>);
  row("tanh.approx.f16x2", lanewise<two<of_half<encode_f16, decode_f16, std::tanh>>>);
  row("tanh.approx.bf16", lanewise<of_half<encode_bf16, decode_bf16, std::tanh>>);
  row("tanh.approx.bf16x2", lanewise<two<of_half<encode_bf16, decode_bf16, std::tanh>>>);
  row("ex2.approx.f16", lanewise<of_half<encode_f16, decode_f16, std::exp2>>);
  row("ex2.approx.f16x2", lanewise<two<of_half<encode_f16, decode_f16, std::exp2>>>);
  row("ex2.approx.ftz.bf16", lanewise<ex2_bf16>);
  row("ex2.approx.ftz.bf16x2", lanewise<two<ex2_bf16>>);
}

}  // namespace moesaic::emulator
