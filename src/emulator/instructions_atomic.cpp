#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <mutex>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/memory_operation.hpp"
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
    return canonical64(old + b, old, b);
  } else {
    return add_integer(old, b);
  }
}
/// f32 sums in global memory take subnormal operands and results for zeros of their signs; those in shared memory do
/// not (PTX ISA, red, on .add.f32; atom likewise).
float add_flushed(float old, float b) {
  return canonical(flush(flush(old) + flush(b)));
}
/// f64 sums in global memory leave a NaN operand as it is, a signalling one too.
double add_global64(double old, double b) {
  if (std::isnan(old)) return old;
  return std::isnan(b) ? b : canonical64(old + b);
}
template <typename T>
T exchange(T, T b) {
  return b;
}

/// A function of 16-bit values on both halves of 32-bit ones.
template <std::uint16_t (*kFunction)(std::uint16_t, std::uint16_t)>
std::uint32_t two(std::uint32_t old, std::uint32_t b) {
  const std::uint32_t low = kFunction(static_cast<std::uint16_t>(old), static_cast<std::uint16_t>(b));
  const std::uint32_t high = kFunction(static_cast<std::uint16_t>(old >> 16), static_cast<std::uint16_t>(b >> 16));
  return high << 16 | low;
}

/// Replaces the value at a host address by new_value(old), in one step for all host threads; returns the old one.
template <typename T, typename New>
T replace(Warp& warp, std::byte* at, New&& new_value) {
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

std::byte* place(Warp& warp, const Instruction& instruction, std::uint64_t address, int lane) {
  const Access& access = instruction.row->access;
  return warp.writable(instruction, access.space, address, std::uint32_t{access.bytes} * access.count, lane);
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
    const T old =
        replace<T>(warp, place(warp, instruction, address, lane), [&](T value) { return function(value, b); });
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
    replace<T>(warp, place(warp, instruction, address, lane), [&](T value) { return function(value, b); });
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
    const T old =
        replace<T>(warp, place(warp, instruction, address, lane), [&](T value) { return value == b ? c : value; });
    warp.out(op[0])[lane] = to_bits<T>(old);
  });
  return Flow::next;
}

/// Vectors: each element by itself. atom {d, ...}, [a], {b, ...}.
template <typename T, T (*kFunction)(T, T)>
Flow vector_atom(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const int count = instruction.row->access.count;
  for_lanes(active, [&](int lane) {
    const std::uint64_t address = warp.in(op[count])[lane] + warp.in(op[count + 1])[lane];
    std::byte* at = place(warp, instruction, address, lane);
    std::array<std::uint64_t, 8> old{};
    for (int i = 0; i < count; ++i) {
      const T b = from_bits<T>(warp.in(op[count + 2 + i])[lane]);
      const auto index = static_cast<std::size_t>(i);
      old[index] = to_bits<T>(replace<T>(warp, at + index * sizeof(T), [&](T value) { return kFunction(value, b); }));
    }
    for (int i = 0; i < count; ++i) warp.out(op[i])[lane] = old[static_cast<std::size_t>(i)];
  });
  return Flow::next;
}
/// red [a], {b, ...}.
template <typename T, T (*kFunction)(T, T)>
Flow vector_red(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const std::size_t count = instruction.row->access.count;
  for_lanes(active, [&](int lane) {
    std::byte* at = place(warp, instruction, warp.in(op[0])[lane] + warp.in(op[1])[lane], lane);
    for (std::size_t i = 0; i < count; ++i) {
      const T b = from_bits<T>(warp.in(op[2 + i])[lane]);
      replace<T>(warp, at + i * sizeof(T), [&](T value) { return kFunction(value, b); });
    }
  });
  return Flow::next;
}

/// 128 bits, low half first: they exclude each other, whatever host thread they are on, and no other access.
template <bool kCompares>
Flow exchange_128(Warp& warp, const Instruction& instruction, Lanes active) {
  static std::mutex lock;
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    std::byte* at = place(warp, instruction, warp.in(op[2])[lane] + warp.in(op[3])[lane], lane);
    const auto half = [&](std::size_t i) {
      return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(at + 8 * i));
    };
    const auto source = [&](int i) { return warp.in(op[i])[lane]; };
    const std::array<std::uint64_t, 2> wanted{source(4), source(5)};
    const std::array<std::uint64_t, 2> next{source(kCompares ? 6 : 4), source(kCompares ? 7 : 5)};
    std::array<std::uint64_t, 2> old{};
    {
      const std::scoped_lock held(lock);
      old = {half(0).load(), half(1).load()};
      if (!kCompares || old == wanted) {
        half(0).store(next[0]);
        half(1).store(next[1]);
      }
    }
    for (std::size_t i = 0; i < 2; ++i) warp.out(op[i])[lane] = old[i];
  });
  warp.block.note_effect();
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

/// Vectors are for global memory only.
template <typename T, T (*kFunction)(T, T)>
void add_vectors(InstructionTable& table, const std::string& operation, const std::string& type,
                 std::initializer_list<int> counts) {
  for (const int count : counts) {
    const std::string n = std::to_string(count);
    for (const auto& [space, where] : {kSpaces[0], kSpaces[1]}) {
      const Access access{where, sizeof(T), static_cast<std::uint8_t>(count)};
      const std::string name = space + operation + ".v" + n + type;
      table.add("atom" + name, "D" + n + " a S" + n + " s?", Class::memory, vector_atom<T, kFunction>, access);
      table.add("red" + name, "a S" + n + " s?", Class::memory, vector_red<T, kFunction>, access);
    }
  }
}

template <typename Half>
void add_half_type(InstructionTable& table, const std::string& type) {
  constexpr auto kAdd = add_half<Half>;
  constexpr auto kMin = extreme_half<Half, false>;
  constexpr auto kMax = extreme_half<Half, true>;
  add_operation<std::uint16_t, kAdd>(table, ".add.noftz" + type);
  add_operation<std::uint32_t, two<kAdd>>(table, ".add.noftz" + type + "x2");
  add_vectors<std::uint16_t, kAdd>(table, ".add.noftz", type, {2, 4, 8});
  add_vectors<std::uint16_t, kMin>(table, ".min.noftz", type, {2, 4, 8});
  add_vectors<std::uint16_t, kMax>(table, ".max.noftz", type, {2, 4, 8});
  add_vectors<std::uint32_t, two<kAdd>>(table, ".add.noftz", type + "x2", {2, 4});
  add_vectors<std::uint32_t, two<kMin>>(table, ".min.noftz", type + "x2", {2, 4});
  add_vectors<std::uint32_t, two<kMax>>(table, ".max.noftz", type + "x2", {2, 4});
}

void add_128_bits(InstructionTable& table) {
  for (const auto& [space, where] : kSpaces) {
    const Access access{where, 8, 2};
    const std::string name = std::string("atom") + space;
    table.add(name + ".exch.b128", "D2 a S2 s?", Class::memory, exchange_128<false>, access);
    table.add(name + ".cas.b128", "D2 a S2 S2 s?", Class::memory, exchange_128<true>, access);
  }
}

}  // namespace

void add_atomic_rows(InstructionTable& table) {
  add_operation<std::uint32_t, add<std::uint32_t>>(table, ".add.(u32|s32)");
  add_operation<std::uint64_t, add<std::uint64_t>>(table, ".add.u64");
  add_operation<float, add_flushed, add<float>>(table, ".add.f32");
  add_operation<double, add_global64, add<double>>(table, ".add.f64");
  add_order<std::uint32_t>(table, ".u32");
  add_order<std::int32_t>(table, ".s32");
  add_order<std::uint64_t>(table, ".u64");
  add_order<std::int64_t>(table, ".s64");
  add_bits<std::uint32_t>(table, ".b32");
  add_bits<std::uint64_t>(table, ".b64");
  add_operation<std::uint32_t, increment>(table, ".inc.u32");
  add_operation<std::uint32_t, decrement>(table, ".dec.u32");
  add_half_type<F16>(table, ".f16");
  add_half_type<Bf16>(table, ".bf16");
  add_vectors<float, add_flushed>(table, ".add", ".f32", {2, 4});
  add_128_bits(table);
  add_cas<std::uint16_t>(table, ".b16");
  add_cas<std::uint32_t>(table, ".b32");
  add_cas<std::uint64_t>(table, ".b64");
}

}  // namespace moesaic::emulator
