#include <cmath>
#include <limits>

#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Data Movement and Conversion Instructions: cvt".
namespace moesaic::emulator {
namespace {

enum class Rounding : std::uint8_t { nearest, zero, down, up };

/// A 16-bit float as it travels through registers, by format.
struct F16 {
  std::uint16_t code;
};
struct Bf16 {
  std::uint16_t code;
};

template <typename T>
concept Small = std::same_as<T, F16> || std::same_as<T, Bf16>;
template <typename T>
concept Floating = std::floating_point<T> || Small<T>;

template <typename T>
T read(std::uint64_t bits) {
  if constexpr (Small<T>) {
    return T{static_cast<std::uint16_t>(bits)};
  } else {
    return from_bits<T>(bits);
  }
}
/// A signed result fills a wider register with its sign: PTX ISA, "Operand Size Exceeding Instruction-Type Size".
template <typename T>
std::uint64_t write(T value) {
  if constexpr (Small<T>) {
    return value.code;
  } else if constexpr (std::signed_integral<T>) {
    return static_cast<std::uint64_t>(std::int64_t{value});
  } else {
    return to_bits(value);
  }
}

template <typename T>
double value_of(T value) {
  if constexpr (std::same_as<T, F16>) return static_cast<double>(decode_f16(value.code));
  if constexpr (std::same_as<T, Bf16>) return static_cast<double>(decode_bf16(value.code));
  if constexpr (!Small<T>) return static_cast<double>(value);
}

/// A finite double in an f32, rounded as asked.
template <Rounding kRounding>
float narrow(double value) {
  const auto near = static_cast<float>(value);
  if (kRounding == Rounding::nearest || std::isnan(near) || static_cast<double>(near) == value) return near;
  const bool above = static_cast<double>(near) > value;
  const bool wants_above = kRounding == Rounding::up || (kRounding == Rounding::zero && value < 0);
  if (above == wants_above) return near;
  return std::nextafter(near,
                        wants_above ? std::numeric_limits<float>::infinity() : -std::numeric_limits<float>::infinity());
}

/// A 64-bit integer in a double, so that rounding once more to a shorter format is as good as rounding once.
template <typename T>
double odd_double(T value) {
  const auto near = static_cast<double>(value);
  __extension__ using Whole = __int128;
  const auto rest = static_cast<Whole>(value) - static_cast<Whole>(near);
  return to_odd(near, static_cast<double>(rest));
}

template <typename To, Rounding kRounding>
To encode(double value) {
  static_assert(kRounding == Rounding::nearest || std::same_as<To, float>);
  if constexpr (std::same_as<To, F16>) return F16{encode_f16(float_to_odd(value))};
  if constexpr (std::same_as<To, Bf16>) return Bf16{encode_bf16(float_to_odd(value))};
  if constexpr (std::same_as<To, float>) return canonical(narrow<kRounding>(value));
  if constexpr (std::same_as<To, double>) return value;
}

/// Any conversion to a floating-point type.
template <typename To, typename From, Rounding kRounding>
To to_float(From from) {
  if constexpr (std::same_as<To, double> && std::integral<From>) {
    return static_cast<double>(from);
  } else if constexpr (std::integral<From>) {
    return encode<To, kRounding>(odd_double(from));
  } else if constexpr (std::same_as<To, float> && std::same_as<From, Bf16>) {
    return decode_bf16(from.code);  // a shift: a NaN keeps its bits
  } else {
    return encode<To, kRounding>(value_of(from));
  }
}

template <Rounding kRounding>
double whole(double value) {
  switch (kRounding) {
    case Rounding::nearest:
      return std::nearbyint(value);
    case Rounding::zero:
      return std::trunc(value);
    case Rounding::down:
      return std::floor(value);
    case Rounding::up:
      return std::ceil(value);
  }
  return value;
}

/// Floating point to integer: out of range clamps; NaN is 0, or the top bit where 64-bit types take part.
template <typename To, typename From, Rounding kRounding>
To to_integer(From from) {
  const double value = whole<kRounding>(value_of(from));
  if (std::isnan(value)) {
    const bool wide = std::same_as<From, double> || sizeof(To) == 8;
    return wide ? static_cast<To>(std::make_unsigned_t<To>{1} << (sizeof(To) * 8 - 1)) : To{0};
  }
  if (value <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  // 2^width is exact where the largest value is not.
  if (value >= std::ldexp(1.0, std::numeric_limits<To>::digits)) return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

template <typename To, Rounding kRounding>
To to_integer_ftz(float from) {
  return to_integer<To, float, kRounding>(flush(from));
}

template <typename To, typename From>
To resize(From from) {
  return static_cast<To>(from);
}
template <typename To, typename From>
To clamp(From from) {
  if (std::cmp_less(from, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (std::cmp_greater(from, std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(from);
}
template <Rounding kRounding>
float whole32(float value) {
  return canonical(static_cast<float>(whole<kRounding>(static_cast<double>(value))));
}
float saturated(float value) {
  return std::isnan(value) ? 0.0F : std::fmin(std::fmax(value, 0.0F), 1.0F);
}
float flushed(float value) {
  return canonical(flush(value));
}
double widen_ftz(float value) {
  return static_cast<double>(flush(value));
}

template <auto kFunction, typename To, typename From>
Flow convert_with(To (*)(From), Warp& warp, const Instruction& instruction, Lanes active) {
  std::uint64_t* out = warp.out(instruction.operands[0]);
  const std::uint64_t* in = warp.in(instruction.operands[1]);
  for_lanes(active, [&](int lane) { out[lane] = write<To>(kFunction(read<From>(in[lane]))); });
  return Flow::next;
}
template <auto kFunction>
Flow convert(Warp& warp, const Instruction& instruction, Lanes active) {
  return convert_with<kFunction>(kFunction, warp, instruction, active);
}

// Packed forms: the first source goes to the upper half.
template <std::uint16_t (*kEncode)(float)>
std::uint32_t pack_16(float high, float low) {
  return std::uint32_t{kEncode(high)} << 16 | kEncode(low);
}
template <std::uint16_t (*kEncode)(float)>
std::uint32_t pack_16_relu(float high, float low) {
  const auto relu = [](float x) { return x < 0 ? 0.0F : x; };
  return std::uint32_t{kEncode(relu(high))} << 16 | kEncode(relu(low));
}
std::uint16_t e4m3x2(float high, float low) {
  return static_cast<std::uint16_t>(encode_e4m3(high) << 8 | encode_e4m3(low));
}
std::uint16_t e4m3x2_of_f16x2(std::uint32_t pair) {
  return e4m3x2(decode_f16(static_cast<std::uint16_t>(pair >> 16)), decode_f16(static_cast<std::uint16_t>(pair)));
}
std::uint32_t f16x2_of_e4m3x2(std::uint16_t pair) {
  return std::uint32_t{encode_f16(decode_e4m3(static_cast<std::uint8_t>(pair >> 8)))} << 16 |
         encode_f16(decode_e4m3(static_cast<std::uint8_t>(pair)));
}

struct Adder {
  InstructionTable& table;

  void add(const std::string& name, Handler handler) { table.add("cvt" + name, "d s", Class::conversion, handler); }

  template <typename To, typename From>
  void between_integers(const std::string& to, const std::string& from) {
    add("." + to + "." + from, convert<resize<To, From>>);
    add(".sat." + to + "." + from, convert<clamp<To, From>>);
  }
  template <typename To>
  void integer(const std::string& to) {
    between_integers<To, std::uint8_t>(to, "u8");
    between_integers<To, std::int8_t>(to, "s8");
    between_integers<To, std::uint16_t>(to, "u16");
    between_integers<To, std::int16_t>(to, "s16");
    between_integers<To, std::uint32_t>(to, "u32");
    between_integers<To, std::int32_t>(to, "s32");
    between_integers<To, std::uint64_t>(to, "u64");
    between_integers<To, std::int64_t>(to, "s64");
    from_float<To, F16>(to, "f16");
    from_float<To, Bf16>(to, "bf16");
    from_float<To, float>(to, "f32");
    from_flushed_float<To>(to);
    from_float<To, double>(to, "f64");
    float_from<To>(to);
  }
  template <typename To, typename From>
  void from_float(const std::string& to, const std::string& from) {
    const std::string types = "[.sat]." + to + "." + from;
    add(".rni" + types, convert<to_integer<To, From, Rounding::nearest>>);
    add(".rzi" + types, convert<to_integer<To, From, Rounding::zero>>);
    add(".rmi" + types, convert<to_integer<To, From, Rounding::down>>);
    add(".rpi" + types, convert<to_integer<To, From, Rounding::up>>);
  }
  template <typename To>
  void from_flushed_float(const std::string& to) {
    const std::string types = ".ftz[.sat]." + to + ".f32";
    add(".rni" + types, convert<to_integer_ftz<To, Rounding::nearest>>);
    add(".rzi" + types, convert<to_integer_ftz<To, Rounding::zero>>);
    add(".rmi" + types, convert<to_integer_ftz<To, Rounding::down>>);
    add(".rpi" + types, convert<to_integer_ftz<To, Rounding::up>>);
  }
  template <typename From>
  void float_from(const std::string& from) {
    add(".rn.f16." + from, convert<to_float<F16, From, Rounding::nearest>>);
    add(".rn.bf16." + from, convert<to_float<Bf16, From, Rounding::nearest>>);
    add(".rn.f64." + from, convert<to_float<double, From, Rounding::nearest>>);
    float32_from<From>(from);
  }
  template <typename From>
  void float32_from(const std::string& from) {
    add(".rn.f32." + from, convert<to_float<float, From, Rounding::nearest>>);
    add(".rz.f32." + from, convert<to_float<float, From, Rounding::zero>>);
    add(".rm.f32." + from, convert<to_float<float, From, Rounding::down>>);
    add(".rp.f32." + from, convert<to_float<float, From, Rounding::up>>);
  }
};

}  // namespace

void add_conversion_rows(InstructionTable& table) {
  Adder to{table};
  to.integer<std::uint8_t>("u8");
  to.integer<std::int8_t>("s8");
  to.integer<std::uint16_t>("u16");
  to.integer<std::int16_t>("s16");
  to.integer<std::uint32_t>("u32");
  to.integer<std::int32_t>("s32");
  to.integer<std::uint64_t>("u64");
  to.integer<std::int64_t>("s64");
  to.add(".f32.f16", convert<to_float<float, F16, Rounding::nearest>>);
  to.add(".f32.bf16", convert<to_float<float, Bf16, Rounding::nearest>>);
  to.add(".f64.f16", convert<to_float<double, F16, Rounding::nearest>>);
  to.add(".f64.f32", convert<to_float<double, float, Rounding::nearest>>);
  to.add(".ftz.f64.f32", convert<widen_ftz>);
  to.add(".rn.f16.f32", convert<to_float<F16, float, Rounding::nearest>>);
  to.add(".rn.bf16.f32", convert<to_float<Bf16, float, Rounding::nearest>>);
  to.add(".rn.f16.f64", convert<to_float<F16, double, Rounding::nearest>>);
  to.add(".rn.bf16.f16", convert<to_float<Bf16, F16, Rounding::nearest>>);
  to.float32_from<double>("f64");
  to.add(".rni.f32.f32", convert<whole32<Rounding::nearest>>);
  to.add(".rzi.f32.f32", convert<whole32<Rounding::zero>>);
  to.add(".rmi.f32.f32", convert<whole32<Rounding::down>>);
  to.add(".rpi.f32.f32", convert<whole32<Rounding::up>>);
  to.add(".sat.f32.f32", convert<saturated>);
  to.add(".ftz.f32.f32", convert<flushed>);
  table.add("cvt.rn.f16x2.f32", "d s s", Class::conversion, lanewise<pack_16<encode_f16>>);
  table.add("cvt.rn.bf16x2.f32", "d s s", Class::conversion, lanewise<pack_16<encode_bf16>>);
  table.add("cvt.rn.relu.f16x2.f32", "d s s", Class::conversion, lanewise<pack_16_relu<encode_f16>>);
  table.add("cvt.rn.relu.bf16x2.f32", "d s s", Class::conversion, lanewise<pack_16_relu<encode_bf16>>);
  table.add("cvt.rn.satfinite.e4m3x2.f32", "d s s", Class::conversion, lanewise<e4m3x2>);
  table.add("cvt.rn.satfinite.e4m3x2.f16x2", "d s", Class::conversion, lanewise<e4m3x2_of_f16x2>);
  table.add("cvt.rn.f16x2.e4m3x2", "d s", Class::conversion, lanewise<f16x2_of_e4m3x2>);
}

}  // namespace moesaic::emulator
