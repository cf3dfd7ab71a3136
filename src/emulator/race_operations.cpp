#include <algorithm>

#include "emulator/block.hpp"
#include "emulator/grid_observer.hpp"
#include "emulator/race_observer.hpp"

/// Asynchronous operations and the groups that they complete in.
namespace moesaic::emulator {

RaceObserver::Groups& RaceObserver::groups_of(const Warp& warp, int lane, Completion completion) {
  const std::uint64_t key = std::uint64_t{thread_of(warp, lane)} << 8 | static_cast<std::uint64_t>(completion);
  const auto [at, fresh] = groups_.try_emplace(key);
  if (fresh) {
    at->second.reads = new_agent();
    at->second.writes = new_agent();
  }
  return at->second;
}

void RaceObserver::copy_issued(Ticket ticket, Warp& warp, const Instruction& instruction, int lane,
                               Completion completion, std::uint32_t mbarrier) {
  Operation operation{.issued = moment_of(warp, lane),
                      .completion = completion,
                      .mbarrier = mbarrier,
                      .record = record_of(warp, lane, grid_.pc_of(instruction))};
  if (completion == Completion::mbarrier) {
    if (BarrierState* barrier = find_barrier(mbarrier)) {
      check_initialised(warp, lane, *barrier, true);
      operation.reads = operation.writes = barrier->agent;
    }
  } else {
    Groups& groups = groups_of(warp, lane, completion);
    operation.reads = groups.reads;
    operation.writes = groups.writes;
    operation.sequence = ++groups.issued;
  }
  ++state_of(warp).now;  // what the lane does from here on does not come before the operation
  if (operations_.size() <= ticket) operations_.resize(ticket + 1);
  operations_[ticket] = std::move(operation);
}

Access16 RaceObserver::access_of(const Operation& operation, Location at, bool writes) {
  Access16 access{.record = operation.record,
                  .knowledge = operation.issued.knowledge.get(),
                  .own = operation.issued.own,
                  .thread = operation.issued.agent,
                  .view = at.space == ptx::Space::shared ? View::async_shared : View::async_global};
  access.record.agent = writes ? operation.writes : operation.reads;
  access.record.epoch = operation.sequence;
  if (operation.completion == Completion::mbarrier) {
    // It completes in the phase that its mbarrier is in.
    const BarrierState* state = find_barrier(operation.mbarrier);
    const Mbarrier* barrier = block_.find_mbarrier(operation.mbarrier);
    if (state != nullptr && barrier != nullptr) {
      access.record.epoch = state->before + static_cast<Epoch>(barrier->phase) + 1;
    }
  }
  access.record.flags = Record::kOperation;
  if (operation.completion != Completion::group) access.record.flags |= Record::kAsync;
  return access;
}

void RaceObserver::copy_reads(Ticket ticket, Location from, std::uint32_t bytes) {
  if (bytes == 0) return;
  Access16 access = access_of(operations_[ticket], from, false);
  access.record.flags |= Record::kReads;
  if (from.space == ptx::Space::shared) last_in_shared_[access.record.agent] = access.record;
  add(from, bytes, access);
}

void RaceObserver::copy_writes(Ticket ticket, Location to, std::uint32_t bytes, bool reduces) {
  if (bytes == 0) return;
  Access16 access = access_of(operations_[ticket], to, true);
  access.record.flags |= Record::kWrites;
  if (reduces) {
    // PTX ISA, cp.reduce.async.bulk: each element is reduced with .relaxed.gpu semantics.
    access.record.flags |= Record::kReads;
    access.record.flags |= static_cast<std::uint8_t>(static_cast<unsigned>(Scope::gpu) << Record::kScopeShift);
  }
  if (to.space == ptx::Space::shared) last_in_shared_[access.record.agent] = access.record;
  add(to, bytes, access);
}

/// Shared memory is gone when the last thread has exited: some thread must have seen the end of every bulk operation
/// on it before it exits.
void RaceObserver::finished() {
  for (const auto& [agent, last] : last_in_shared_) {
    if (!last.is_async()) continue;
    const bool is_known = std::any_of(warps_.begin(), warps_.end(), [&, &known = last](const WarpState& warp) {
      return std::any_of(warp.lanes.begin(), warp.lanes.end(), [&](const Lane& lane) {
        return is_ordered(known, Access16{.record = {}, .knowledge = lane.knowledge.get()}, View::generic);
      });
    });
    if (is_known) continue;
    grid_.report(Finding::Kind::unfinished_copy,
                 grid_.party(block_.grid.program.code[last.pc], block_.index, last.warp, last.lanes), {},
                 "all threads of the block exit, and none has waited until this is done with shared memory");
  }
}

void RaceObserver::copy_done(Ticket ticket) {
  check_second_writes();
  operations_[ticket].issued = Moment{};
}

void RaceObserver::group_committed(const Warp& warp, Lanes lanes, Completion completion) {
  for_lanes(lanes, [&](int lane) {
    Groups& groups = groups_of(warp, lane, completion);
    groups.committed.push_back(groups.issued);
  });
}

void RaceObserver::know_times(const Warp& warp, int lane, const Groups& groups, Epoch done, bool only_read) {
  if (done == 0) return;
  Gathering gathering(key_);
  gathering.add_time(groups.reads, Epochs{done});
  if (!only_read) gathering.add_time(groups.writes, Epochs{done});
  know(warp, lane, gathering.knowledge());
}

void RaceObserver::group_waited(const Warp& warp, Lanes lanes, Completion completion, std::uint64_t pending,
                                bool only_read) {
  for_lanes(lanes, [&](int lane) {
    const Groups& groups = groups_of(warp, lane, completion);
    if (groups.committed.size() <= pending) return;
    const Epoch done = groups.committed[groups.committed.size() - 1 - static_cast<std::size_t>(pending)];
    know_times(warp, lane, groups, done, only_read);
  });
}

void RaceObserver::all_waited(const Warp& warp, Lanes lanes) {
  for_lanes(lanes, [&](int lane) {
    const Groups& groups = groups_of(warp, lane, Completion::group);
    know_times(warp, lane, groups, groups.issued, false);
  });
}

void RaceObserver::copies_will_arrive(Warp& warp, int lane, const Mbarrier& barrier) {
  BarrierState* state = find_barrier(barrier.address);
  if (state == nullptr) return;
  check_initialised(warp, lane, *state, false);
  const Groups& groups = groups_of(warp, lane, Completion::group);
  state->gathering.add_time(groups.reads, Epochs{groups.issued});
  state->gathering.add_time(groups.writes, Epochs{groups.issued});
}

}  // namespace moesaic::emulator
