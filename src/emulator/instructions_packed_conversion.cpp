#include <algorithm>
#include <cmath>

#include "emulator/directed_rounding.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Data Movement and Conversion Instructions": cvt to and from packed types, to tf32, and cvt.pack. Of two
/// sources the first goes to the upper half.
namespace moesaic::emulator {
namespace {

/// The modifiers, a bit each.
constexpr unsigned kRelu = 1;
constexpr unsigned kSatfinite = 2;

template <unsigned kMods>
float rectified(float value) {
  return (kMods & kRelu) != 0 && value <= 0 ? 0.0F : value;
}

template <Rounding kRounding, unsigned kMods>
std::uint16_t to_f16(float value) {
  const std::uint16_t code =
      encode_half<kRounding, encode_f16, decode_f16>(static_cast<double>(rectified<kMods>(value)));
  return (kMods & kSatfinite) != 0 ? finite_half(code, kInfinityF16) : code;
}
template <Rounding kRounding, unsigned kMods>
std::uint16_t to_bf16(float value) {
  const std::uint16_t code =
      encode_half<kRounding, encode_bf16, decode_bf16>(static_cast<double>(rectified<kMods>(value)));
  return (kMods & kSatfinite) != 0 ? finite_half(code, kInfinityBf16) : code;
}
template <std::uint16_t (*kEncode)(float)>
std::uint32_t two_halves(float high, float low) {
  return std::uint32_t{kEncode(high)} << 16 | kEncode(low);
}

// The FP6 formats have neither infinities nor NaN: what is too large, and NaN, becomes the largest number.
constexpr moesaic::detail::Layout kE2m3{2, 3, 1};
constexpr moesaic::detail::Layout kE3m2{3, 2, 3};

template <moesaic::detail::Layout kLayout>
std::uint8_t encode_fp6(float value) {
  if (moesaic::detail::is_nan(value)) return 0x1f;
  return static_cast<std::uint8_t>(moesaic::detail::sign_of(value) << 5 |
                                   moesaic::detail::saturated(value, kLayout, 0x1f));
}
template <moesaic::detail::Layout kLayout>
float decode_fp6(std::uint8_t code) {
  const auto size = static_cast<float>(moesaic::detail::magnitude(code & 0x1fU, kLayout));
  return (code & 0x20U) != 0 ? -size : size;
}

/// Two codes of kBits each in 2 * kBits bits, or a byte each when they have more than 4.
template <std::uint8_t (*kEncode)(float), int kBits, unsigned kMods>
std::uint16_t two_codes(float high, float low) {
  constexpr int kPlace = kBits == 4 ? 4 : 8;
  return static_cast<std::uint16_t>(kEncode(rectified<kMods>(high)) << kPlace | kEncode(rectified<kMods>(low)));
}
template <std::uint8_t (*kEncode)(float), int kBits, unsigned kMods>
std::uint16_t two_codes_of_halves(std::uint32_t pair) {
  return two_codes<kEncode, kBits, kMods>(decode_f16(static_cast<std::uint16_t>(pair >> 16)),
                                          decode_f16(static_cast<std::uint16_t>(pair)));
}
template <std::uint8_t (*kEncode)(float)>
std::uint16_t two_scales_of_halves(std::uint32_t pair) {
  return two_codes<kEncode, 8, 0>(decode_bf16(static_cast<std::uint16_t>(pair >> 16)),
                                  decode_bf16(static_cast<std::uint16_t>(pair)));
}
template <float (*kDecode)(std::uint8_t), int kBits, unsigned kMods>
std::uint32_t halves_of_codes(std::uint16_t pair) {
  constexpr int kPlace = kBits == 4 ? 4 : 8;
  const auto half = [](unsigned code) {
    return to_f16<Rounding::nearest, kMods>(kDecode(static_cast<std::uint8_t>(code & ((1U << kPlace) - 1))));
  };
  return std::uint32_t{half(pair >> kPlace)} << 16 | half(pair);
}
std::uint32_t bf16x2_of_scales(std::uint16_t pair) {
  return two_halves<encode_bf16>(decode_ue8m0(static_cast<std::uint8_t>(pair >> 8)),
                                 decode_ue8m0(static_cast<std::uint8_t>(pair)));
}

/// ue8m0 without .satfinite: what no code can hold becomes NaN.
template <bool kUp>
std::uint8_t encode_scale(float value) {
  if (std::isinf(value) || (kUp && std::fabs(value) > 0x1p127F)) return 0xff;
  return kUp ? encode_ue8m0_up(value) : encode_ue8m0_toward_zero(value);
}

enum class ToTf32 : std::uint8_t { nearest_even, nearest_away, zero };

/// f32 with 10 bits of fraction; the 13 below them are zeros.
template <ToTf32 kRounding, unsigned kMods>
std::uint32_t to_tf32(float value) {
  value = rectified<kMods>(value);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  // .rna takes NaN and infinity for numbers, and .satfinite takes a step back from what is not finite.
  if (kRounding == ToTf32::nearest_away) {
    const std::uint32_t rounded = (bits + 0x1000U) & ~0x1fffU;
    const bool overflow = (rounded & 0x7fffffffU) >= 0x7f800000U;
    return (kMods & kSatfinite) != 0 && overflow ? rounded - 0x2000U : rounded;
  }
  if (std::isnan(value)) return kNan32 & ~0x1fffU;
  const std::uint32_t up = kRounding == ToTf32::nearest_even ? 0xfffU + ((bits >> 13) & 1U) : 0U;
  const std::uint32_t rounded = std::isinf(value) ? bits : (bits + up) & ~0x1fffU;
  const bool overflow = (rounded & 0x7fffffffU) >= 0x7f800000U;
  return (kMods & kSatfinite) != 0 && overflow ? (bits & 0x80000000U) | 0x7f7fe000U : rounded;
}

/// cvt.pack: `a` and `b` clamped to kBits each, `a` above `b`; above both the low bits of `c`.
template <int kBits, bool kSigned>
std::uint32_t pack(std::int32_t a, std::int32_t b) {
  constexpr std::int32_t kLow = kSigned ? -(1 << (kBits - 1)) : 0;
  constexpr std::int32_t kHigh = kSigned ? (1 << (kBits - 1)) - 1 : (1 << kBits) - 1;
  const auto field = [&](std::int32_t value) {
    return static_cast<std::uint32_t>(std::min(std::max(value, kLow), kHigh)) & ((1U << kBits) - 1);
  };
  return field(a) << kBits | field(b);
}
template <int kBits, bool kSigned>
std::uint32_t pack_onto(std::int32_t a, std::int32_t b, std::uint32_t c) {
  return c << (2 * kBits) | pack<kBits, kSigned>(a, b);
}

struct Adder {
  InstructionTable& table;

  void add(const std::string& name, const char* operands, Handler handler) const {
    table.add("cvt" + name, operands, Class::conversion, handler);
  }

  template <Rounding kRounding, unsigned kMods>
  void halves(const std::string& mods) const {
    add(mods + ".f16x2.f32", "d s s", lanewise<two_halves<to_f16<kRounding, kMods>>>);
    add(mods + ".bf16x2.f32", "d s s", lanewise<two_halves<to_bf16<kRounding, kMods>>>);
  }
  template <Rounding kRounding>
  void halves_rounded(const std::string& rounding) const {
    halves<kRounding, 0>(rounding);
    halves<kRounding, kRelu>(rounding + ".relu");
    halves<kRounding, kSatfinite>(rounding + ".satfinite");
    halves<kRounding, kRelu | kSatfinite>(rounding + ".satfinite.relu");
  }

  template <std::uint8_t (*kEncode)(float), float (*kDecode)(std::uint8_t), int kBits>
  void small(const std::string& type, bool from_halves) const {
    add(".rn.satfinite" + type + ".f32", "d s s", lanewise<two_codes<kEncode, kBits, 0>>);
    add(".rn.satfinite.relu" + type + ".f32", "d s s", lanewise<two_codes<kEncode, kBits, kRelu>>);
    if (from_halves) {
      add(".rn.satfinite" + type + ".f16x2", "d s", lanewise<two_codes_of_halves<kEncode, kBits, 0>>);
      add(".rn.satfinite.relu" + type + ".f16x2", "d s", lanewise<two_codes_of_halves<kEncode, kBits, kRelu>>);
    }
    add(".rn.f16x2" + type, "d s", lanewise<halves_of_codes<kDecode, kBits, 0>>);
    add(".rn.relu.f16x2" + type, "d s", lanewise<halves_of_codes<kDecode, kBits, kRelu>>);
  }

  template <std::uint8_t (*kEncode)(float)>
  void scales(const std::string& mods) const {
    add(mods + ".ue8m0x2.f32", "d s s", lanewise<two_codes<kEncode, 8, 0>>);
    add(mods + ".ue8m0x2.bf16x2", "d s", lanewise<two_scales_of_halves<kEncode>>);
  }

  void tf32() const {
    add(".rn.tf32.f32", "d s", lanewise<to_tf32<ToTf32::nearest_even, 0>>);
    add(".rz.tf32.f32", "d s", lanewise<to_tf32<ToTf32::zero, 0>>);
    add(".rna.tf32.f32", "d s", lanewise<to_tf32<ToTf32::nearest_away, 0>>);
    add(".rna.satfinite.tf32.f32", "d s", lanewise<to_tf32<ToTf32::nearest_away, kSatfinite>>);
    add(".rn.relu.tf32.f32", "d s", lanewise<to_tf32<ToTf32::nearest_even, kRelu>>);
    add(".rz.relu.tf32.f32", "d s", lanewise<to_tf32<ToTf32::zero, kRelu>>);
    const InstructionTable::Section blackwell(table, Target::sm_100, Proof::independent);
    add(".rn.satfinite.tf32.f32", "d s", lanewise<to_tf32<ToTf32::nearest_even, kSatfinite>>);
    add(".rz.satfinite.tf32.f32", "d s", lanewise<to_tf32<ToTf32::zero, kSatfinite>>);
    add(".rn.satfinite.relu.tf32.f32", "d s", lanewise<to_tf32<ToTf32::nearest_even, kRelu | kSatfinite>>);
    add(".rz.satfinite.relu.tf32.f32", "d s", lanewise<to_tf32<ToTf32::zero, kRelu | kSatfinite>>);
  }

  template <int kBits>
  void packs(const std::string& bits) const {
    add(".pack.sat.u" + bits + ".s32.b32", "d s s s", lanewise<pack_onto<kBits, false>>);
    add(".pack.sat.s" + bits + ".s32.b32", "d s s s", lanewise<pack_onto<kBits, true>>);
  }
};

}  // namespace

void add_packed_conversion_rows(InstructionTable& table) {
  const Adder to{table};
  to.halves_rounded<Rounding::nearest>(".rn");
  to.halves_rounded<Rounding::zero>(".rz");
  to.tf32();
  to.add(".pack.sat.u16.s32", "d s s", lanewise<pack<16, false>>);
  to.add(".pack.sat.s16.s32", "d s s", lanewise<pack<16, true>>);
  to.packs<8>("8");
  to.packs<4>("4");
  to.packs<2>("2");
  to.small<encode_e4m3, decode_e4m3, 8>(".e4m3x2", true);
  to.small<encode_e5m2, decode_e5m2, 8>(".e5m2x2", true);
  const InstructionTable::Section twelve(table, Target::sm_120f, Proof::independent);
  to.small<encode_e2m1, decode_e2m1, 4>(".e2m1x2", true);
  to.small<encode_fp6<kE2m3>, decode_fp6<kE2m3>, 6>(".e2m3x2", false);
  to.small<encode_fp6<kE3m2>, decode_fp6<kE3m2>, 6>(".e3m2x2", false);
  to.scales<encode_scale<false>>(".rz");
  to.scales<encode_ue8m0_toward_zero>(".rz.satfinite");
  to.scales<encode_scale<true>>(".rp");
  to.scales<encode_ue8m0_up>(".rp.satfinite");
  to.add(".rn.bf16x2.ue8m0x2", "d s", lanewise<bf16x2_of_scales>);
}

}  // namespace moesaic::emulator
