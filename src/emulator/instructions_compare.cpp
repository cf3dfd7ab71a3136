#include <cmath>

#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Comparison and Selection Instructions".
namespace moesaic::emulator {
namespace {

enum class Compare : std::uint8_t { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };
enum class Combine : std::uint8_t { none, conj, disj, parity };

template <Compare kCompare, typename T>
bool holds(T a, T b) {
  switch (kCompare) {
    case Compare::eq:
      return a == b;
    case Compare::ne:
      return a < b || a > b;  // false for NaN
    case Compare::lt:
      return a < b;
    case Compare::le:
      return a <= b;
    case Compare::gt:
      return a > b;
    case Compare::ge:
      return a >= b;
    case Compare::equ:
      return !(a < b || a > b);
    case Compare::neu:
      return !(a == b);
    case Compare::ltu:
      return !(a >= b);
    case Compare::leu:
      return !(a > b);
    case Compare::gtu:
      return !(a <= b);
    case Compare::geu:
      return !(a < b);
    case Compare::num:
      return a == a && b == b;  // NOLINT(misc-redundant-expression): a NaN is not itself
    case Compare::nan:
      return a != a || b != b;  // NOLINT(misc-redundant-expression)
  }
  return false;
}

/// What the two sources are compared as; Ftz takes subnormal numbers for zero.
template <typename T>
struct AsIs {
  using Value = T;
  static T read(std::uint64_t bits) { return from_bits<T>(bits); }
};
struct Ftz {
  using Value = float;
  static float read(std::uint64_t bits) { return flush(from_bits<float>(bits)); }
};
struct AsF16 {
  using Value = float;
  static float read(std::uint64_t bits) { return decode_f16(static_cast<std::uint16_t>(bits)); }
};
struct AsBf16 {
  using Value = float;
  static float read(std::uint64_t bits) { return decode_bf16(static_cast<std::uint16_t>(bits)); }
};

template <typename Type, Compare kCompare>
Lanes compare(Warp& warp, Slot a_slot, Slot b_slot, Lanes active) {
  const std::uint64_t* a = warp.in(a_slot);
  const std::uint64_t* b = warp.in(b_slot);
  Lanes result = 0;
  for_lanes(active, [&](int lane) {
    const bool yes = holds<kCompare, typename Type::Value>(Type::read(a[lane]), Type::read(b[lane]));
    result |= Lanes{yes} << lane;
  });
  return result;
}

template <Combine kCombine>
Lanes combine(Lanes a, Lanes b) {
  if constexpr (kCombine == Combine::conj) return a & b;
  if constexpr (kCombine == Combine::disj) return a | b;
  if constexpr (kCombine == Combine::parity) return a ^ b;
  return a;
}

/// setp: p = (a cmp b) op c, and q = !(a cmp b) op c.
template <typename Type, Compare kCompare, Combine kCombine>
Flow setp(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const Lanes result = compare<Type, kCompare>(warp, op[2], op[3], active);
  const Lanes other = kCombine == Combine::none ? 0 : warp.predicate(op[4]);
  warp.set_predicate(op[0], active, combine<kCombine>(result, other));
  warp.set_predicate(op[1], active, combine<kCombine>(~result, other));
  return Flow::next;
}

/// set: all ones, or 1.0 for f32, where the comparison holds; else 0.
template <typename Type, Compare kCompare, std::uint32_t kYes>
Flow set(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const Lanes result = compare<Type, kCompare>(warp, op[1], op[2], active);
  std::uint64_t* out = warp.out(op[0]);
  for_lanes(active, [&](int lane) { out[lane] = ((result >> lane) & 1U) != 0 ? kYes : 0; });
  return Flow::next;
}

Flow selp(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  std::uint64_t* out = warp.out(op[0]);
  const std::uint64_t* a = warp.in(op[1]);
  const std::uint64_t* b = warp.in(op[2]);
  const Lanes choice = warp.predicate(op[3]);
  for_lanes(active, [&](int lane) { out[lane] = ((choice >> lane) & 1U) != 0 ? a[lane] : b[lane]; });
  return Flow::next;
}

template <typename Type, Compare kCompare>
void add_comparison(InstructionTable& table, const std::string& name, const std::string& type, Class kind) {
  table.add("setp." + name + type, "p| s s", kind, setp<Type, kCompare, Combine::none>);
  table.add("setp." + name + ".and" + type, "p| s s q", kind, setp<Type, kCompare, Combine::conj>);
  table.add("setp." + name + ".or" + type, "p| s s q", kind, setp<Type, kCompare, Combine::disj>);
  table.add("setp." + name + ".xor" + type, "p| s s q", kind, setp<Type, kCompare, Combine::parity>);
  table.add("set." + name + ".(u32|s32)" + type, "d s s", kind, set<Type, kCompare, 0xffffffffU>);
  table.add("set." + name + ".f32" + type, "d s s", kind, set<Type, kCompare, 0x3f800000U>);
}

template <typename Type>
void add_ordered(InstructionTable& table, const std::string& type, Class kind) {
  add_comparison<Type, Compare::eq>(table, "eq", type, kind);
  add_comparison<Type, Compare::ne>(table, "ne", type, kind);
  add_comparison<Type, Compare::lt>(table, "lt", type, kind);
  add_comparison<Type, Compare::le>(table, "le", type, kind);
  add_comparison<Type, Compare::gt>(table, "gt", type, kind);
  add_comparison<Type, Compare::ge>(table, "ge", type, kind);
}

template <typename Type>
void add_float_comparisons(InstructionTable& table, const std::string& type) {
  add_ordered<Type>(table, type, Class::floating);
  add_comparison<Type, Compare::equ>(table, "equ", type, Class::floating);
  add_comparison<Type, Compare::neu>(table, "neu", type, Class::floating);
  add_comparison<Type, Compare::ltu>(table, "ltu", type, Class::floating);
  add_comparison<Type, Compare::leu>(table, "leu", type, Class::floating);
  add_comparison<Type, Compare::gtu>(table, "gtu", type, Class::floating);
  add_comparison<Type, Compare::geu>(table, "geu", type, Class::floating);
  add_comparison<Type, Compare::num>(table, "num", type, Class::floating);
  add_comparison<Type, Compare::nan>(table, "nan", type, Class::floating);
}

template <typename U, typename S>
void add_integer_comparisons(InstructionTable& table, const std::string& bits) {
  add_ordered<AsIs<S>>(table, ".s" + bits, Class::integer);
  add_ordered<AsIs<U>>(table, ".u" + bits, Class::integer);
  add_comparison<AsIs<U>, Compare::eq>(table, "eq", ".b" + bits, Class::integer);
  add_comparison<AsIs<U>, Compare::ne>(table, "ne", ".b" + bits, Class::integer);
  add_comparison<AsIs<U>, Compare::lt>(table, "lo", ".u" + bits, Class::integer);
  add_comparison<AsIs<U>, Compare::le>(table, "ls", ".u" + bits, Class::integer);
  add_comparison<AsIs<U>, Compare::gt>(table, "hi", ".u" + bits, Class::integer);
  add_comparison<AsIs<U>, Compare::ge>(table, "hs", ".u" + bits, Class::integer);
}

}  // namespace

void add_compare_rows(InstructionTable& table) {
  add_integer_comparisons<std::uint16_t, std::int16_t>(table, "16");
  add_integer_comparisons<std::uint32_t, std::int32_t>(table, "32");
  add_integer_comparisons<std::uint64_t, std::int64_t>(table, "64");
  add_float_comparisons<AsIs<float>>(table, ".f32");
  add_float_comparisons<Ftz>(table, ".ftz.f32");
  add_float_comparisons<AsIs<double>>(table, ".f64");
  add_float_comparisons<AsF16>(table, ".f16");
  add_float_comparisons<AsBf16>(table, ".bf16");
  table.add("selp.(b16|u16|s16|b32|u32|s32|f32|b64|u64|s64|f64)", "d s s q", Class::move, selp);
}

}  // namespace moesaic::emulator
