#include <algorithm>

#include "emulator/lanewise.hpp"

/// PTX ISA, "Logic and Shift Instructions", and prmt of "Data Movement and Conversion Instructions".
namespace moesaic::emulator {
namespace {

template <typename T>
T bit_and(T a, T b) {
  return static_cast<T>(a & b);
}
template <typename T>
T bit_or(T a, T b) {
  return static_cast<T>(a | b);
}
template <typename T>
T bit_xor(T a, T b) {
  return static_cast<T>(a ^ b);
}
template <typename T>
T bit_not(T a) {
  return static_cast<T>(~a);
}
template <typename T>
T is_zero(T a) {
  return a == 0 ? 1 : 0;
}

// Shifts by the width or more shift everything out.
template <typename T>
T shl(T a, std::uint32_t by) {
  return by < sizeof(T) * 8 ? static_cast<T>(a << by) : T{0};
}
template <typename T>
T shr(T a, std::uint32_t by) {
  return static_cast<T>(by < sizeof(T) * 8 ? a >> by : (a < 0 ? ~T{0} : T{0}));
}

/// shf: 32 bits of the 64 that `high` and `low` make.
template <bool kLeft, bool kClamp>
std::uint32_t shf(std::uint32_t low, std::uint32_t high, std::uint32_t by) {
  const std::uint32_t n = kClamp ? std::min(by, 32U) : by & 31U;
  const std::uint64_t both = std::uint64_t{high} << 32 | low;
  return static_cast<std::uint32_t>(kLeft ? (both << n) >> 32 : both >> n);
}

/// lop3: bit i of the table is the result for the bits of a, b and c that spell i.
std::uint32_t lop3(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t table) {
  std::uint32_t result = 0;
  for (std::uint32_t i = 0; i < 8; ++i) {
    if (((table >> i) & 1U) == 0) continue;
    result |= ((i & 4U) != 0 ? a : ~a) & ((i & 2U) != 0 ? b : ~b) & ((i & 1U) != 0 ? c : ~c);
  }
  return result;
}

/// lop3 with a boolean operation: the predicate beside the result is (result != 0) op q.
template <bool kAnd>
Flow lop3_with_predicate(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  std::uint64_t* out = warp.out(op[0]);
  const std::uint64_t* in[] = {warp.in(op[2]), warp.in(op[3]), warp.in(op[4]), warp.in(op[5])};
  Lanes nonzero = 0;
  for_lanes(active, [&](int lane) {
    const auto source = [&](int i) { return static_cast<std::uint32_t>(in[i][lane]); };
    const std::uint32_t result = lop3(source(0), source(1), source(2), source(3));
    out[lane] = result;
    nonzero |= Lanes{result != 0} << lane;
  });
  const Lanes other = warp.predicate(op[6]);
  warp.set_predicate(op[1], active, kAnd ? nonzero & other : nonzero | other);
  return Flow::next;
}

/// Byte `select` (3 bits) of b:a, or its sign in all bits when bit 3 is set.
std::uint32_t chosen_byte(std::uint32_t a, std::uint32_t b, std::uint32_t select) {
  const std::uint64_t both = std::uint64_t{b} << 32 | a;
  const auto byte = static_cast<std::uint32_t>(both >> (8 * (select & 7U))) & 0xffU;
  if ((select & 8U) == 0) return byte;
  return (byte & 0x80U) != 0 ? 0xffU : 0U;
}

std::uint32_t prmt(std::uint32_t a, std::uint32_t b, std::uint32_t control) {
  std::uint32_t result = 0;
  for (std::uint32_t i = 0; i < 4; ++i) result |= chosen_byte(a, b, (control >> (4 * i)) & 15U) << (8 * i);
  return result;
}

/// The modes of prmt: for each value of the two control bits the bytes chosen, the highest first.
enum class PrmtMode : std::uint8_t { f4e, b4e, rc8, ecl, ecr, rc16 };
template <PrmtMode kMode>
std::uint32_t prmt_mode(std::uint32_t a, std::uint32_t b, std::uint32_t control) {
  static constexpr std::uint32_t kSelectors[6][4] = {
      {0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123}, {0x0000, 0x1111, 0x2222, 0x3333},
      {0x3210, 0x3211, 0x3222, 0x3333}, {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
  return prmt(a, b, kSelectors[static_cast<std::size_t>(kMode)][control & 3U]);
}

template <Lanes (*kFunction)(Lanes, Lanes)>
Flow predicates(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  warp.set_predicate(op[0], active, kFunction(warp.predicate(op[1]), warp.predicate(op[2])));
  return Flow::next;
}
Flow not_predicate(Warp& warp, const Instruction& instruction, Lanes active) {
  warp.set_predicate(instruction.operands[0], active, ~warp.predicate(instruction.operands[1]));
  return Flow::next;
}

template <typename U, typename S>
void add_width(InstructionTable& table, const std::string& bits) {
  const auto row = [&](const std::string& name, const char* operands, Handler handler) {
    table.add(name + bits, operands, Class::integer, handler);
  };
  row("and.b", "d s s", lanewise<bit_and<U>>);
  row("or.b", "d s s", lanewise<bit_or<U>>);
  row("xor.b", "d s s", lanewise<bit_xor<U>>);
  row("not.b", "d s", lanewise<bit_not<U>>);
  row("cnot.b", "d s", lanewise<is_zero<U>>);
  row("shl.b", "d s s", lanewise<shl<U>>);
  row("shr.(b|u)", "d s s", lanewise<shr<U>>);
  row("shr.s", "d s s", lanewise<shr<S>>);
}

}  // namespace

void add_logic_rows(InstructionTable& table) {
  add_width<std::uint16_t, std::int16_t>(table, "16");
  add_width<std::uint32_t, std::int32_t>(table, "32");
  add_width<std::uint64_t, std::int64_t>(table, "64");
  table.add("and.pred", "p q q", Class::integer, predicates<bit_and<Lanes>>);
  table.add("or.pred", "p q q", Class::integer, predicates<bit_or<Lanes>>);
  table.add("xor.pred", "p q q", Class::integer, predicates<bit_xor<Lanes>>);
  table.add("not.pred", "p q", Class::integer, not_predicate);
  table.add("shf.l.clamp.b32", "d s s s", Class::integer, lanewise<shf<true, true>>);
  table.add("shf.l.wrap.b32", "d s s s", Class::integer, lanewise<shf<true, false>>);
  table.add("shf.r.clamp.b32", "d s s s", Class::integer, lanewise<shf<false, true>>);
  table.add("shf.r.wrap.b32", "d s s s", Class::integer, lanewise<shf<false, false>>);
  table.add("lop3.b32", "d s s s s", Class::integer, lanewise<lop3>);
  table.add("lop3.and.b32", "d| s s s s q", Class::integer, lop3_with_predicate<true>);
  table.add("lop3.or.b32", "d| s s s s q", Class::integer, lop3_with_predicate<false>);
  table.add("prmt.b32", "d s s s", Class::integer, lanewise<prmt>);
  table.add("prmt.b32.f4e", "d s s s", Class::integer, lanewise<prmt_mode<PrmtMode::f4e>>);
  table.add("prmt.b32.b4e", "d s s s", Class::integer, lanewise<prmt_mode<PrmtMode::b4e>>);
  table.add("prmt.b32.rc8", "d s s s", Class::integer, lanewise<prmt_mode<PrmtMode::rc8>>);
  table.add("prmt.b32.ecl", "d s s s", Class::integer, lanewise<prmt_mode<PrmtMode::ecl>>);
  table.add("prmt.b32.ecr", "d s s s", Class::integer, lanewise<prmt_mode<PrmtMode::ecr>>);
  table.add("prmt.b32.rc16", "d s s s", Class::integer, lanewise<prmt_mode<PrmtMode::rc16>>);
}

}  // namespace moesaic::emulator
