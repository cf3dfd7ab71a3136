#include <fmt/format.h>

#include <algorithm>

#include "emulator/block.hpp"
#include "emulator/cluster.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/mbarrier_operand.hpp"

/// PTX ISA, "Data Movement and Conversion Instructions: Asynchronous copy": cp.async.bulk, cp.reduce.async.bulk,
/// st.async, red.async and st.bulk. The instruction only checks and issues; AsyncCopies does the work, later.
namespace moesaic::emulator {
namespace {

using ptx::Space;
using Route = Copy::Route;

std::uint64_t address_of(const Warp& warp, const Slot* op, int lane) {
  return warp.in(op[0])[lane] + warp.in(op[1])[lane];
}

/// Tells the observer and takes the copy into flight.
void issue(Warp& warp, const Instruction& instruction, int lane, Copy copy) {
  copy.instruction = &instruction;
  copy.warp = warp.index;
  copy.lane = lane;
  if (Observer* observer = warp.block.observer()) {
    copy.ticket = observer->copy_issued(warp, instruction, lane, copy.completion, copy.mbarrier);
  }
  warp.block.copies().issue(std::move(copy));
}

/// The size operand of a bulk copy.
std::uint32_t bulk_bytes(Warp& warp, const Instruction& instruction, Slot slot, int lane) {
  const auto bytes = static_cast<std::uint32_t>(warp.in(slot)[lane]);
  if (bytes % 16 != 0) {
    warp.fail(Fault::Kind::misaligned, instruction, Lanes{1} << lane,
              fmt::format("{} bytes: a bulk copy moves multiples of 16", bytes));
  }
  return bytes;
}

std::uint64_t bulk_global(Warp& warp, const Instruction& instruction, const Slot* op, int lane) {
  const std::uint64_t address = address_of(warp, op, lane);
  if (address % 16 != 0) {
    warp.fail(Fault::Kind::misaligned, instruction, Lanes{1} << lane,
              fmt::format("global address {:#x} of a bulk copy is not a multiple of 16", address));
  }
  return address;
}

std::uint32_t bulk_shared(Warp& warp, const Instruction& instruction, const Slot* op, std::uint32_t bytes, int lane) {
  if (bytes == 0) return kSharedBase;
  return warp.shared_address(instruction, Space::shared, address_of(warp, op, lane), bytes, 16, lane);
}

std::uint32_t mbarrier_of(Warp& warp, const Instruction& instruction, const Slot* op, int lane) {
  return mbarrier_at(warp, instruction, op[0], op[1], lane, Space::shared).address;
}

/// [to], [from], bytes, [mbarrier][, multicast mask][, policy].
template <bool kMulticast>
Flow bulk_load(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  if (kMulticast) require_clusters(warp, instruction, active);
  for_lanes(active, [&](int lane) {
    Copy copy{.route = Route::load};
    copy.bytes = bulk_bytes(warp, instruction, op[4], lane);
    copy.global = bulk_global(warp, instruction, op + 2, lane);
    copy.shared = bulk_shared(warp, instruction, op, copy.bytes, lane);
    copy.mbarrier = mbarrier_of(warp, instruction, op + 5, lane);
    if (kMulticast) check_multicast(warp, instruction, op[7], lane);
    issue(warp, instruction, lane, std::move(copy));
  });
  return Flow::next;
}

/// The reductions of this file's rows, by Row::form - 1; 0 stands for a plain copy.
struct NamedReduction {
  const char* operation;
  const char* type;
  const char* name;  ///< as the instruction spells it
  bool to_shared;    ///< also from shared to shared memory
};
constexpr NamedReduction kReductions[] = {
    {"and", "b32", ".and.b32", true},          {"or", "b32", ".or.b32", true},
    {"xor", "b32", ".xor.b32", true},          {"add", "u32", ".add.u32", true},
    {"add", "s32", ".add.s32", true},          {"add", "u64", ".add.u64", true},
    {"inc", "u32", ".inc.u32", true},          {"dec", "u32", ".dec.u32", true},
    {"min", "u32", ".min.u32", true},          {"min", "s32", ".min.s32", true},
    {"max", "u32", ".max.u32", true},          {"max", "s32", ".max.s32", true},
    {"and", "b64", ".and.b64", false},         {"or", "b64", ".or.b64", false},
    {"xor", "b64", ".xor.b64", false},         {"min", "u64", ".min.u64", false},
    {"min", "s64", ".min.s64", false},         {"max", "u64", ".max.u64", false},
    {"max", "s64", ".max.s64", false},         {"add", "f32", ".add.f32", false},
    {"add", "f64", ".add.f64", false},         {"add", "f16", ".add.noftz.f16", false},
    {"add", "bf16", ".add.noftz.bf16", false}, {"min", "f16", ".min.f16", false},
    {"max", "f16", ".max.f16", false},         {"min", "bf16", ".min.bf16", false},
    {"max", "bf16", ".max.bf16", false}};

const Reduction* reduction_of(const Instruction& instruction) {
  const std::uint16_t form = instruction.row->form;
  return form == 0 ? nullptr : find_reduction(kReductions[form - 1].operation, kReductions[form - 1].type);
}

/// [to], [from], bytes, [mbarrier]: within the block's shared memory.
Flow bulk_move(Warp& warp, const Instruction& instruction, Lanes active) {
  require_clusters(warp, instruction, active);
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Copy copy{.route = Route::move, .reduction = reduction_of(instruction)};
    copy.bytes = bulk_bytes(warp, instruction, op[4], lane);
    copy.shared = bulk_shared(warp, instruction, op, copy.bytes, lane);
    copy.shared_source = bulk_shared(warp, instruction, op + 2, copy.bytes, lane);
    copy.mbarrier = mbarrier_of(warp, instruction, op + 5, lane);
    issue(warp, instruction, lane, std::move(copy));
  });
  return Flow::next;
}

/// [to], [from], bytes[, policy][, byte mask].
template <bool kMasked>
Flow bulk_store(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Copy copy{.route = Route::store, .reduction = reduction_of(instruction), .completion = Completion::bulk_group};
    copy.bytes = bulk_bytes(warp, instruction, op[4], lane);
    copy.global = bulk_global(warp, instruction, op, lane);
    copy.shared = bulk_shared(warp, instruction, op + 2, copy.bytes, lane);
    if (kMasked) copy.byte_mask = static_cast<std::uint16_t>(warp.in(op[6] == kNoSlot ? op[5] : op[6])[lane]);
    issue(warp, instruction, lane, std::move(copy));
  });
  return Flow::next;
}

/// [from], bytes: nothing to do but to check.
Flow bulk_prefetch(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    bulk_global(warp, instruction, op, lane);
    bulk_bytes(warp, instruction, op[2], lane);
  });
  return Flow::next;
}

/// st.async and red.async [to], value or values, [mbarrier]: Access says how many of how many bytes.
Flow store_value(Warp& warp, const Instruction& instruction, Lanes active) {
  require_clusters(warp, instruction, active);
  const Slot* op = instruction.operands;
  const Access& access = instruction.row->access;
  for_lanes(active, [&](int lane) {
    Copy copy{.route = Route::value, .reduction = reduction_of(instruction)};
    copy.bytes = std::uint32_t{access.bytes} * access.count;
    copy.shared =
        warp.shared_address(instruction, Space::shared, address_of(warp, op, lane), copy.bytes, copy.bytes, lane);
    copy.mbarrier = mbarrier_of(warp, instruction, op + 2 + access.count, lane);
    for (int i = 0; i < access.count; ++i) {
      const std::uint64_t value = warp.in(op[2 + i])[lane];
      const auto* bytes = reinterpret_cast<const std::byte*>(&value);
      copy.data.insert(copy.data.end(), bytes, bytes + access.bytes);
    }
    issue(warp, instruction, lane, std::move(copy));
  });
  return Flow::next;
}

/// st.bulk [to], bytes, 0: zeros, at once.
Flow store_bulk(Warp& warp, const Instruction& instruction, Lanes active) {
  if (warp.block.grid.options.card.major == 9) {
    warp.fail(Fault::Kind::unsupported, instruction, active, "only cards of compute capability 12.x have st.bulk");
  }
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const std::uint64_t bytes = warp.in(op[2])[lane];
    const std::uint64_t to = address_of(warp, op, lane);
    if (bytes % 8 != 0) {
      warp.fail(Fault::Kind::misaligned, instruction, Lanes{1} << lane,
                fmt::format("{} bytes: st.bulk writes multiples of 8", bytes));
    }
    for (std::uint64_t at = 0; at < bytes; at += 8) {
      std::byte* out = warp.writable(instruction, instruction.row->access.space, to + at, 8, lane);
      std::fill_n(out, 8, std::byte{0});
    }
  });
  warp.block.note_effect();
  return Flow::next;
}

void add_reductions(InstructionTable& table) {
  std::uint16_t form = 0;
  for (const NamedReduction& reduction : kReductions) {
    ++form;
    const std::string name = reduction.name;
    table.add("cp.reduce.async.bulk.global.shared.bulk_group" + name, "a a s s?", Class::copy, bulk_store<false>, {},
              form);
    if (!reduction.to_shared) continue;
    table.add("cp.reduce.async.bulk.shared.shared.mbarrier::complete_tx::bytes" + name, "a a s a", Class::copy,
              bulk_move, {}, form);
    const Access access{Space::shared, static_cast<std::uint8_t>(name.ends_with("64") ? 8 : 4), 1};
    table.add("red.async.shared.mbarrier::complete_tx::bytes" + name, "a s a", Class::copy, store_value, access, form);
  }
}

}  // namespace

void add_copy_rows(InstructionTable& table) {
  const std::string load = "cp.async.bulk.shared.global.mbarrier::complete_tx::bytes";
  table.add(load, "a a s a s?", Class::copy, bulk_load<false>);
  table.add(load + ".multicast::cluster", "a a s a s s?", Class::copy, bulk_load<true>);
  table.add("cp.async.bulk.shared.shared.mbarrier::complete_tx::bytes", "a a s a", Class::copy, bulk_move);
  table.add("cp.async.bulk.global.shared.bulk_group", "a a s s?", Class::copy, bulk_store<false>);
  table.add("cp.async.bulk.prefetch.L2.global", "a s s?", Class::copy, bulk_prefetch);
  for (const int count : {1, 2, 4}) {
    for (const char* type : {"b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"}) {
      const bool wide = std::string_view(type).ends_with("64");
      if (wide && count == 4) continue;
      const std::string vector = count == 1 ? "" : ".v" + std::to_string(count);
      const Access access{Space::shared, static_cast<std::uint8_t>(wide ? 8 : 4), static_cast<std::uint8_t>(count)};
      table.add("st.async.shared.mbarrier::complete_tx::bytes" + vector + "." + type,
                count == 1 ? "a s a" : "a S" + std::to_string(count) + " a", Class::copy, store_value, access);
    }
  }
  add_reductions(table);
  const InstructionTable::Section twelve(table, Target::sm_120f, Proof::independent);
  table.add("cp.async.bulk.global.shared.bulk_group.cp_mask", "a a s s s?", Class::copy, bulk_store<true>);
  table.add("st.bulk", "a s s", Class::copy, store_bulk, Access{.space = Space::generic});
  table.add("st.bulk.shared", "a s s", Class::copy, store_bulk, Access{.space = Space::shared});
}

}  // namespace moesaic::emulator
