#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "emulator/block.hpp"
#include "emulator/cluster.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/mbarrier_operand.hpp"

/// PTX ISA, "cp.async.bulk.tensor", "cp.reduce.async.bulk.tensor" and their prefetch: tile mode, and the gather of four
/// rows. The map is read when the instruction issues.
namespace moesaic::emulator {
namespace {

using ptx::Space;

constexpr const char* kOperations[] = {"add", "min", "max", "inc", "dec", "and", "or", "xor"};
constexpr std::uint16_t kGather = 16;

/// Row::form: the rank, and for reductions 32 times (the operation + 1).
int rank_of(const Instruction& instruction) {
  return instruction.row->form % 16;
}

TensorMapBytes read_map(Warp& warp, const Instruction& instruction, std::uint64_t address, int lane) {
  TensorMapBytes bytes;
  // Two accesses of 64 bytes, because a map's address is a multiple of 64.
  for (std::size_t half = 0; half < 2; ++half) {
    const std::byte* from =
        warp.access(instruction, Space::generic, address + 64 * half, 64, lane, Purpose::tensor_map);
    std::memcpy(bytes.data() + 64 * half, from, 64);
  }
  return bytes;
}

/// The boxes that operand t (slots from `op`) names. Throws Fault when the map cannot be used for them.
Boxes boxes_of(Warp& warp, const Instruction& instruction, const Slot* op, int lane) {
  const std::uint64_t address = warp.in(op[0])[lane] + warp.in(op[1])[lane];
  const auto coordinate = [&](std::size_t i) { return static_cast<std::int32_t>(warp.in(op[2 + i])[lane]); };
  const bool gathers = (instruction.row->form & kGather) != 0;
  const auto rank = static_cast<std::size_t>(rank_of(instruction));
  const TensorMapBytes bytes = read_map(warp, instruction, address, lane);
  Boxes boxes;
  try {
    boxes.map = unpack(bytes);
    check_usable(boxes.map, static_cast<int>(rank));
    if (gathers && boxes.map.box[1] != 1) throw Error("tensor map: a gather of rows needs a box of one row");
    check_start(boxes.map, coordinate(0));
  } catch (const Error& error) {
    warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
              fmt::format("tensor map at {:#x}: {}", address, error.what()));
  }
  boxes.count = gathers ? 4 : 1;
  for (std::size_t i = 0; i < boxes.count; ++i) {
    for (std::size_t d = 0; d < rank; ++d) boxes.starts[i][d] = coordinate(gathers && d == 1 ? 1 + i : d);
  }
  return boxes;
}

std::size_t coordinates(const Instruction& instruction) {
  return (instruction.row->form & kGather) != 0 ? 5 : static_cast<std::size_t>(rank_of(instruction));
}

std::uint32_t shared_of(Warp& warp, const Instruction& instruction, const Boxes& boxes, const Slot* op, int lane) {
  const std::uint32_t bytes = box_span(boxes.map) * static_cast<std::uint32_t>(boxes.count);
  return warp.shared_address(instruction, Space::shared, warp.in(op[0])[lane] + warp.in(op[1])[lane], bytes, 128, lane);
}

void issue(Warp& warp, const Instruction& instruction, int lane, Copy copy, Boxes boxes) {
  copy.boxes = std::make_unique<const Boxes>(boxes);
  copy.instruction = &instruction;
  copy.warp = warp.index;
  copy.lane = lane;
  if (Observer* observer = warp.block.observer()) {
    copy.ticket = observer->copy_issued(warp, instruction, lane, copy.completion, copy.mbarrier);
  }
  warp.block.copies().issue(std::move(copy));
}

/// [to], [map, {coordinates}], [mbarrier][, multicast mask][, policy].
template <bool kMulticast>
Flow tensor_load(Warp& warp, const Instruction& instruction, Lanes active) {
  if ((instruction.row->form & kGather) != 0 && warp.block.grid.options.card.major == 9) {
    warp.fail(Fault::Kind::unsupported, instruction, active, "only cards of compute capability 12.x gather rows");
  }
  if (kMulticast) require_clusters(warp, instruction, active);
  const Slot* op = instruction.operands;
  const Slot* after = op + 4 + coordinates(instruction);
  for_lanes(active, [&](int lane) {
    const Boxes boxes = boxes_of(warp, instruction, op + 2, lane);
    Copy copy{.route = Copy::Route::load, .shared = shared_of(warp, instruction, boxes, op, lane)};
    copy.mbarrier = mbarrier_at(warp, instruction, after[0], after[1], lane, Space::shared).address;
    if (kMulticast) check_multicast(warp, instruction, after[2], lane);
    issue(warp, instruction, lane, std::move(copy), boxes);
  });
  return Flow::next;
}

/// The type name under which find_reduction knows the elements of a map.
const char* element_type(TensorType type, std::string_view operation) {
  const bool bits = operation == "and" || operation == "or" || operation == "xor";
  switch (type) {
    case TensorType::kU32:
      return bits ? "b32" : "u32";
    case TensorType::kS32:
      return bits ? "b32" : "s32";
    case TensorType::kU64:
      return bits ? "b64" : "u64";
    case TensorType::kS64:
      return bits ? "b64" : "s64";
    case TensorType::kF16:
      return "f16";
    case TensorType::kBf16:
      return "bf16";
    case TensorType::kF32:
    case TensorType::kF32Ftz:
      return "f32";
    case TensorType::kF64:
      return "f64";
    default:
      return "";
  }
}

const Reduction* reduction_of(Warp& warp, const Instruction& instruction, const TensorMap& map, int lane) {
  const int number = instruction.row->form / 32;
  if (number == 0) return nullptr;
  const char* operation = kOperations[number - 1];
  const Reduction* reduction = find_reduction(operation, element_type(map.type, operation));
  if (reduction == nullptr) {
    warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
              fmt::format("there is no .{} for elements of data type {}", operation, static_cast<int>(map.type)));
  }
  return reduction;
}

/// [map, {coordinates}], [from][, policy].
Flow tensor_store(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const Boxes boxes = boxes_of(warp, instruction, op, lane);
    if (has_gaps(boxes.map.type)) {
      warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
                "elements that have gaps in shared memory can only be loaded");
    }
    const auto begins_before = [](std::int32_t coordinate) { return coordinate < 0; };
    if (std::any_of(boxes.starts[0].begin(), boxes.starts[0].end(), begins_before)) {
      // The PTX ISA does not say so; an H200 stops with an illegal instruction.
      warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
                "a box that is stored begins before its tensor; only loads may");
    }
    Copy copy{.route = Copy::Route::store,
              .shared = shared_of(warp, instruction, boxes, op + 2 + rank_of(instruction), lane),
              .reduction = reduction_of(warp, instruction, boxes.map, lane),
              .completion = Completion::bulk_group};
    issue(warp, instruction, lane, std::move(copy), boxes);
  });
  return Flow::next;
}

/// [map, {coordinates}]: nothing to do but to check.
Flow tensor_prefetch(Warp& warp, const Instruction& instruction, Lanes active) {
  for_lanes(active, [&](int lane) { boxes_of(warp, instruction, instruction.operands, lane); });
  return Flow::next;
}

void add_rank(InstructionTable& table, std::uint16_t rank) {
  const std::string n = std::to_string(rank);
  const std::string place = "t" + n;
  const std::string load = "cp.async.bulk.tensor." + n + "d.shared.global.mbarrier::complete_tx::bytes";
  table.add(load, "a " + place + " a s?", Class::copy, tensor_load<false>, {}, rank);
  table.add(load + ".multicast::cluster", "a " + place + " a s s?", Class::copy, tensor_load<true>, {}, rank);
  table.add("cp.async.bulk.tensor." + n + "d.global.shared.bulk_group", place + " a s?", Class::copy, tensor_store, {},
            rank);
  table.add("cp.async.bulk.prefetch.tensor." + n + "d.L2.global", place + " s?", Class::copy, tensor_prefetch, {},
            rank);
  for (std::size_t i = 0; i < std::size(kOperations); ++i) {
    table.add("cp.reduce.async.bulk.tensor." + n + "d.global.shared." + kOperations[i] + ".bulk_group", place + " a s?",
              Class::copy, tensor_store, {}, static_cast<std::uint16_t>(rank + 32 * (i + 1)));
  }
}

}  // namespace

void add_tensor_copy_rows(InstructionTable& table) {
  for (std::uint16_t rank = 1; rank <= kMaxTensorRank; ++rank) add_rank(table, rank);
  const InstructionTable::Section gathers(table, Target::sm_120f, Proof::independent);
  table.add("cp.async.bulk.tensor.2d.shared.global.tile::gather4.mbarrier::complete_tx::bytes", "a t5 a s?",
            Class::copy, tensor_load<false>, {}, 2 | kGather);
}

}  // namespace moesaic::emulator
