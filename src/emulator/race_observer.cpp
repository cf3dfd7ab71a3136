#include "emulator/race_observer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "emulator/block.hpp"
#include "emulator/card_observer.hpp"

/// The accesses of a block's threads and of the operations that they issue.
namespace moesaic::emulator {
namespace {

constexpr std::uint32_t kMbarrierBytes = 8;

std::string describe_access(const Record& record) {
  const bool reads = (record.flags & Record::kReads) != 0;
  std::string text = record.writes() ? (reads ? "updates" : "writes") : "reads";
  if (record.is_operation()) text = record.is_async() ? "asynchronously " + text : text + " later";
  return text;
}

/// Not as part of an atomic or of a reduction.
bool is_plain_write(const Record& record) {
  return record.writes() && (record.flags & Record::kReads) == 0;
}

std::string_view name_of_space(ptx::Space space) {
  return space == ptx::Space::shared ? "shared" : "global";
}

}  // namespace

RaceObserver::RaceObserver(Block& block)
    : block_(block),
      grid_(*block.grid.observer),
      key_(block_key(grid_.number(), static_cast<std::uint32_t>(block.index))),
      next_agent_((block.thread_count() + kWarpLanes - 1) / kWarpLanes * kWarpLanes),
      warps_(next_agent_ / kWarpLanes),
      shared_((block.shared_end() - kSharedBase + Cell::kBytes - 1) / Cell::kBytes),
      barriers_(Block::kBarriers, Gathering(key_)),
      cluster_(key_) {}

Agent RaceObserver::thread_of(const Warp& warp, int lane) {
  return static_cast<Agent>(warp.index * kWarpLanes + lane);
}

RaceObserver::WarpState& RaceObserver::state_of(const Warp& warp) {
  return warps_[static_cast<std::size_t>(warp.index)];
}

Moment RaceObserver::moment_of(const Warp& warp, int lane) {
  const WarpState& state = state_of(warp);
  const Lane& of_lane = state.lanes[static_cast<std::size_t>(lane)];
  Moment moment{.knowledge = of_lane.knowledge, .own = of_lane.own, .agent = thread_of(warp, lane)};
  moment.own[0] = state.now;
  return moment;
}

Record RaceObserver::record_of(const Warp& warp, int lane, std::uint32_t pc) const {
  return Record{.warp = static_cast<std::uint8_t>(warp.index),
                .lanes = Lanes{1} << lane,
                .epoch = warps_[static_cast<std::size_t>(warp.index)].now,
                .agent = static_cast<Agent>(warp.index * kWarpLanes),
                .block = static_cast<std::uint32_t>(block_.index),
                .grid = grid_.number(),
                .pc = pc};
}

void RaceObserver::touch(Warp& warp, const Instruction& instruction, const Traits& traits, ptx::Space space,
                         std::uint64_t address, std::uint32_t bytes, int lane, Purpose purpose) {
  if (space != ptx::Space::shared && space != ptx::Space::global) return;
  const Location at{space, address};
  const WarpState& state = state_of(warp);
  const Lane& of_lane = state.lanes[static_cast<std::size_t>(lane)];
  Access16 access{.record = record_of(warp, lane, grid_.pc_of(instruction)),
                  .knowledge = of_lane.knowledge.get(),
                  .own = of_lane.own,
                  .thread = thread_of(warp, lane)};
  access.own[0] = state.now;
  if (purpose == Purpose::tensor_map) {
    access.record.flags = Record::kReads;
    check_map(at, bytes, access);
    return;
  }
  const bool atomic = purpose == Purpose::atomic || traits.travel == Travel::atomic;
  const bool strong = atomic || traits.is_strong();
  const Scope scope = !strong ? Scope::none : traits.scope == Scope::none ? Scope::gpu : traits.scope;
  access.record.flags = static_cast<std::uint8_t>(static_cast<unsigned>(scope) << Record::kScopeShift);
  if (purpose != Purpose::read) access.record.flags |= Record::kWrites;
  if (purpose == Purpose::read || atomic) access.record.flags |= Record::kReads;
  if (space == ptx::Space::shared) {
    check_mbarrier_bytes(warp, lane, static_cast<std::uint32_t>(address), bytes, instruction);
  }
  if (strong && purpose != Purpose::read) release(warp, lane, at, traits);
  if (strong && (purpose == Purpose::read || atomic)) to_acquire_.emplace_back(at, lane);
  add(at, bytes, access);
}

template <typename Visit>
void RaceObserver::for_cells(Location at, std::uint32_t bytes, Visit&& visit) {
  if (at.space == ptx::Space::global) {
    grid_.card().history().for_cells(at.address, bytes, visit);
    return;
  }
  split_at_cells(at.address, bytes, [&](std::uint64_t cell, std::uint16_t mask) {
    visit(shared_[(cell - kSharedBase) / Cell::kBytes], cell, mask);
  });
}

void RaceObserver::add(Location at, std::uint32_t bytes, Access16& access) {
  for_cells(at, bytes, [&](Cell& cell, std::uint64_t address, std::uint16_t mask) {
    access.record.bytes = mask;
    cell.add(
        access, [&](std::uint32_t grid) { return grid_.standing(grid); },
        [&](const Record& earlier, Conflict conflict) {
          const auto both = static_cast<std::uint16_t>(earlier.bytes & mask);
          if (conflict == Conflict::race && is_plain_write(earlier) && is_plain_write(access.record)) {
            const Location here{at.space, address};
            second_writes_.push_back({earlier, access, here, both, bytes_of(here, both)});
            return;
          }
          const int first = std::countr_zero(both);
          report(earlier, access, conflict, Location{at.space, address + static_cast<std::uint64_t>(first)});
        });
  });
}

/// The tensor-map proxy reads a map. What this grid wrote there must have been released to it and acquired, by a fence
/// that comes before.
void RaceObserver::check_map(Location at, std::uint32_t bytes, Access16& access) {
  const auto fences = map_fences_.find(at.address / kMapAlignment);
  const auto is_acquired = [&](const Record& earlier) {
    if (fences == map_fences_.end()) return false;
    return std::any_of(fences->second.begin(), fences->second.end(), [&](const MapFence& fence) {
      const Record by{.lanes = Lanes{1} << (fence.moment.agent % kWarpLanes),
                      .epoch = fence.moment.own[0],
                      .agent = fence.moment.agent / kWarpLanes * kWarpLanes,
                      .block = access.record.block,
                      .grid = access.record.grid};
      Access16 acquired = access;
      acquired.knowledge = fence.moment.knowledge.get();
      acquired.own = fence.moment.own;
      acquired.thread = fence.moment.agent;
      return is_ordered(by, access, View::generic) && is_ordered(earlier, acquired, View::tensor_map);
    });
  };
  for_cells(at, bytes, [&](Cell& cell, std::uint64_t address, std::uint16_t mask) {
    for (const Record& earlier : cell.records()) {
      if ((earlier.bytes & mask) == 0 || !earlier.writes()) continue;
      const bool same_grid = earlier.grid == access.record.grid;
      const GridOrder standing = same_grid ? GridOrder::unordered : grid_.standing(earlier.grid);
      const bool waited = standing == GridOrder::prerequisite && access.knowledge->prerequisites;
      if (standing == GridOrder::before || waited || !is_ordered(earlier, access, View::generic)) continue;
      if (is_acquired(earlier)) continue;
      Access16 found = access;
      found.view = View::tensor_map;
      report(earlier, found, Conflict::missing_proxy_fence, Location{at.space, address});
    }
  });
  add(at, bytes, access);
}

/// PTX ISA, "mbarrier object": only mbarrier instructions may touch one while it lives.
void RaceObserver::check_mbarrier_bytes(const Warp& warp, int lane, std::uint32_t address, std::uint32_t bytes,
                                        const Instruction& instruction) {
  for (const BarrierState& barrier : mbarriers_) {
    if (address >= barrier.address + kMbarrierBytes || barrier.address >= address + bytes) continue;
    grid_.report(
        Finding::Kind::mbarrier_overwritten, grid_.party(instruction, block_.index, warp.index, Lanes{1} << lane), {},
        fmt::format("an ordinary access to {} bytes at {:#x} of shared memory, where an mbarrier lives at {:#x}", bytes,
                    address, barrier.address));
  }
}

void RaceObserver::report(const Record& earlier, const Access16& access, Conflict conflict, Location at) {
  const Checks& checks = grid_.checks();
  const bool is_map = access.view == View::tensor_map;
  Finding::Kind kind = Finding::Kind::race;
  bool wanted = checks.races;
  std::string what = "and nothing orders the two accesses";
  if (conflict == Conflict::early) {
    kind = Finding::Kind::early_read;
    wanted = checks.early_reads;
    what = "and one of the two grids waits for the other, but not before this (griddepcontrol.wait)";
  } else if (conflict == Conflict::missing_proxy_fence) {
    kind = is_map ? Finding::Kind::tensormap_race : Finding::Kind::proxy_race;
    wanted = checks.proxies;
    what = is_map ? "as a tensor map, without fence.proxy.tensormap::generic after the change: .release by who changed "
                    "it and .acquire, for this address, by who uses it"
                  : "the two are ordered, but no fence.proxy.async between them makes the first visible to the second";
  }
  if (!wanted) return;
  const GridObserver* other_grid = earlier.grid == grid_.number() ? &grid_ : grid_.card().find(earlier.grid);
  Finding::Party other;
  if (other_grid != nullptr) {
    other = other_grid->party(other_grid->grid().program.code[earlier.pc], earlier.block, earlier.warp, earlier.lanes);
    other.access = describe_access(earlier);
  }
  Finding::Party where =
      grid_.party(block_.grid.program.code[access.record.pc], block_.index, access.record.warp, access.record.lanes);
  where.access = describe_access(access.record);
  const std::string text =
      fmt::format("it {} {} memory at {:#x}, {}", where.access, name_of_space(at.space), at.address, what);
  grid_.report(kind, std::move(where), std::move(other), text);
}

std::array<std::byte, Cell::kBytes> RaceObserver::bytes_of(Location cell, std::uint16_t which) const {
  std::array<std::byte, Cell::kBytes> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint64_t address = cell.address + i;
    if ((which >> i & 1U) == 0) continue;
    if (cell.space == ptx::Space::shared) {
      bytes[i] = *block_.shared(static_cast<std::uint32_t>(address));
    } else if (const GlobalMemory::Allocation* found = block_.grid.memory.find(address, 1)) {
      bytes[i] = *found->at(address);
    }
  }
  return bytes;
}

void RaceObserver::check_second_writes() {
  for (const SecondWrite& write : second_writes_) {
    if (bytes_of(write.cell, write.bytes) == write.before) continue;
    const auto first = static_cast<std::uint64_t>(std::countr_zero(write.bytes));
    report(write.earlier, write.access, Conflict::race, {write.cell.space, write.cell.address + first});
  }
  second_writes_.clear();
}

void RaceObserver::end(Warp& warp, const Instruction& instruction, const Traits& traits, Lanes active) {
  check_second_writes();
  for (const auto& [at, lane] : to_acquire_) acquire(warp, lane, at, traits);
  to_acquire_.clear();
  if (traits.fence != Fence::none && active != 0) fence(warp, instruction, traits, active);
}

}  // namespace moesaic::emulator
