#include <cmath>

#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Comparison and Selection Instructions" and "Half Precision Comparison Instructions".
namespace moesaic::emulator {
namespace {

enum class Compare : std::uint8_t { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };
constexpr const char* kNames[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                  "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
constexpr std::size_t kComparisons = std::size(kNames);
constexpr std::size_t kOrderedComparisons = 6;

/// Calls visit.operator()<0>(), <1>(), ... up to kCount.
template <std::size_t kCount, typename Visit>
void each(Visit&& visit) {
  [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
    (visit.template operator()<kIndex>(), ...);
  }
  (std::make_index_sequence<kCount>{});
}

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
template <int kShift, bool kFtz>
struct AsF16 {
  using Value = float;
  static float read(std::uint64_t bits) {
    const float value = decode_f16(static_cast<std::uint16_t>(bits >> kShift));
    return kFtz && std::fabs(value) < 0x1p-14F ? 0.0F : value;
  }
};
template <int kShift>
struct AsBf16 {
  using Value = float;
  static float read(std::uint64_t bits) { return decode_bf16(static_cast<std::uint16_t>(bits >> kShift)); }
};

template <typename Type, Compare kCompare>
Lanes compare(const Warp& warp, Slot a_slot, Slot b_slot, Lanes active) {
  const std::uint64_t* a = warp.in(a_slot);
  const std::uint64_t* b = warp.in(b_slot);
  Lanes result = 0;
  for_lanes(active, [&](int lane) {
    const bool yes = holds<kCompare, typename Type::Value>(Type::read(a[lane]), Type::read(b[lane]));
    result |= Lanes{yes} << lane;
  });
  return result;
}

/// Row::form of these rows: the boolean operation that joins the comparison with a predicate, and for set also what the
/// destination holds where the result is true.
enum Combine : std::uint16_t { kAlone, kAnd, kOr, kXor };
enum Truth : std::uint16_t { kOnes32, kOnes16, kOneF32, kOneF16, kOneBf16 };
constexpr unsigned kTruthShift = 2;
constexpr std::uint32_t kTruths[] = {0xffffffffU, 0xffffU, 0x3f800000U, 0x3c00U, 0x3f80U};

Lanes combine(const Warp& warp, const Instruction& instruction, Lanes result, Slot with) {
  switch (instruction.row->form & 3U) {
    case kAnd:
      return result & warp.predicate(with);
    case kOr:
      return result | warp.predicate(with);
    case kXor:
      return result ^ warp.predicate(with);
    default:
      return result;
  }
}
std::uint32_t truth(const Instruction& instruction) {
  return kTruths[instruction.row->form >> kTruthShift];
}

/// setp: p = (a cmp b) op c, and the optional q = !(a cmp b) op c.
template <typename Type, Compare kCompare>
Flow setp(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const Lanes result = compare<Type, kCompare>(warp, op[2], op[3], active);
  const Lanes p = combine(warp, instruction, result, op[4]);
  const Lanes q = combine(warp, instruction, ~result, op[4]);
  warp.set_predicate(op[0], active, p);
  warp.set_predicate(op[1], active, q);
  return Flow::next;
}
/// setp of one 16-bit type: there is no second predicate.
template <typename Type, Compare kCompare>
Flow setp_half(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const Lanes result = compare<Type, kCompare>(warp, op[1], op[2], active);
  warp.set_predicate(op[0], active, combine(warp, instruction, result, op[3]));
  return Flow::next;
}
/// setp of packed types: p is of the lower halves, q of the upper ones.
template <typename Low, typename High, Compare kCompare>
Flow setp_pair(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const Lanes low = combine(warp, instruction, compare<Low, kCompare>(warp, op[2], op[3], active), op[4]);
  const Lanes high = combine(warp, instruction, compare<High, kCompare>(warp, op[2], op[3], active), op[4]);
  warp.set_predicate(op[0], active, low);
  warp.set_predicate(op[1], active, high);
  return Flow::next;
}

/// set: all ones or 1.0 where it is true, else 0.
template <typename Type, Compare kCompare>
Flow set(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const Lanes result = combine(warp, instruction, compare<Type, kCompare>(warp, op[1], op[2], active), op[3]);
  const std::uint32_t yes = truth(instruction);
  std::uint64_t* out = warp.out(op[0]);
  for_lanes(active, [&](int lane) { out[lane] = ((result >> lane) & 1U) != 0 ? yes : 0; });
  return Flow::next;
}
template <typename Low, typename High, Compare kCompare>
Flow set_pair(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const Lanes low = combine(warp, instruction, compare<Low, kCompare>(warp, op[1], op[2], active), op[3]);
  const Lanes high = combine(warp, instruction, compare<High, kCompare>(warp, op[1], op[2], active), op[3]);
  const std::uint32_t yes = truth(instruction);
  std::uint64_t* out = warp.out(op[0]);
  for_lanes(active, [&](int lane) {
    out[lane] = (((high >> lane) & 1U) != 0 ? yes << 16 : 0) | (((low >> lane) & 1U) != 0 ? yes : 0);
  });
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

/// slct: a where c >= 0, else b; -0 is not below zero, NaN is not above it.
template <typename T, bool kFtz>
Flow slct(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  std::uint64_t* out = warp.out(op[0]);
  const std::uint64_t* a = warp.in(op[1]);
  const std::uint64_t* b = warp.in(op[2]);
  const std::uint64_t* c = warp.in(op[3]);
  for_lanes(active, [&](int lane) {
    T value = from_bits<T>(c[lane]);
    if constexpr (kFtz) value = flush(value);
    out[lane] = value >= 0 ? a[lane] : b[lane];
  });
  return Flow::next;
}

struct Adder {
  InstructionTable& table;
  Class kind = Class::integer;

  using Dtypes = std::initializer_list<std::pair<const char*, Truth>>;
  static constexpr std::pair<const char*, Combine> kCombines[] = {
      {"", kAlone}, {".and", kAnd}, {".or", kOr}, {".xor", kXor}};

  void add(const std::string& comparison, const std::string& types, const char* setp_operands, Handler setp_handler,
           Handler set_handler, Dtypes dtypes) const {
    for (const auto& [suffix, combine] : kCombines) {
      const std::string with = combine == kAlone ? "" : " q";
      const std::string middle = "." + comparison + suffix;
      table.add("setp" + middle + types, setp_operands + with, kind, setp_handler, {}, combine);
      const std::size_t last = types.rfind('.');
      for (const auto& [dtype, truth] : dtypes) {
        const auto form = static_cast<std::uint16_t>(combine | truth << kTruthShift);
        table.add("set" + middle + types.substr(0, last) + dtype + types.substr(last), "d s s" + with, kind,
                  set_handler, {}, form);
      }
    }
  }

  template <typename Type, Compare kCompare>
  void one(const char* name, const std::string& type, Dtypes dtypes) const {
    add(name, type, "p| s s", setp<Type, kCompare>, set<Type, kCompare>, dtypes);
  }
  template <typename Type, Compare kCompare>
  void half(const char* name, const std::string& type, Dtypes dtypes) const {
    add(name, type, "p s s", setp_half<Type, kCompare>, set<Type, kCompare>, dtypes);
  }
  template <typename Low, typename High, Compare kCompare>
  void pair(const char* name, const std::string& type, Dtypes dtypes) const {
    add(name, type, "p| s s", setp_pair<Low, High, kCompare>, set_pair<Low, High, kCompare>, dtypes);
  }
};

template <typename Type>
void add_floats(const Adder& to, const std::string& type, Adder::Dtypes dtypes) {
  each<kComparisons>(
      [&]<std::size_t kIndex>() { to.one<Type, static_cast<Compare>(kIndex)>(kNames[kIndex], type, dtypes); });
}
template <typename Type>
void add_halves(const Adder& to, const std::string& type, Adder::Dtypes dtypes) {
  each<kComparisons>(
      [&]<std::size_t kIndex>() { to.half<Type, static_cast<Compare>(kIndex)>(kNames[kIndex], type, dtypes); });
}
template <typename Low, typename High>
void add_pairs(const Adder& to, const std::string& type, Adder::Dtypes dtypes) {
  each<kComparisons>(
      [&]<std::size_t kIndex>() { to.pair<Low, High, static_cast<Compare>(kIndex)>(kNames[kIndex], type, dtypes); });
}

template <typename U, typename S>
void add_integers(const Adder& to, const std::string& bits) {
  const Adder::Dtypes dtypes{
      {".u32", kOnes32}, {".s32", kOnes32}, {".f32", kOneF32}, {".f16", kOneF16}, {".bf16", kOneBf16}};
  each<kOrderedComparisons>([&]<std::size_t kIndex>() {
    to.one<AsIs<U>, static_cast<Compare>(kIndex)>(kNames[kIndex], ".u" + bits, dtypes);
    to.one<AsIs<S>, static_cast<Compare>(kIndex)>(kNames[kIndex], ".s" + bits, dtypes);
  });
  to.one<AsIs<U>, Compare::eq>("eq", ".b" + bits, dtypes);
  to.one<AsIs<U>, Compare::ne>("ne", ".b" + bits, dtypes);
  to.one<AsIs<U>, Compare::lt>("lo", ".u" + bits, dtypes);
  to.one<AsIs<U>, Compare::le>("ls", ".u" + bits, dtypes);
  to.one<AsIs<U>, Compare::gt>("hi", ".u" + bits, dtypes);
  to.one<AsIs<U>, Compare::ge>("hs", ".u" + bits, dtypes);
}

void add_slct(InstructionTable& table) {
  const std::string types = ".(b16|u16|s16|b32|u32|s32|f32|b64|u64|s64|f64)";
  table.add("slct" + types + ".s32", "d s s s", Class::move, slct<std::int32_t, false>);
  table.add("slct" + types + ".f32", "d s s s", Class::move, slct<float, false>);
  table.add("slct.ftz" + types + ".f32", "d s s s", Class::move, slct<float, true>);
}

}  // namespace

void add_compare_rows(InstructionTable& table) {
  const Adder integers{table, Class::integer};
  add_integers<std::uint16_t, std::int16_t>(integers, "16");
  add_integers<std::uint32_t, std::int32_t>(integers, "32");
  add_integers<std::uint64_t, std::int64_t>(integers, "64");

  const Adder floats{table, Class::floating};
  const std::pair<const char*, Truth> u32{".u32", kOnes32}, s32{".s32", kOnes32}, u16{".u16", kOnes16},
      s16{".s16", kOnes16}, f32{".f32", kOneF32}, f16{".f16", kOneF16}, bf16{".bf16", kOneBf16};
  add_floats<AsIs<float>>(floats, ".f32", {u32, s32, f32, f16, bf16});
  add_floats<Ftz>(floats, ".ftz.f32", {u32, s32, f32, f16});
  add_floats<AsIs<double>>(floats, ".f64", {u32, s32, f32, f16, bf16});
  add_halves<AsF16<0, false>>(floats, ".f16", {u32, s32, u16, s16, f16, bf16});
  add_halves<AsF16<0, true>>(floats, ".ftz.f16", {u32, s32, u16, s16, f16});
  add_halves<AsBf16<0>>(floats, ".bf16", {u32, s32, u16, s16, bf16});
  // In packed results every half is a truth of its own.
  const std::pair<const char*, Truth> u32_pair{".u32", kOnes16}, s32_pair{".s32", kOnes16}, f16_pair{".f16x2", kOneF16},
      bf16_pair{".bf16x2", kOneBf16};
  add_pairs<AsF16<0, false>, AsF16<16, false>>(floats, ".f16x2", {u32_pair, s32_pair, f16_pair});
  add_pairs<AsF16<0, true>, AsF16<16, true>>(floats, ".ftz.f16x2", {u32_pair, s32_pair, f16_pair});
  add_pairs<AsBf16<0>, AsBf16<16>>(floats, ".bf16x2", {u32_pair, s32_pair, bf16_pair});

  table.add("selp.(b16|u16|s16|b32|u32|s32|f32|b64|u64|s64|f64)", "d s s q", Class::move, selp);
  add_slct(table);
}

}  // namespace moesaic::emulator
