#include "emulator/lanewise.hpp"

/// PTX ISA, "Extended-Precision Integer Arithmetic Instructions". Each lane has one carry bit, CC.CF, which .cc forms
/// write and addc, subc and madc read; after subtractions it is the borrow.
namespace moesaic::emulator {
namespace {

__extension__ typedef unsigned __int128 Uint128;
__extension__ typedef __int128 Int128;

/// A result and the carry out of it.
template <typename T>
struct Carried {
  T value;
  bool carry;
};

template <typename T>
Carried<T> add(T a, T b, bool carry) {
  const Uint128 sum = Uint128{a} + b + (carry ? 1U : 0U);
  return {static_cast<T>(sum), (sum >> (8 * sizeof(T))) != 0};
}
template <typename T>
Carried<T> sub(T a, T b, bool borrow) {
  const Uint128 taken = Uint128{b} + (borrow ? 1U : 0U);
  return {static_cast<T>(a - static_cast<T>(taken)), taken > a};
}

/// Whether the instruction takes the carry in and gives one out.
template <bool kIn, bool kOut, typename Operation>
Flow with_carry(Warp& warp, const Instruction& instruction, Lanes active, Operation&& operation) {
  std::uint64_t* result = warp.out(instruction.operands[0]);
  Lanes carries = 0;
  for_lanes(active, [&](int lane) {
    const bool in = kIn && ((warp.carry >> lane) & 1U) != 0;
    const auto [value, carry] = operation(lane, in);
    result[lane] = value;
    carries |= Lanes{carry} << lane;
  });
  if constexpr (kOut) warp.carry = (warp.carry & ~active) | carries;
  return Flow::next;
}

template <typename T, auto kFunction, bool kIn, bool kOut>
Flow sum(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::uint64_t* a = warp.in(instruction.operands[1]);
  const std::uint64_t* b = warp.in(instruction.operands[2]);
  return with_carry<kIn, kOut>(warp, instruction, active, [&](int lane, bool in) {
    return kFunction(static_cast<T>(a[lane]), static_cast<T>(b[lane]), in);
  });
}

/// Half of the product plus c. Only the upper half depends on the sign.
template <typename T, bool kSigned, bool kHigh, bool kIn, bool kOut>
Flow mad(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::uint64_t* a = warp.in(instruction.operands[1]);
  const std::uint64_t* b = warp.in(instruction.operands[2]);
  const std::uint64_t* c = warp.in(instruction.operands[3]);
  return with_carry<kIn, kOut>(warp, instruction, active, [&](int lane, bool in) {
    using Number = std::conditional_t<kSigned, std::make_signed_t<T>, T>;
    using Wide = std::conditional_t<kSigned, Int128, Uint128>;
    const Wide product = Wide{static_cast<Number>(a[lane])} * Wide{static_cast<Number>(b[lane])};
    const auto half = static_cast<T>(kHigh ? product >> (8 * sizeof(T)) : product);
    return add<T>(half, static_cast<T>(c[lane]), in);
  });
}

template <typename T>
void add_sums(InstructionTable& table, const std::string& types) {
  const auto row = [&](const char* name, Handler handler) {
    table.add(name + types, "d s s", Class::integer, handler);
  };
  row("add.cc", sum<T, add<T>, false, true>);
  row("addc", sum<T, add<T>, true, false>);
  row("addc.cc", sum<T, add<T>, true, true>);
  row("sub.cc", sum<T, sub<T>, false, true>);
  row("subc", sum<T, sub<T>, true, false>);
  row("subc.cc", sum<T, sub<T>, true, true>);
}

template <typename T, bool kSigned>
void add_products(InstructionTable& table, const std::string& type) {
  const auto row = [&](const char* name, Handler handler) {
    table.add(name + type, "d s s s", Class::integer, handler);
  };
  row("mad.lo.cc", mad<T, kSigned, false, false, true>);
  row("mad.hi.cc", mad<T, kSigned, true, false, true>);
  row("madc.lo", mad<T, kSigned, false, true, false>);
  row("madc.hi", mad<T, kSigned, true, true, false>);
  row("madc.lo.cc", mad<T, kSigned, false, true, true>);
  row("madc.hi.cc", mad<T, kSigned, true, true, true>);
}

}  // namespace

void add_carry_rows(InstructionTable& table) {
  add_sums<std::uint32_t>(table, ".(u32|s32)");
  add_sums<std::uint64_t>(table, ".(u64|s64)");
  add_products<std::uint32_t, false>(table, ".u32");
  add_products<std::uint32_t, true>(table, ".s32");
  add_products<std::uint64_t, false>(table, ".u64");
  add_products<std::uint64_t, true>(table, ".s64");
}

}  // namespace moesaic::emulator
