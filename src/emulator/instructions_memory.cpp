#include <fmt/format.h>

#include <atomic>
#include <cstring>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"

/// PTX ISA, "Data Movement and Conversion Instructions": ld, st and prefetch. Blocks run on several host threads, so
/// elements in memory are read and written as atomics that acquire and release: stronger than any form of ld and st.
namespace moesaic::emulator {
namespace {

using ptx::Space;

constexpr std::pair<const char*, Space> kSpaces[] = {{"", Space::generic},        {".global", Space::global},
                                                     {".const", Space::constant}, {".shared", Space::shared},
                                                     {".local", Space::local},    {".param", Space::param}};

template <typename T>
std::uint64_t load_one(const std::byte* from) {
  auto* element = reinterpret_cast<T*>(const_cast<std::byte*>(from));
  return static_cast<std::uint64_t>(std::atomic_ref<T>(*element).load(std::memory_order_acquire));
}

/// T is signed where a load into a wider register extends the sign.
template <typename T>
Flow load(Warp& warp, const Instruction& instruction, Lanes active) {
  const Access& access = instruction.row->access;
  const Slot* op = instruction.operands;
  const std::uint64_t* base = warp.in(op[access.count]);
  const std::uint64_t* offset = warp.in(op[access.count + 1]);
  const auto bytes = static_cast<std::uint32_t>(sizeof(T)) * access.count;
  for_lanes(active, [&](int lane) {
    const std::byte* from = warp.access(instruction, access.space, base[lane] + offset[lane], bytes, lane);
    for (int i = 0; i < access.count; ++i)
      warp.out(op[i])[lane] = load_one<T>(from + static_cast<std::size_t>(i) * sizeof(T));
  });
  warp.block.note_poll();
  return Flow::next;
}

template <typename T>
Flow store(Warp& warp, const Instruction& instruction, Lanes active) {
  const Access& access = instruction.row->access;
  const Slot* op = instruction.operands;
  const std::uint64_t* base = warp.in(op[0]);
  const std::uint64_t* offset = warp.in(op[1]);
  const auto bytes = static_cast<std::uint32_t>(sizeof(T)) * access.count;
  for_lanes(active, [&](int lane) {
    std::byte* to = warp.writable(instruction, access.space, base[lane] + offset[lane], bytes, lane);
    for (int i = 0; i < access.count; ++i) {
      auto* element = reinterpret_cast<T*>(to + static_cast<std::size_t>(i) * sizeof(T));
      const auto value = static_cast<T>(warp.in(op[2 + i])[lane]);
      std::atomic_ref<T>(*element).store(value, std::memory_order_release);
    }
  });
  warp.block.note_effect();
  return Flow::next;
}

/// The forms of one type.
struct Adder {
  InstructionTable& table;

  template <typename T>
  void forms(const std::string& suffix, Space where, const std::string& name, std::uint8_t count) const {
    const std::string n = std::to_string(count);
    const Access access{where, sizeof(T), count};
    const bool single = count == 1;
    table.add("ld" + name + suffix, single ? "d a s?" : "D" + n + " a s?", Class::memory, load<T>, access);
    if (where == Space::generic || where == Space::global) {
      table.add("ldu" + name + suffix, single ? "d a" : "D" + n + " a", Class::memory, load<T>, access);
    }
    if (where == Space::param || where == Space::constant) return;
    using Stored = std::make_unsigned_t<T>;
    table.add("st" + name + suffix, single ? "a s s?" : "a S" + n + " s?", Class::memory, store<Stored>, access);
  }

  template <typename T>
  void type(const std::string& types) const {
    for (const auto& [space, where] : kSpaces) {
      for (const std::uint8_t count : std::initializer_list<std::uint8_t>{1, 2, 4}) {
        if (sizeof(T) * count > 16) continue;
        forms<T>(types, where, count == 1 ? std::string(space) : fmt::format("{}.v{}", space, count), count);
      }
    }
  }
  template <typename T>
  void wide_vectors(const std::string& types) const {
    const InstructionTable::Section blackwell(table, Target::sm_100, Proof::independent);
    constexpr std::uint8_t kCount = 32 / sizeof(T);
    for (const auto& [space, where] : {kSpaces[0], kSpaces[1]}) {
      const std::string name = fmt::format("{}.v{}{}", space, kCount, types);
      const Access access{where, sizeof(T), kCount};
      table.add("ld" + name, fmt::format("D{} a s?", kCount), Class::memory, load<T>, access);
      table.add("st" + name, fmt::format("a S{} s?", kCount), Class::memory, store<T>, access);
    }
  }
  /// A register of 128 bits is two slots.
  void b128() const {
    for (const auto& [space, where] : kSpaces) forms<std::uint64_t>(".b128", where, space, 2);
  }
};

Flow ignore(Warp&, const Instruction&, Lanes) {
  return Flow::next;
}

Flow prefetch_tensormap(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::uint64_t* base = warp.in(instruction.operands[0]);
  const std::uint64_t* offset = warp.in(instruction.operands[1]);
  for_lanes(active, [&](int lane) {
    // Both halves of 128 bytes, each a multiple of 64: a map's alignment.
    warp.access(instruction, instruction.row->access.space, base[lane] + offset[lane], 64, lane);
    warp.access(instruction, instruction.row->access.space, base[lane] + offset[lane] + 64, 64, lane);
  });
  return Flow::next;
}

Flow make_policy(Warp& warp, const Instruction& instruction, Lanes active) {
  std::uint64_t* out = warp.out(instruction.operands[0]);
  for_lanes(active, [&](int lane) { out[lane] = 0; });
  return Flow::next;
}

}  // namespace

void add_memory_rows(InstructionTable& table) {
  const Adder to{table};
  to.type<std::uint8_t>(".(b8|u8)");
  to.type<std::int8_t>(".s8");
  to.type<std::uint16_t>(".(b16|u16)");
  to.type<std::int16_t>(".s16");
  to.type<std::uint32_t>(".(b32|u32|f32)");
  to.type<std::int32_t>(".s32");
  to.type<std::uint64_t>(".(b64|u64|s64|f64)");
  to.b128();
  to.wide_vectors<std::uint32_t>(".(b32|u32|s32|f32)");
  to.wide_vectors<std::uint64_t>(".(b64|u64|s64|f64)");
  const InstructionTable::Section hints(table, Target::any, Proof::unproven);
  table.add("prefetch[.global].(L1|L2)", "a", Class::memory, ignore);
  table.add("prefetch.local.(L1|L2)", "a", Class::memory, ignore);
  table.add("prefetch.tensormap", "a", Class::memory, prefetch_tensormap, Access{.space = Space::generic});
  table.add("prefetch.const.tensormap", "a", Class::memory, prefetch_tensormap, Access{.space = Space::constant});
  table.add("prefetch.param.tensormap", "a", Class::memory, prefetch_tensormap, Access{.space = Space::param});
  table.add("prefetchu.L1", "a", Class::memory, ignore);
  table.add("prefetch.global", "a", Class::memory, ignore);  // with .L2::evict_last or .L2::evict_normal
  table.add("applypriority[.global].L2::evict_normal", "a s", Class::memory, ignore);
  table.add("discard[.global].L2", "a s", Class::memory, ignore);
  const std::string primary = "L2::(evict_last|evict_normal|evict_first|evict_unchanged)";
  const std::string secondary = ".L2::(evict_first|evict_unchanged)";
  table.add("createpolicy.fractional." + primary + secondary + ".b64", "d s?", Class::memory, make_policy);
  table.add("createpolicy.range[.global]." + primary + ".b64", "d a s s", Class::memory, make_policy);
  table.add("createpolicy.range[.global]." + primary + secondary + ".b64", "d a s s", Class::memory, make_policy);
  table.add("createpolicy.cvt.L2.b64", "d s", Class::memory, make_policy);
  table.add("createpolicy.fractional.L2::(evict_last|evict_normal|evict_first|evict_unchanged).b64", "d s?",
            Class::memory, make_policy);
}

}  // namespace moesaic::emulator
