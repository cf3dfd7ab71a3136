#include <algorithm>
#include <atomic>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "Parallel Synchronization and Communication Instructions": atom and red. Lanes take their turns in order.
namespace moesaic::emulator {
namespace {

using ptx::Space;

template <typename T>
T add(T old, T b) {
  if constexpr (std::same_as<T, float>) {
    return canonical(old + b);
  } else if constexpr (std::same_as<T, double>) {
    return old + b;
  } else {
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(b));
  }
}
/// f32 sums in global memory take subnormal operands and results for zeros of their signs; those in shared memory do
/// not (PTX ISA, red, on .add.f32; atom likewise).
float add_flushed(float old, float b) {
  return canonical(flush(flush(old) + flush(b)));
}
template <typename T>
T minimum(T old, T b) {
  return std::min(old, b);
}
template <typename T>
T maximum(T old, T b) {
  return std::max(old, b);
}
template <typename T>
T bit_and(T old, T b) {
  return old & b;
}
template <typename T>
T bit_or(T old, T b) {
  return old | b;
}
template <typename T>
T bit_xor(T old, T b) {
  return old ^ b;
}
template <typename T>
T exchange(T, T b) {
  return b;
}
std::uint32_t increment(std::uint32_t old, std::uint32_t b) {
  return old >= b ? 0 : old + 1;
}
std::uint32_t decrement(std::uint32_t old, std::uint32_t b) {
  return old == 0 || old > b ? b : old - 1;
}

/// Replaces the value at an address by new_value(old), in one step for all host threads; returns the old one.
template <typename T, typename New>
T replace(Warp& warp, const Instruction& instruction, std::uint64_t address, int lane, New&& new_value) {
  std::byte* at = warp.writable(instruction, instruction.row->access.space, address, sizeof(T), lane);
  using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
  const std::atomic_ref<Bits> cell(*reinterpret_cast<Bits*>(at));
  Bits old = cell.load();
  Bits next = 0;
  do next = static_cast<Bits>(to_bits<T>(new_value(from_bits<T>(old))));
  while (!cell.compare_exchange_weak(old, next));
  // An atomic that leaves its value is no progress: a lock that is spun on.
  if (next != old) {
    warp.block.note_effect();
  } else {
    warp.block.note_poll();
  }
  return from_bits<T>(old);
}

/// What is done at an address: kShared when it lies in shared memory, else kFunction.
template <typename T, T (*kFunction)(T, T), T (*kShared)(T, T)>
auto function_at(const Instruction& instruction, std::uint64_t address) {
  if constexpr (kFunction == kShared) {
    return kFunction;
  } else {
    const Space space = instruction.row->access.space;
    const bool shared = space == Space::shared || (space == Space::generic && address - kSharedWindow < kWindowBytes);
    return shared ? kShared : kFunction;
  }
}

/// atom d, [a], b.
template <typename T, T (*kFunction)(T, T), T (*kShared)(T, T)>
Flow atom(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const T b = from_bits<T>(warp.in(op[3])[lane]);
    const std::uint64_t address = warp.in(op[1])[lane] + warp.in(op[2])[lane];
    const auto function = function_at<T, kFunction, kShared>(instruction, address);
    const T old = replace<T>(warp, instruction, address, lane, [&](T value) { return function(value, b); });
    warp.out(op[0])[lane] = to_bits<T>(old);
  });
  return Flow::next;
}

/// red [a], b.
template <typename T, T (*kFunction)(T, T), T (*kShared)(T, T)>
Flow red(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const T b = from_bits<T>(warp.in(op[2])[lane]);
    const std::uint64_t address = warp.in(op[0])[lane] + warp.in(op[1])[lane];
    const auto function = function_at<T, kFunction, kShared>(instruction, address);
    replace<T>(warp, instruction, address, lane, [&](T value) { return function(value, b); });
  });
  return Flow::next;
}

/// atom.cas d, [a], b, c: c replaces a value equal to b.
template <typename T>
Flow compare_and_swap(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const T b = from_bits<T>(warp.in(op[3])[lane]);
    const T c = from_bits<T>(warp.in(op[4])[lane]);
    const std::uint64_t address = warp.in(op[1])[lane] + warp.in(op[2])[lane];
    const T old = replace<T>(warp, instruction, address, lane, [&](T value) { return value == b ? c : value; });
    warp.out(op[0])[lane] = to_bits<T>(old);
  });
  return Flow::next;
}

constexpr std::pair<const char*, Space> kSpaces[] = {
    {"", Space::generic}, {".global", Space::global}, {".shared", Space::shared}};

template <typename T, T (*kFunction)(T, T), T (*kShared)(T, T) = kFunction>
void add_operation(InstructionTable& table, const std::string& name, bool reduces = true) {
  for (const auto& [space, where] : kSpaces) {
    const Access access{where, sizeof(T), 1};
    table.add("atom" + std::string(space) + name, "d a s s?", Class::memory, atom<T, kFunction, kShared>, access);
    if (reduces)
      table.add("red" + std::string(space) + name, "a s s?", Class::memory, red<T, kFunction, kShared>, access);
  }
}

template <typename T>
void add_order(InstructionTable& table, const std::string& type) {
  add_operation<T, minimum<T>>(table, ".min" + type);
  add_operation<T, maximum<T>>(table, ".max" + type);
}

template <typename T>
void add_bits(InstructionTable& table, const std::string& type) {
  add_operation<T, bit_and<T>>(table, ".and" + type);
  add_operation<T, bit_or<T>>(table, ".or" + type);
  add_operation<T, bit_xor<T>>(table, ".xor" + type);
  add_operation<T, exchange<T>>(table, ".exch" + type, false);
}

template <typename T>
void add_cas(InstructionTable& table, const std::string& type) {
  for (const auto& [space, where] : kSpaces) {
    table.add("atom" + std::string(space) + ".cas" + type, "d a s s s?", Class::memory, compare_and_swap<T>,
              Access{where, sizeof(T), 1});
  }
}

}  // namespace

void add_atomic_rows(InstructionTable& table) {
  add_operation<std::uint32_t, add<std::uint32_t>>(table, ".add.(u32|s32)");
  add_operation<std::uint64_t, add<std::uint64_t>>(table, ".add.(u64|s64)");
  add_operation<float, add_flushed, add<float>>(table, ".add.f32");
  add_operation<double, add<double>>(table, ".add.f64");
  add_order<std::uint32_t>(table, ".u32");
  add_order<std::int32_t>(table, ".s32");
  add_order<std::uint64_t>(table, ".u64");
  add_order<std::int64_t>(table, ".s64");
  add_bits<std::uint32_t>(table, ".b32");
  add_bits<std::uint64_t>(table, ".b64");
  add_operation<std::uint32_t, increment>(table, ".inc.u32");
  add_operation<std::uint32_t, decrement>(table, ".dec.u32");
  add_cas<std::uint16_t>(table, ".b16");
  add_cas<std::uint32_t>(table, ".b32");
  add_cas<std::uint64_t>(table, ".b64");
}

}  // namespace moesaic::emulator
