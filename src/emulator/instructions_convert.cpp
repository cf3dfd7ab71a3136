#include <cmath>
#include <limits>

#include "emulator/directed_rounding.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Data Movement and Conversion Instructions: cvt" between the scalar types.
namespace moesaic::emulator {
namespace {

/// A 16-bit float as it travels through registers, by format.
struct F16 {
  std::uint16_t code;
};
struct Bf16 {
  std::uint16_t code;
};

template <typename T>
concept Small = std::same_as<T, F16> || std::same_as<T, Bf16>;

/// The modifiers, a bit each.
constexpr unsigned kFtz = 1;
constexpr unsigned kSat = 2;
constexpr unsigned kRelu = 4;
constexpr unsigned kSatfinite = 8;

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

/// A 64-bit integer in a double, so that rounding once more to a shorter format is as good as rounding once.
template <typename T>
double odd_double(T value) {
  const auto near = static_cast<double>(value);
  __extension__ using Whole = __int128;
  const auto rest = static_cast<Whole>(value) - static_cast<Whole>(near);
  return to_odd(near, static_cast<double>(rest));
}
template <Rounding kRounding, typename T>
double double_of_integer(T value) {
  const auto near = static_cast<double>(value);
  __extension__ using Whole = __int128;
  const auto rest = static_cast<Whole>(value) - static_cast<Whole>(near);
  return directed<kRounding>(near, static_cast<int>(rest > 0) - static_cast<int>(rest < 0));
}

template <typename To, Rounding kRounding>
To encode(double value) {
  if constexpr (std::same_as<To, F16>) return F16{encode_half<kRounding, encode_f16, decode_f16>(value)};
  if constexpr (std::same_as<To, Bf16>) return Bf16{encode_half<kRounding, encode_bf16, decode_bf16>(value)};
  if constexpr (std::same_as<To, float>) return canonical(narrow<kRounding>(value));
  if constexpr (std::same_as<To, double>) return value;
}

/// .satfinite: infinity and what lies beyond the largest number become that.
template <typename To>
To finite(To value) {
  if constexpr (std::same_as<To, F16>) return F16{finite_half(value.code, kInfinityF16)};
  if constexpr (std::same_as<To, Bf16>) return Bf16{finite_half(value.code, kInfinityBf16)};
  return value;
}

/// The NaN of a conversion from f64: sign and upper bits of the fraction are kept.
template <typename To>
To narrow_nan(double value) {
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(quiet(value));
  const auto sign = static_cast<std::uint32_t>(bits >> 63);
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << 52) - 1);
  if constexpr (std::same_as<To, F16>) return F16{static_cast<std::uint16_t>(sign << 15 | 0x7c00U | fraction >> 42)};
  if constexpr (std::same_as<To, Bf16>) return Bf16{static_cast<std::uint16_t>(sign << 15 | 0x7f80U | fraction >> 45)};
  if constexpr (std::same_as<To, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(sign << 31 | 0x7f800000U | fraction >> 29));
  }
  if constexpr (std::same_as<To, double>) return quiet(value);
}

/// Any conversion to a floating-point type.
template <typename To, typename From, Rounding kRounding, unsigned kMods>
To to_float(From from) {
  if constexpr (std::same_as<To, double> && std::integral<From>) {
    const double value = double_of_integer<kRounding>(from);
    return (kMods & kSat) != 0 ? saturated(value) : value;
  } else {
    double value = 0;
    if constexpr (std::integral<From>) {
      value = odd_double(from);
    } else {
      value = value_of(from);
      // f16 keeps no subnormal f32 but as a direction: it is not flushed.
      const bool flushes = (kMods & kFtz) != 0 && std::same_as<From, float> && !std::same_as<To, F16>;
      if (flushes) value = static_cast<double>(flush(static_cast<float>(value)));
      if constexpr (std::same_as<From, double> && (kMods & kSat) == 0) {
        if (std::isnan(from)) return narrow_nan<To>(from);
      }
    }
    if constexpr ((kMods & kSat) != 0) value = saturated(value);
    if constexpr ((kMods & kRelu) != 0) value = value > 0 || std::isnan(value) ? value : 0;
    To result = encode<To, kRounding>(value);
    if constexpr ((kMods & kFtz) != 0 && std::same_as<To, float>) result = flush(result);
    if constexpr ((kMods & kSatfinite) != 0) result = finite(result);
    return result;
  }
}

/// f32 of bf16 is a shift: a NaN keeps its bits.
template <bool kFtz>
float widen_bf16(Bf16 from) {
  const float value = decode_bf16(from.code);
  return kFtz ? canonical(flush(value)) : value;
}
/// f64 of f32 and f16: a NaN keeps the bits of its fraction and becomes quiet.
template <unsigned kMods>
double widen(float from) {
  if constexpr ((kMods & kFtz) != 0) from = canonical(flush(from));
  const auto value = quiet(static_cast<double>(from));
  return (kMods & kSat) != 0 ? saturated(value) : value;
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

/// A whole number of the same type.
template <typename T, Rounding kRounding, unsigned kMods>
T to_whole(T from) {
  double value = value_of(from);
  if constexpr ((kMods & kFtz) != 0) value = static_cast<double>(flush(static_cast<float>(value)));
  value = quiet(whole<kRounding>(value));
  if constexpr ((kMods & kSat) != 0) value = saturated(value);
  return encode<T, Rounding::nearest>(value);
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
template <typename T, unsigned kMods>
T same(T from) {
  if constexpr (kMods == 0 && !Small<T>) {
    return from;
  } else {
    return to_float<T, T, Rounding::nearest, kMods>(from);
  }
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

struct Adder {
  InstructionTable& table;

  void add(const std::string& name, Handler handler) const {
    table.add("cvt" + name, "d s", Class::conversion, handler);
  }

  // Between integers; .sat is only legal where something can be out of range.
  template <typename To, typename From>
  void between_integers(const std::string& to, const std::string& from) const {
    add("." + to + "." + from, convert<resize<To, From>>);
    constexpr bool kHolds = std::cmp_less_equal(std::numeric_limits<To>::min(), std::numeric_limits<From>::min()) &&
                            std::cmp_greater_equal(std::numeric_limits<To>::max(), std::numeric_limits<From>::max());
    if constexpr (!kHolds) add(".sat." + to + "." + from, convert<clamp<To, From>>);
  }

  // From a floating-point type to an integer; .sat changes nothing.
  template <typename To, typename From>
  void whole_of(const std::string& to, const std::string& from) const {
    const std::string types = (std::same_as<From, Bf16> ? "." : "[.sat].") + to + "." + from;
    add(".rni" + types, convert<to_integer<To, From, Rounding::nearest>>);
    add(".rzi" + types, convert<to_integer<To, From, Rounding::zero>>);
    add(".rmi" + types, convert<to_integer<To, From, Rounding::down>>);
    add(".rpi" + types, convert<to_integer<To, From, Rounding::up>>);
  }
  template <typename To>
  void whole_of_flushed(const std::string& to) const {
    const std::string types = ".ftz[.sat]." + to + ".f32";
    add(".rni" + types, convert<to_integer_ftz<To, Rounding::nearest>>);
    add(".rzi" + types, convert<to_integer_ftz<To, Rounding::zero>>);
    add(".rmi" + types, convert<to_integer_ftz<To, Rounding::down>>);
    add(".rpi" + types, convert<to_integer_ftz<To, Rounding::up>>);
  }

  // To a floating-point type in four directions.
  template <typename To, typename From, unsigned kMods>
  void rounded(const std::string& mods, const std::string& types) const {
    add(".rn" + mods + types, convert<to_float<To, From, Rounding::nearest, kMods>>);
    add(".rz" + mods + types, convert<to_float<To, From, Rounding::zero, kMods>>);
    add(".rm" + mods + types, convert<to_float<To, From, Rounding::down, kMods>>);
    add(".rp" + mods + types, convert<to_float<To, From, Rounding::up, kMods>>);
  }
  template <typename To, typename From>
  void rounded_with_sat(const std::string& types) const {
    rounded<To, From, 0>("", types);
    rounded<To, From, kSat>(".sat", types);
  }
  template <typename To, typename From>
  void rounded_with_ftz(const std::string& types) const {
    rounded_with_sat<To, From>(types);
    rounded<To, From, kFtz>(".ftz", types);
    rounded<To, From, kFtz | kSat>(".ftz.sat", types);
  }

  template <typename T, unsigned kMods>
  void whole_same(const std::string& mods, const std::string& types) const {
    add(".rni" + mods + types, convert<to_whole<T, Rounding::nearest, kMods>>);
    add(".rzi" + mods + types, convert<to_whole<T, Rounding::zero, kMods>>);
    add(".rmi" + mods + types, convert<to_whole<T, Rounding::down, kMods>>);
    add(".rpi" + mods + types, convert<to_whole<T, Rounding::up, kMods>>);
  }

  template <typename T>
  void integer(const std::string& type) const {
    between_integers<T, std::uint8_t>(type, "u8");
    between_integers<T, std::int8_t>(type, "s8");
    between_integers<T, std::uint16_t>(type, "u16");
    between_integers<T, std::int16_t>(type, "s16");
    between_integers<T, std::uint32_t>(type, "u32");
    between_integers<T, std::int32_t>(type, "s32");
    between_integers<T, std::uint64_t>(type, "u64");
    between_integers<T, std::int64_t>(type, "s64");
    whole_of<T, F16>(type, "f16");
    whole_of<T, float>(type, "f32");
    whole_of_flushed<T>(type);
    whole_of<T, double>(type, "f64");
    rounded_with_sat<F16, T>(".f16." + type);
    rounded_with_sat<double, T>(".f64." + type);
    rounded_with_ftz<float, T>(".f32." + type);
    if constexpr (sizeof(T) > 1) {
      whole_of<T, Bf16>(type, "bf16");
      rounded<Bf16, T, 0>("", ".bf16." + type);
    }
  }

  /// f32 to f16 and bf16: only .rn and .rz have .relu and .satfinite.
  template <typename To>
  void half_of_float(const std::string& types) const {
    rounded<To, float, 0>("", types);
    rounded<To, float, kFtz>(".ftz", types);
    add(".rn.relu" + types, convert<to_float<To, float, Rounding::nearest, kRelu>>);
    add(".rz.relu" + types, convert<to_float<To, float, Rounding::zero, kRelu>>);
    add(".rn.satfinite" + types, convert<to_float<To, float, Rounding::nearest, kSatfinite>>);
    add(".rz.satfinite" + types, convert<to_float<To, float, Rounding::zero, kSatfinite>>);
    add(".rn.satfinite.relu" + types, convert<to_float<To, float, Rounding::nearest, kRelu | kSatfinite>>);
    add(".rz.satfinite.relu" + types, convert<to_float<To, float, Rounding::zero, kRelu | kSatfinite>>);
  }

  void between_floats() const {
    half_of_float<F16>(".f16.f32");
    rounded<F16, float, kSat>(".sat", ".f16.f32");
    rounded<F16, float, kFtz | kSat>(".ftz.sat", ".f16.f32");
    half_of_float<Bf16>(".bf16.f32");
    rounded_with_sat<F16, double>(".f16.f64");
    rounded<Bf16, double, 0>("", ".bf16.f64");
    rounded_with_ftz<float, double>(".f32.f64");
    rounded<F16, Bf16, 0>("", ".f16.bf16");
    rounded<Bf16, F16, 0>("", ".bf16.f16");
    add(".f16.bf16", convert<to_float<F16, Bf16, Rounding::nearest, 0>>);
    add(".bf16.f16", convert<to_float<Bf16, F16, Rounding::nearest, 0>>);
    add(".f32.f16", convert<to_float<float, F16, Rounding::nearest, 0>>);
    add(".ftz.f32.f16", convert<to_float<float, F16, Rounding::nearest, 0>>);
    add("[.ftz].sat.f32.f16", convert<to_float<float, F16, Rounding::nearest, kSat>>);
    add(".f32.bf16", convert<widen_bf16<false>>);
    add("(.rn|.rz|.rm|.rp).f32.bf16", convert<widen_bf16<false>>);
    add(".ftz.f32.bf16", convert<widen_bf16<true>>);
    add("(.rn|.rz|.rm|.rp).ftz.f32.bf16", convert<widen_bf16<true>>);
    add(".f64.f16", convert<to_float<double, F16, Rounding::nearest, 0>>);
    add(".sat.f64.f16", convert<to_float<double, F16, Rounding::nearest, kSat>>);
    add(".f64.bf16", convert<to_float<double, Bf16, Rounding::nearest, 0>>);
    add("(.rn|.rz|.rm|.rp).f64.bf16", convert<to_float<double, Bf16, Rounding::nearest, 0>>);
    add(".f64.f32", convert<widen<0>>);
    add(".sat.f64.f32", convert<widen<kSat>>);
    add(".ftz.f64.f32", convert<widen<kFtz>>);
    add(".ftz.sat.f64.f32", convert<widen<kFtz | kSat>>);
  }

  void to_the_same_type() const {
    add(".f16.f16", convert<same<F16, 0>>);
    add(".sat.f16.f16", convert<same<F16, kSat>>);
    add(".bf16.bf16", convert<same<Bf16, 0>>);
    add(".f32.f32", convert<same<float, 0>>);
    add(".sat.f32.f32", convert<same<float, kSat>>);
    add(".ftz.f32.f32", convert<same<float, kFtz>>);
    add(".ftz.sat.f32.f32", convert<same<float, kFtz | kSat>>);
    add(".f64.f64", convert<same<double, 0>>);
    add(".sat.f64.f64", convert<same<double, kSat>>);
    whole_same<F16, 0>("", ".f16.f16");
    whole_same<F16, kSat>(".sat", ".f16.f16");
    whole_same<Bf16, 0>("", ".bf16.bf16");
    whole_same<float, 0>("", ".f32.f32");
    whole_same<float, kSat>(".sat", ".f32.f32");
    whole_same<float, kFtz>(".ftz", ".f32.f32");
    whole_same<float, kFtz | kSat>(".ftz.sat", ".f32.f32");
    whole_same<double, 0>("", ".f64.f64");
    whole_same<double, kSat>(".sat", ".f64.f64");
  }
};

}  // namespace

void add_conversion_rows(InstructionTable& table) {
  const Adder to{table};
  to.integer<std::uint8_t>("u8");
  to.integer<std::int8_t>("s8");
  to.integer<std::uint16_t>("u16");
  to.integer<std::int16_t>("s16");
  to.integer<std::uint32_t>("u32");
  to.integer<std::int32_t>("s32");
  to.integer<std::uint64_t>("u64");
  to.integer<std::int64_t>("s64");
  to.between_floats();
  to.to_the_same_type();
}

}  // namespace moesaic::emulator
