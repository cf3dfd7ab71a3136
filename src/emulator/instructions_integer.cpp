#include <algorithm>
#include <limits>

#include "emulator/lanewise.hpp"

/// PTX ISA, "Integer Arithmetic Instructions".
namespace moesaic::emulator {
namespace {

template <typename T>
using Unsigned = std::make_unsigned_t<T>;

/// An integer of twice the width, to hold whole products.
template <typename T>
struct Wider;
template <>
struct Wider<std::int16_t> : std::type_identity<std::int32_t> {};
template <>
struct Wider<std::uint16_t> : std::type_identity<std::uint32_t> {};
template <>
struct Wider<std::int32_t> : std::type_identity<std::int64_t> {};
template <>
struct Wider<std::uint32_t> : std::type_identity<std::uint64_t> {};
__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 Uint128;
template <>
struct Wider<std::int64_t> : std::type_identity<Int128> {};
template <>
struct Wider<std::uint64_t> : std::type_identity<Uint128> {};

template <typename T>
constexpr int kBits = static_cast<int>(sizeof(T)) * 8;

template <typename T>
T add(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
}
template <typename T>
T sub(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
}
template <typename T>
typename Wider<T>::type wide(T a, T b) {
  using W = typename Wider<T>::type;
  return static_cast<W>(static_cast<W>(a) * static_cast<W>(b));
}
template <typename T>
T mul_lo(T a, T b) {
  return static_cast<T>(wide(a, b));
}
template <typename T>
T mul_hi(T a, T b) {
  return static_cast<T>(wide(a, b) >> kBits<T>);
}
template <typename T>
T mad_lo(T a, T b, T c) {
  return add(mul_lo(a, b), c);
}
template <typename T>
T mad_hi(T a, T b, T c) {
  return add(mul_hi(a, b), c);
}
template <typename T>
typename Wider<T>::type mad_wide(T a, T b, typename Wider<T>::type c) {
  return add(wide(a, b), c);
}
std::int32_t clamp_to_s32(std::int64_t value) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(value, std::numeric_limits<std::int32_t>::min(),
                                                            std::numeric_limits<std::int32_t>::max()));
}
std::int32_t add_sat(std::int32_t a, std::int32_t b) {
  return clamp_to_s32(std::int64_t{a} + b);
}
std::int32_t sub_sat(std::int32_t a, std::int32_t b) {
  return clamp_to_s32(std::int64_t{a} - b);
}

/// The product's upper half plus c, clamped.
std::int32_t mad_hi_sat(std::int32_t a, std::int32_t b, std::int32_t c) {
  return clamp_to_s32(std::int64_t{mul_hi(a, b)} + c);
}

/// The low 24 bits, as a number.
template <typename T>
T low_24(T a) {
  return static_cast<T>(static_cast<T>(static_cast<std::uint32_t>(a) << 8) >> 8);
}
/// Bits 0 to 31 of the product of two 24-bit numbers, or bits 16 to 47.
template <typename T, bool kHigh>
T mul_24(T a, T b) {
  const auto product = wide(low_24(a), low_24(b));
  return static_cast<T>(kHigh ? product >> 16 : product);
}
template <typename T, bool kHigh>
T mad_24(T a, T b, T c) {
  return add(mul_24<T, kHigh>(a, b), c);
}
std::int32_t mad_24_hi_sat(std::int32_t a, std::int32_t b, std::int32_t c) {
  return clamp_to_s32(std::int64_t{mul_24<std::int32_t, true>(a, b)} + c);
}

/// Division by zero gives "unspecified, machine-specific" values: all ones, the remainder too, as on an H200.
template <typename T>
T div(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return sub(T{0}, a);
  }
  return static_cast<T>(a / b);
}
template <typename T>
T rem(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}
template <typename T>
T neg(T a) {
  return sub(T{0}, a);
}
template <typename T>
T absolute(T a) {
  return a < 0 ? neg(a) : a;
}
template <typename T>
T minimum(T a, T b) {
  return std::min(a, b);
}
template <typename T>
T maximum(T a, T b) {
  return std::max(a, b);
}
template <typename T>
T sad(T a, T b, T c) {
  return add(c, a < b ? sub(b, a) : sub(a, b));
}

template <typename T>
std::uint32_t popc(T a) {
  return static_cast<std::uint32_t>(std::popcount(a));
}
template <typename T>
std::uint32_t clz(T a) {
  return static_cast<std::uint32_t>(std::countl_zero(a));
}
template <typename T>
T brev(T a) {
  T result = 0;
  for (int i = 0; i < kBits<T>; ++i) result = static_cast<T>(result << 1) | static_cast<T>((a >> i) & 1U);
  return result;
}
/// The position of the highest bit that differs from the sign; 0xffffffff when there is none.
template <typename T>
std::uint32_t bfind(T a) {
  const auto bits = static_cast<Unsigned<T>>(std::is_signed_v<T> && a < 0 ? ~a : a);
  return bits == 0 ? ~std::uint32_t{0} : static_cast<std::uint32_t>(kBits<T> - 1 - std::countl_zero(bits));
}
template <typename T>
std::uint32_t bfind_shift(T a) {
  const std::uint32_t position = bfind(a);
  return position == ~std::uint32_t{0} ? position : static_cast<std::uint32_t>(kBits<T> - 1) - position;
}
/// A position or a length, cut where nothing changes any more. The 32-bit forms look at 8 bits of it; PTX ISA restricts
/// it to those, and the 64-bit forms of an H200 look at all.
template <typename T>
int field_number(std::uint32_t value) {
  return static_cast<int>(sizeof(T) == 4 ? value & 0xffU : std::min(value, 0xffU));
}
/// bfe: the field of `length` bits from `position` on, extended by its sign or with zeros.
template <typename T>
T bfe(T a, std::uint32_t position, std::uint32_t length) {
  const int from = field_number<T>(position);
  const int wanted = field_number<T>(length);
  if (wanted == 0) return 0;
  const int last = std::min(from + wanted - 1, kBits<T> - 1);
  const bool sign = std::is_signed_v<T> && ((static_cast<Unsigned<T>>(a) >> last) & 1U) != 0;
  Unsigned<T> result = 0;
  for (int i = 0; i < kBits<T>; ++i) {
    const bool bit = i < wanted && from + i < kBits<T> ? ((static_cast<Unsigned<T>>(a) >> (from + i)) & 1U) != 0 : sign;
    result |= static_cast<Unsigned<T>>(Unsigned<T>{bit} << i);
  }
  return static_cast<T>(result);
}
/// bfi: the low `length` bits of `field` put into `into` from `position` on.
template <typename T>
T bfi(T field, T into, std::uint32_t position, std::uint32_t length) {
  const int from = field_number<T>(position);
  const int wanted = field_number<T>(length);
  for (int i = 0; i < wanted && from + i < kBits<T>; ++i) {
    const T bit = T{1} << (from + i);
    into = (into & ~bit) | (((field >> i) & 1U) != 0 ? bit : T{0});
  }
  return into;
}

/// `length` ones from bit `position` on; .wrap takes both modulo 32.
template <bool kClamp>
std::uint32_t bmsk(std::uint32_t position, std::uint32_t length) {
  if (kClamp && position >= 32) return 0;
  const std::uint32_t from = position & 31U;
  const std::uint32_t count = kClamp ? std::min(length, 32U) : length & 31U;
  return static_cast<std::uint32_t>(((std::uint64_t{1} << count) - 1) << from);
}
/// The low `width` bits, extended by their sign or with zeros.
template <typename T, bool kClamp>
T szext(T a, std::uint32_t width) {
  const std::uint32_t bits = kClamp ? std::min(width, 32U) : width & 31U;
  if (bits == 0) return 0;
  return static_cast<T>(static_cast<T>(static_cast<std::uint32_t>(a) << (32 - bits)) >> (32 - bits));
}

/// fns: the bit that is the |n|-th set one at or above `base` (n > 0), or at or below it (n < 0); for n = 0 `base` when
/// it is set. 0xffffffff when there is none; 0 for the least n, as on an H200.
std::uint32_t find_nth_set(std::uint32_t mask, std::uint32_t base, std::int32_t n) {
  if (n == std::numeric_limits<std::int32_t>::min()) return 0;
  if (base > 31) return ~std::uint32_t{0};
  const bool set = ((mask >> base) & 1U) != 0;
  if (n == 0) return set ? base : ~std::uint32_t{0};
  const int step = n > 0 ? 1 : -1;
  std::int64_t left = n > 0 ? n : -std::int64_t{n};
  for (int at = static_cast<int>(base); at >= 0 && at < 32; at += step) {
    if (((mask >> at) & 1U) != 0 && --left == 0) return static_cast<std::uint32_t>(at);
  }
  return ~std::uint32_t{0};
}

/// dp2a: the 16-bit halves of a times the two lower or upper bytes of b.
template <typename A, typename B, typename C, bool kHigh>
C dp2a(std::uint32_t a, std::uint32_t b, C c) {
  for (int i = 0; i < 2; ++i) {
    const auto byte = static_cast<B>(b >> (8 * i + (kHigh ? 16 : 0)));
    c = add(c, mul_lo(static_cast<C>(static_cast<A>(a >> (16 * i))), static_cast<C>(byte)));
  }
  return c;
}

/// A function of 16-bit values on both halves of 32-bit ones.
template <typename T, T (*kFunction)(T, T)>
std::uint32_t two(std::uint32_t a, std::uint32_t b) {
  const auto at = [&](int shift) {
    const T result = kFunction(static_cast<T>(a >> shift), static_cast<T>(b >> shift));
    return std::uint32_t{static_cast<std::uint16_t>(result)} << shift;
  };
  return at(16) | at(0);
}
template <typename T, T (*kFunction)(T, T)>
T relu(T a, T b) {
  return std::max(kFunction(a, b), T{0});
}

template <typename A, typename B, typename C>
C dp4a(std::uint32_t a, std::uint32_t b, C c) {
  for (int i = 0; i < 4; ++i) {
    const auto product = static_cast<C>(static_cast<A>(a >> (8 * i))) * static_cast<C>(static_cast<B>(b >> (8 * i)));
    c = add(c, static_cast<C>(product));
  }
  return c;
}

template <typename T>
void add_common(InstructionTable& table, const std::string& type) {
  const auto row = [&](const char* name, const char* operands, Handler handler) {
    table.add(name + type, operands, Class::integer, handler);
  };
  row("add.", "d s s", lanewise<add<T>>);
  row("sub.", "d s s", lanewise<sub<T>>);
  row("mul.lo.", "d s s", lanewise<mul_lo<T>>);
  row("mul.hi.", "d s s", lanewise<mul_hi<T>>);
  row("mad.lo.", "d s s s", lanewise<mad_lo<T>>);
  row("mad.hi.", "d s s s", lanewise<mad_hi<T>>);
  row("div.", "d s s", lanewise<div<T>>);
  row("rem.", "d s s", lanewise<rem<T>>);
  row("min.", "d s s", lanewise<minimum<T>>);
  row("max.", "d s s", lanewise<maximum<T>>);
  row("sad.", "d s s s", lanewise<sad<T>>);
  if constexpr (std::is_signed_v<T>) {
    row("neg.", "d s", lanewise<neg<T>>);
    row("abs.", "d s", lanewise<absolute<T>>);
  }
  if constexpr (sizeof(T) <= 4) {
    row("mul.wide.", "d s s", lanewise<wide<T>>);
    row("mad.wide.", "d s s s", lanewise<mad_wide<T>>);
  }
  if constexpr (sizeof(T) >= 4) {
    row("bfind.", "d s", lanewise<bfind<T>>);
    row("bfind.shiftamt.", "d s", lanewise<bfind_shift<T>>);
    row("bfe.", "d s s s", lanewise<bfe<T>>);
  }
}

template <typename T>
void add_32_bit(InstructionTable& table, const std::string& type) {
  const auto row = [&](const char* name, const char* operands, Handler handler) {
    table.add(name + type, operands, Class::integer, handler);
  };
  row("mul24.lo.", "d s s", lanewise<mul_24<T, false>>);
  row("mul24.hi.", "d s s", lanewise<mul_24<T, true>>);
  row("mad24.lo.", "d s s s", lanewise<mad_24<T, false>>);
  row("mad24.hi.", "d s s s", lanewise<mad_24<T, true>>);
  row("szext.clamp.", "d s s", lanewise<szext<T, true>>);
  row("szext.wrap.", "d s s", lanewise<szext<T, false>>);
}

template <typename T>
void add_pairs(InstructionTable& table, const std::string& type) {
  const auto row = [&](const char* name, Handler handler) { table.add(name + type, "d s s", Class::integer, handler); };
  row("add.", lanewise<two<T, add<T>>>);
  row("min.", lanewise<two<T, minimum<T>>>);
  row("max.", lanewise<two<T, maximum<T>>>);
  if constexpr (std::is_signed_v<T>) {
    row("min.relu.", lanewise<two<T, relu<T, minimum<T>>>>);
    row("max.relu.", lanewise<two<T, relu<T, maximum<T>>>>);
  }
}

template <typename A, typename B, typename C>
void add_dot_products(InstructionTable& table, const std::string& types) {
  using Half = std::conditional_t<std::is_signed_v<A>, std::int16_t, std::uint16_t>;
  table.add("dp4a" + types, "d s s s", Class::integer, lanewise<dp4a<A, B, C>>);
  table.add("dp2a.lo" + types, "d s s s", Class::integer, lanewise<dp2a<Half, B, C, false>>);
  table.add("dp2a.hi" + types, "d s s s", Class::integer, lanewise<dp2a<Half, B, C, true>>);
}

template <typename T>
void add_bitwise_counts(InstructionTable& table, const std::string& type) {
  table.add("popc." + type, "d s", Class::integer, lanewise<popc<T>>);
  table.add("clz." + type, "d s", Class::integer, lanewise<clz<T>>);
  table.add("brev." + type, "d s", Class::integer, lanewise<brev<T>>);
  table.add("bfi." + type, "d s s s s", Class::integer, lanewise<bfi<T>>);
}

/// PTX ISA, "Video Instructions": of four bytes the absolute differences; or their sum, added to c.
template <bool kSum>
std::uint32_t byte_differences(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint32_t result = kSum ? c : 0;
  for (unsigned at = 0; at < 32; at += 8) {
    const std::uint32_t x = a >> at & 0xffU;
    const std::uint32_t y = b >> at & 0xffU;
    result += (x > y ? x - y : y - x) << (kSum ? 0 : at);
  }
  return result;
}

}  // namespace

void add_integer_rows(InstructionTable& table) {
  add_common<std::uint16_t>(table, "u16");
  add_common<std::int16_t>(table, "s16");
  add_common<std::uint32_t>(table, "u32");
  add_common<std::int32_t>(table, "s32");
  add_common<std::uint64_t>(table, "u64");
  add_common<std::int64_t>(table, "s64");
  add_bitwise_counts<std::uint32_t>(table, "b32");
  add_bitwise_counts<std::uint64_t>(table, "b64");
  table.add("add.sat.s32", "d s s", Class::integer, lanewise<add_sat>);
  table.add("sub.sat.s32", "d s s", Class::integer, lanewise<sub_sat>);
  table.add("mad.hi.sat.s32", "d s s s", Class::integer, lanewise<mad_hi_sat>);
  table.add("mad24.hi.sat.s32", "d s s s", Class::integer, lanewise<mad_24_hi_sat>);
  add_32_bit<std::uint32_t>(table, "u32");
  add_32_bit<std::int32_t>(table, "s32");
  table.add("bmsk.clamp.b32", "d s s", Class::integer, lanewise<bmsk<true>>);
  table.add("bmsk.wrap.b32", "d s s", Class::integer, lanewise<bmsk<false>>);
  table.add("fns.b32", "d s s s", Class::integer, lanewise<find_nth_set>);
  table.add("min.relu.s32", "d s s", Class::integer, lanewise<relu<std::int32_t, minimum<std::int32_t>>>);
  table.add("max.relu.s32", "d s s", Class::integer, lanewise<relu<std::int32_t, maximum<std::int32_t>>>);
  table.add("vabsdiff4.u32.u32.u32", "d s s s", Class::integer, lanewise<byte_differences<false>>);
  table.add("vabsdiff4.u32.u32.u32.add", "d s s s", Class::integer, lanewise<byte_differences<true>>);
  add_pairs<std::uint16_t>(table, "u16x2");
  add_pairs<std::int16_t>(table, "s16x2");
  add_dot_products<std::uint8_t, std::uint8_t, std::uint32_t>(table, ".u32.u32");
  add_dot_products<std::uint8_t, std::int8_t, std::int32_t>(table, ".u32.s32");
  add_dot_products<std::int8_t, std::uint8_t, std::int32_t>(table, ".s32.u32");
  add_dot_products<std::int8_t, std::int8_t, std::int32_t>(table, ".s32.s32");
}

}  // namespace moesaic::emulator
