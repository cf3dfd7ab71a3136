#include <cmath>

#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Floating-Point Instructions: min, max" and "Half Precision Floating-Point Instructions: min, max".
namespace moesaic::emulator {
namespace {

/// The modifiers, a bit each.
constexpr unsigned kFtz = 1;
constexpr unsigned kNan = 2;         ///< .NaN: the result is NaN when an operand is
constexpr unsigned kXorsignAbs = 4;  ///< .xorsign.abs: of the magnitudes, with the product's sign
constexpr unsigned kAbs = 8;         ///< .abs, of three operands: of the magnitudes

/// The lesser or greater of two, -0 below +0; of a number and NaN the number, unless .NaN says otherwise.
template <bool kGreater, bool kWithNan, typename T>
T extreme(T a, T b) {
  if (std::isnan(a) || std::isnan(b)) {
    const bool none = std::isnan(a) && std::isnan(b);
    if (kWithNan || none) return std::numeric_limits<T>::quiet_NaN();
    return std::isnan(a) ? b : a;
  }
  if (a == b) return std::signbit(a) != kGreater ? a : b;
  return (a > b) == kGreater ? a : b;
}

/// A format of 16 bits, as a float and back; both ways are exact here.
struct F16 {
  using Code = std::uint16_t;
  static float decode(Code code) { return decode_f16(code); }
  static Code encode(float value) { return encode_f16(value); }
  static float flush(float value) { return std::fabs(value) < 0x1p-14F ? std::copysign(0.0F, value) : value; }
};
struct Bf16 {
  using Code = std::uint16_t;
  static float decode(Code code) { return decode_bf16(code); }
  static Code encode(float value) { return encode_bf16(value); }
  static float flush(float value) { return value; }
};
struct F32 {
  using Code = float;
  static float decode(Code value) { return value; }
  static Code encode(float value) { return canonical(value); }
  static float flush(float value) { return emulator::flush(value); }
};

template <typename Format, bool kGreater, unsigned kMods>
typename Format::Code of_two(typename Format::Code a_code, typename Format::Code b_code) {
  const auto read = [](typename Format::Code code) {
    const float value = Format::decode(code);
    return (kMods & kFtz) != 0 ? Format::flush(value) : value;
  };
  const float a = read(a_code);
  const float b = read(b_code);
  if constexpr ((kMods & kXorsignAbs) != 0) {
    const float size = extreme<kGreater, (kMods & kNan) != 0>(std::fabs(a), std::fabs(b));
    return Format::encode(std::signbit(a) != std::signbit(b) ? -size : size);
  }
  return Format::encode(extreme<kGreater, (kMods & kNan) != 0>(a, b));
}

template <typename Format, bool kGreater, unsigned kMods>
std::uint32_t of_two_pairs(std::uint32_t a, std::uint32_t b) {
  const auto at = [&](int shift) {
    return std::uint32_t{of_two<Format, kGreater, kMods>(static_cast<std::uint16_t>(a >> shift),
                                                         static_cast<std::uint16_t>(b >> shift))}
           << shift;
  };
  return at(16) | at(0);
}

template <bool kGreater, unsigned kMods>
float of_three(float a, float b, float c) {
  const auto read = [](float value) {
    if ((kMods & kFtz) != 0) value = flush(value);
    return (kMods & kAbs) != 0 ? std::fabs(value) : value;
  };
  constexpr bool kWithNan = (kMods & kNan) != 0;
  return canonical(extreme<kGreater, kWithNan>(extreme<kGreater, kWithNan>(read(a), read(b)), read(c)));
}

template <bool kGreater>
double of_doubles(double a, double b) {
  return canonical64(extreme<kGreater, false>(a, b), b, a);
}

struct Adder {
  InstructionTable& table;

  void add(const std::string& name, const char* operands, Handler handler) const {
    table.add(name, operands, Class::floating, handler);
  }

  template <bool kGreater, unsigned kMods>
  void floats(const std::string& name) const {
    if constexpr ((kMods & kAbs) == 0) add(name + ".f32", "d s s", lanewise<of_two<F32, kGreater, kMods>>);
    if constexpr ((kMods & kXorsignAbs) == 0) {
      const InstructionTable::Section blackwell(table, Target::sm_100, Proof::independent);
      add(name + ".f32", "d s s s", lanewise<of_three<kGreater, kMods>>);
    }
  }
  template <bool kGreater, unsigned kMods>
  void halves(const std::string& name) const {
    add(name + ".f16", "d s s", lanewise<of_two<F16, kGreater, kMods>>);
    add(name + ".f16x2", "d s s", lanewise<of_two_pairs<F16, kGreater, kMods>>);
    if constexpr ((kMods & kFtz) == 0) {
      add(name + ".bf16", "d s s", lanewise<of_two<Bf16, kGreater, kMods>>);
      add(name + ".bf16x2", "d s s", lanewise<of_two_pairs<Bf16, kGreater, kMods>>);
    }
  }
  template <bool kGreater, unsigned kMods>
  void mods(const std::string& name) const {
    floats<kGreater, kMods>(name);
    floats<kGreater, kMods | kXorsignAbs>(name + ".xorsign.abs");
    floats<kGreater, kMods | kAbs>(name + ".abs");
    halves<kGreater, kMods>(name);
    halves<kGreater, kMods | kXorsignAbs>(name + ".xorsign.abs");
  }
  template <bool kGreater>
  void all(const std::string& name) const {
    mods<kGreater, 0>(name);
    mods<kGreater, kFtz>(name + ".ftz");
    mods<kGreater, kNan>(name + ".NaN");
    mods<kGreater, kFtz | kNan>(name + ".ftz.NaN");
    add(name + ".f64", "d s s", lanewise<of_doubles<kGreater>>);
  }
};

}  // namespace

void add_min_max_rows(InstructionTable& table) {
  const Adder to{table};
  to.all<false>("min");
  to.all<true>("max");
}

}  // namespace moesaic::emulator
