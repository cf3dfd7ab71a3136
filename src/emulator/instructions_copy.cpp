#include <fmt/format.h>

#include <cstring>

#include "emulator/block.hpp"

/// PTX ISA, "Data Movement and Conversion Instructions: Asynchronous copy": bulk copies into shared memory. The
/// instruction only checks and issues; Block::complete copies, later.
namespace moesaic::emulator {
namespace {

using ptx::Space;

std::uint32_t mbarrier_of(Warp& warp, const Instruction& instruction, std::uint64_t address, int lane) {
  const std::uint32_t at = warp.shared_address(instruction, Space::shared, address, 8, 8, lane);
  if (warp.block.find_mbarrier(at) == nullptr) {
    warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane, fmt::format("there is no mbarrier at {:#x}", at));
  }
  return at;
}

/// cp.async.bulk [to], [from], bytes, [mbarrier].
Flow bulk_copy(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    const auto bytes = static_cast<std::uint32_t>(warp.in(op[4])[lane]);
    const std::uint64_t from = warp.in(op[2])[lane] + warp.in(op[3])[lane];
    if (bytes % 16 != 0 || from % 16 != 0) {
      warp.fail(Fault::Kind::misaligned, instruction, Lanes{1} << lane,
                fmt::format("{} bytes from {:#x}: both must be multiples of 16", bytes, from));
    }
    Copy copy{.from = from, .bytes = bytes, .instruction = &instruction, .warp = warp.index, .lane = lane};
    if (bytes != 0) {
      copy.to =
          warp.shared_address(instruction, Space::shared, warp.in(op[0])[lane] + warp.in(op[1])[lane], bytes, 16, lane);
    }
    copy.mbarrier = mbarrier_of(warp, instruction, warp.in(op[5])[lane] + warp.in(op[6])[lane], lane);
    if (Observer* observer = warp.block.observer()) {
      copy.ticket = observer->copy_issued(warp, instruction, lane, Completion::mbarrier, copy.mbarrier);
    }
    warp.block.issue(copy);
  });
  return Flow::next;
}

TensorMap read_map(Warp& warp, const Instruction& instruction, std::uint64_t address, int rank, int lane) {
  TensorMapBytes bytes;
  // Two accesses of 64 bytes, because a map's address is a multiple of 64.
  for (std::size_t half = 0; half < 2; ++half) {
    const std::byte* from =
        warp.access(instruction, Space::generic, address + 64 * half, 64, lane, Purpose::tensor_map);
    std::memcpy(bytes.data() + 64 * half, from, 64);
  }
  try {
    const TensorMap map = unpack(bytes);
    check_usable(map, rank);
    return map;
  } catch (const Error& error) {
    warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
              fmt::format("tensor map at {:#x}: {}", address, error.what()));
  }
}

/// cp.async.bulk.tensor [to], [map, {coordinates}], [mbarrier].
template <int kRank>
Flow tensor_copy(Warp& warp, const Instruction& instruction, Lanes active) {
  const Slot* op = instruction.operands;
  for_lanes(active, [&](int lane) {
    Copy copy{.instruction = &instruction, .warp = warp.index, .lane = lane};
    copy.map = read_map(warp, instruction, warp.in(op[2])[lane] + warp.in(op[3])[lane], kRank, lane);
    for (std::size_t d = 0; d < kRank; ++d) copy.start[d] = static_cast<std::int32_t>(warp.in(op[4 + d])[lane]);
    const std::int64_t start_bits = std::int64_t{copy.start[0]} * element_bits(copy.map->type);
    if (start_bits % 128 != 0) {
      // The PTX ISA does not say so; an H200 stops with an illegal instruction.
      warp.fail(
          Fault::Kind::invalid, instruction, Lanes{1} << lane,
          fmt::format("the box starts at element {} of its rows, which is no multiple of 16 bytes", copy.start[0]));
    }
    const std::uint32_t span = box_rows(*copy.map) * row_pitch(*copy.map);
    copy.to =
        warp.shared_address(instruction, Space::shared, warp.in(op[0])[lane] + warp.in(op[1])[lane], span, 128, lane);
    copy.mbarrier = mbarrier_of(warp, instruction, warp.in(op[4 + kRank])[lane] + warp.in(op[5 + kRank])[lane], lane);
    if (Observer* observer = warp.block.observer()) {
      copy.ticket = observer->copy_issued(warp, instruction, lane, Completion::mbarrier, copy.mbarrier);
    }
    warp.block.issue(copy);
  });
  return Flow::next;
}

template <int kRank>
void add_rank(InstructionTable& table) {
  const std::string n = std::to_string(kRank);
  table.add("cp.async.bulk.tensor." + n + "d.shared.global.mbarrier::complete_tx::bytes", "a t" + n + " a s?",
            Class::copy, tensor_copy<kRank>);
}

}  // namespace

void add_copy_rows(InstructionTable& table) {
  table.add("cp.async.bulk.shared.global.mbarrier::complete_tx::bytes", "a a s a s?", Class::copy, bulk_copy);
  add_rank<1>(table);
  add_rank<2>(table);
  add_rank<3>(table);
  add_rank<4>(table);
  add_rank<5>(table);
}

}  // namespace moesaic::emulator
