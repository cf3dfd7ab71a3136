#include <fmt/format.h>

#include <cstring>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/tensor_map.hpp"
#include "emulator/whole_warp.hpp"

/// PTX ISA, "tensormap.replace", "tensormap.cp_fenceproxy", and fences of proxies with operands.
namespace moesaic::emulator {
namespace {

using ptx::Space;

enum class Field : std::uint16_t {
  address,
  rank,
  box,
  dim,
  stride,
  element_stride,
  type,
  interleave,
  swizzle,
  atomicity,
  fill,
};

struct NamedField {
  const char* name;
  Field field;
  std::uint32_t ordinals;  ///< values of the operand that says which dimension; 0: there is none
  const char* type;
};
constexpr NamedField kFields[] = {{"global_address", Field::address, 0, "b64"},
                                  {"rank", Field::rank, 0, "b32"},
                                  {"box_dim", Field::box, 5, "b32"},
                                  {"global_dim", Field::dim, 5, "b32"},
                                  {"global_stride", Field::stride, 4, "b64"},
                                  {"element_stride", Field::element_stride, 5, "b32"},
                                  {"elemtype", Field::type, 0, "b32"},
                                  {"interleave_layout", Field::interleave, 0, "b32"},
                                  {"swizzle_mode", Field::swizzle, 0, "b32"},
                                  {"swizzle_atomicity", Field::atomicity, 0, "b32"},
                                  {"fill_mode", Field::fill, 0, "b32"}};

/// elemtype, PTX ISA's table of new values of tensormap.replace: not the numbers of CUtensorMapDataType.
constexpr TensorType kElementTypes[] = {
    TensorType::kU8,      TensorType::kU16,        TensorType::kU32,         TensorType::kS32,
    TensorType::kU64,     TensorType::kS64,        TensorType::kF16,         TensorType::kF32,
    TensorType::kF32Ftz,  TensorType::kF64,        TensorType::kBf16,        TensorType::kTf32,
    TensorType::kTf32Ftz, TensorType::k16U4Align8, TensorType::k16U4Align16, TensorType::k16U6Align16};

/// The mode of 128 bytes with that atom: 16 bytes, 32, 32 with flipped halves, 64.
Swizzle with_atom(Swizzle swizzle, std::uint64_t atom) {
  constexpr Swizzle kAtoms[] = {Swizzle::k128, Swizzle::k128Atom32, Swizzle::k128Atom32Flip8, Swizzle::k128Atom64};
  return swizzle < Swizzle::k128 ? swizzle : kAtoms[atom];
}

std::uint64_t at_most(std::uint64_t value, std::uint64_t most, const char* what) {
  if (value > most) throw Error(fmt::format("{} {} is more than {}", what, value, most));
  return value;
}

void replace_field(TensorMap& map, Field field, std::size_t ordinal, std::uint64_t value) {
  const auto word = static_cast<std::uint32_t>(value);
  switch (field) {
    case Field::address:
      map.address = value;
      return;
    case Field::rank:
      map.rank = static_cast<int>(at_most(word, kMaxTensorRank - 1, "rank - 1")) + 1;
      return;
    case Field::box:
      map.box[ordinal] = word;
      return;
    case Field::dim:
      map.dims[ordinal] = word;
      return;
    case Field::stride:
      map.strides_bytes[ordinal + 1] = value;
      return;
    case Field::element_stride:
      map.element_strides[ordinal] = word;
      return;
    case Field::type:
      map.type = kElementTypes[at_most(word, std::size(kElementTypes) - 1, "element type")];
      return;
    case Field::interleave:
      map.interleave = static_cast<Interleave>(at_most(word, 2, "interleave layout"));
      return;
    case Field::swizzle:
      map.swizzle = static_cast<Swizzle>(at_most(word, 3, "swizzle mode"));
      return;
    case Field::atomicity:
      map.swizzle = with_atom(map.swizzle, at_most(word, 3, "swizzle atomicity"));
      return;
    case Field::fill:
      map.fill = static_cast<Fill>(at_most(word, 1, "fill mode"));
      return;
  }
}

/// tensormap.replace [map][, ordinal], value.
Flow replace(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  const NamedField& named = kFields[instruction.row->form];
  for_lanes(active, [&](int lane) {
    const std::uint64_t address = warp.in(op[0])[lane] + warp.in(op[1])[lane];
    const std::uint64_t ordinal = named.ordinals == 0 ? 0 : warp.in(op[2])[lane];
    // Two accesses of 64 bytes, because a map's address is a multiple of 64.
    std::byte* at = warp.writable(instruction, instruction.row->access.space, address, 64, lane);
    warp.writable(instruction, instruction.row->access.space, address + 64, 64, lane);
    try {
      if (named.ordinals != 0) at_most(ordinal, named.ordinals - 1, "ordinal");
      TensorMapBytes bytes;
      std::memcpy(bytes.data(), at, bytes.size());
      TensorMap map = unpack(bytes);
      replace_field(map, named.field, ordinal, warp.in(op[named.ordinals == 0 ? 2 : 3])[lane]);
      bytes = pack(map);
      std::memcpy(at, bytes.data(), bytes.size());
    } catch (const Error& error) {
      warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
                fmt::format("tensor map at {:#x}: {}", address, error.what()));
    }
  });
  warp.block.note_effect();
  return Flow::next;
}

void check_size(Warp& warp, const Instruction& instruction, std::uint64_t bytes) {
  if (bytes == kTensorMapBytes) return;
  warp.fail(Fault::Kind::invalid, instruction, kAllLanes, fmt::format("a tensor map has 128 bytes, not {}", bytes));
}

/// tensormap.cp_fenceproxy [to], [from], 128: the warp copies a map from shared to global memory.
Flow copy_map(Warp& warp, const Instruction& instruction, Lanes active) {
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  check_size(warp, instruction, warp.in(op[4])[0]);
  const std::uint64_t to = warp.in(op[0])[0] + warp.in(op[1])[0];
  const std::uint64_t from = warp.in(op[2])[0] + warp.in(op[3])[0];
  const std::byte* source = warp.access(instruction, Space::shared, from, kTensorMapBytes, 0);
  std::memcpy(warp.writable(instruction, Space::global, to, kTensorMapBytes, 0), source, kTensorMapBytes);
  warp.block.note_effect();
  return Flow::next;
}

/// fence.proxy.tensormap::generic.acquire [map], 128. It reads nothing: CUTLASS's warps that have no map acquire a null
/// one. An H200 takes any address, 64 and 128 too; another than null that lies nowhere is a fault here, since no
/// program means it.
Flow acquire_map(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    check_size(warp, instruction, warp.in(op[2])[lane]);
    const std::uint64_t address = warp.in(op[0])[lane] + warp.in(op[1])[lane];
    if (address == 0) return;
    warp.access(instruction, Space::generic, address, kTensorMapBytes, lane, Purpose::none);
  });
  return Flow::next;
}

/// What the order of the emulator's memory makes superfluous: the observer sees it.
Flow pass(Warp&, const Instruction&, Lanes) {
  return Flow::next;
}

}  // namespace

void add_tensor_map_rows(InstructionTable& table) {
  constexpr std::pair<const char*, Space> kSpaces[] = {
      {"", Space::generic}, {".global", Space::global}, {".shared", Space::shared}};
  for (std::size_t form = 0; form < std::size(kFields); ++form) {
    const NamedField& field = kFields[form];
    const bool atoms = field.field == Field::atomicity;
    const InstructionTable::Section section(table, atoms ? Target::sm_120f : Target::any,
                                            atoms ? Proof::independent : Proof::silicon);
    for (const auto& [space, where] : kSpaces) {
      table.add(std::string("tensormap.replace.tile.") + field.name + space + ".b1024." + field.type,
                field.ordinals == 0 ? "a s" : "a s s", Class::memory, replace, Access{.space = where},
                static_cast<std::uint16_t>(form));
    }
  }
  table.add("tensormap.cp_fenceproxy.global.shared.tensormap::generic.sync.aligned", "a a s", Class::copy, copy_map);
  const InstructionTable::Section order(table, Target::any, Proof::unproven);
  table.add("fence.proxy.tensormap::generic", "", Class::control, pass);
  table.add("fence.proxy.tensormap::generic", "a s", Class::control, acquire_map);
  table.add("fence[.proxy.async::generic].sync_restrict::shared::(cta|cluster)", "", Class::control, pass);
}

}  // namespace moesaic::emulator
