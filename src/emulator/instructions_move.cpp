#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"

/// PTX ISA, "Data Movement and Conversion Instructions": mov, cvta, isspacep, mapa.
namespace moesaic::emulator {
namespace {

Flow move(Warp& warp, const Instruction& instruction, Lanes active) {
  std::uint64_t* out = warp.out(instruction.operands[0]);
  const std::uint64_t* in = warp.in(instruction.operands[1]);
  for_lanes(active, [&](int lane) { out[lane] = in[lane]; });
  return Flow::next;
}

/// Registers of 128 bits are two slots each.
Flow move_both(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const std::uint64_t low = warp.in(op[2])[lane];
    const std::uint64_t high = warp.in(op[3])[lane];
    warp.out(op[0])[lane] = low;
    warp.out(op[1])[lane] = high;
  });
  return Flow::next;
}

Flow move_predicate(Warp& warp, const Instruction& instruction, Lanes active) {
  warp.set_predicate(instruction.operands[0], active, warp.predicate(instruction.operands[1]));
  return Flow::next;
}

/// mov d, {s, ...}: the first source has the lowest bits.
template <int kParts, int kBits>
Flow pack(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  std::uint64_t* out = warp.out(op[0]);
  const std::uint64_t* in[kParts];
  for (int part = 0; part < kParts; ++part) in[part] = warp.in(op[1 + part]);
  for_lanes(active, [&](int lane) {
    std::uint64_t value = 0;
    for (int part = 0; part < kParts; ++part) {
      value |= (in[part][lane] & ((std::uint64_t{1} << kBits) - 1)) << (part * kBits);
    }
    out[lane] = value;
  });
  return Flow::next;
}

template <int kParts, int kBits>
Flow unpack(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const std::uint64_t* in = warp.in(op[kParts]);
  for_lanes(active, [&](int lane) {
    const std::uint64_t value = in[lane];  // the source may be among the destinations
    for (int part = 0; part < kParts; ++part) {
      warp.out(op[part])[lane] = (value >> (part * kBits)) & ((std::uint64_t{1} << kBits) - 1);
    }
  });
  return Flow::next;
}

template <std::uint64_t kWindow>
std::uint64_t to_generic(std::uint64_t address) {
  return address + kWindow;
}
template <std::uint64_t kWindow>
std::uint64_t from_generic(std::uint64_t address) {
  return address - kWindow;
}
std::uint64_t same(std::uint64_t address) {
  return address;
}

/// The rank in its cluster of the block that owns an address of shared memory: clusters have one block.
std::uint32_t first_rank(std::uint64_t) {
  return 0;
}

template <std::uint64_t kWindow>
Flow in_window(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::uint64_t* address = warp.in(instruction.operands[1]);
  Lanes yes = 0;
  for_lanes(active, [&](int lane) { yes |= Lanes{address[lane] - kWindow < kWindowBytes} << lane; });
  warp.set_predicate(instruction.operands[0], active, yes);
  return Flow::next;
}
Flow in_no_window(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::uint64_t* address = warp.in(instruction.operands[1]);
  Lanes yes = 0;
  for_lanes(active, [&](int lane) {
    const std::uint64_t a = address[lane];
    const bool windowed =
        a - kSharedWindow < kWindowBytes || a - kLocalWindow < kWindowBytes || a - kParamWindow < kWindowBytes;
    yes |= Lanes{!windowed} << lane;
  });
  warp.set_predicate(instruction.operands[0], active, yes);
  return Flow::next;
}

/// Clocks count the block's steps: they grow, and that is all they say.
template <int kShift>
Flow read_clock(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::uint64_t now = warp.block.step() >> kShift;
  std::uint64_t* out = warp.out(instruction.operands[0]);
  for_lanes(active, [&](int lane) { out[lane] = now; });
  warp.block.note_poll();
  return Flow::next;
}

Flow read_explicit_cluster(Warp& warp, const Instruction& instruction, Lanes active) {
  warp.set_predicate(instruction.operands[0], active, warp.block.grid.launch.in_clusters ? kAllLanes : 0);
  return Flow::next;
}

template <std::uint64_t kWindow>
void add_space(InstructionTable& table, const std::string& space) {
  table.add("cvta." + space + ".u64", "d s", Class::move, lanewise<to_generic<kWindow>>);
  table.add("cvta.to." + space + ".u64", "d s", Class::move, lanewise<from_generic<kWindow>>);
  table.add("isspacep." + space, "p s", Class::move, in_window<kWindow>);
}

}  // namespace

void add_move_rows(InstructionTable& table) {
  table.add("mov.(b16|u16|s16|b32|u32|s32|f32|b64|u64|s64|f64)", "d s", Class::move, move);
  table.add("mov.pred", "p q", Class::move, move_predicate);
  table.add("mov.(b16|u16)", "d S2", Class::move, pack<2, 8>);
  table.add("mov.(b32|u32)", "d S2", Class::move, pack<2, 16>);
  table.add("mov.(b32|u32)", "d S4", Class::move, pack<4, 8>);
  table.add("mov.(b64|u64)", "d S2", Class::move, pack<2, 32>);
  table.add("mov.(b64|u64)", "d S4", Class::move, pack<4, 16>);
  table.add("mov.(b16|u16)", "D2 s", Class::move, unpack<2, 8>);
  table.add("mov.(b32|u32)", "D2 s", Class::move, unpack<2, 16>);
  table.add("mov.(b32|u32)", "D4 s", Class::move, unpack<4, 8>);
  table.add("mov.(b64|u64)", "D2 s", Class::move, unpack<2, 32>);
  table.add("mov.(b64|u64)", "D4 s", Class::move, unpack<4, 16>);
  table.add("mov.b128", "D2 S2", Class::move, move_both);
  add_space<kSharedWindow>(table, "shared");
  add_space<kLocalWindow>(table, "local");
  add_space<kParamWindow>(table, "param");
  table.add("cvta.(global|const).u64", "d s", Class::move, lanewise<same>);
  table.add("cvta.to.(global|const).u64", "d s", Class::move, lanewise<same>);
  table.add("isspacep.global", "p s", Class::move, in_no_window);
  table.add("mapa.(shared.u32|shared.u64|u64)", "d s s", Class::move, move);
  table.add("getctarank.(shared.u32|shared.u64|u64)", "d s", Class::move, lanewise<first_rank>);
  table.add("mov.pred.%is_explicit_cluster", "p n", Class::move, read_explicit_cluster);
  const InstructionTable::Section time(table, Target::any, Proof::unproven);
  table.add("mov.(u32|b32|u64|b64).(%clock|%clock64|%globaltimer|%globaltimer_lo)", "d n", Class::move, read_clock<0>);
  table.add("mov.(u32|b32).(%clock_hi|%globaltimer_hi)", "d n", Class::move, read_clock<32>);
}

}  // namespace moesaic::emulator
