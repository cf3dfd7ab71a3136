#include "emulator/block.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

namespace moesaic::emulator {
namespace {

constexpr std::uint32_t kQuantum = 64;           // most instructions of a warp before another is chosen
constexpr std::uint64_t kStallSteps = 5'000;     // without an effect: let other blocks run
constexpr std::uint32_t kTimeOutOdds = 64;       // one of so many turns ends a wait for a phase early
constexpr std::uint32_t kVainRounds = 1U << 15;  // of waits that all time out, until no one is believed to come
constexpr std::uint64_t kLaunchStride = 0x9e3779b97f4a7c15U;

/// A generator for one block of one launch, independent of the others.
Random random_of(const Grid& grid, std::uint64_t index) {
  Random mixed(grid.options.seed + kLaunchStride * grid.number);
  return Random(mixed.next() ^ Random(index).next());
}

}  // namespace

Block::Block(const Grid& grid_of_block, std::uint64_t linear_index, int sm_of_block)
    : grid(grid_of_block),
      index(linear_index),
      sm(sm_of_block),
      threads_(static_cast<std::uint32_t>(grid.launch.block.count())),
      shared_bytes_(std::size_t{grid.program.static_shared_bytes} + grid.launch.dynamic_shared_bytes),
      shared_(std::make_unique<std::byte[]>(shared_bytes_)),
      local_bytes_(grid.program.local_bytes),
      local_(std::size_t{local_bytes_} * threads_, GlobalMemory::kPoison),
      observer_(grid.observer != nullptr ? std::make_unique<Observer>(*this) : nullptr),
      random_(random_of(grid, linear_index)) {
  std::fill_n(shared_.get(), shared_bytes_, GlobalMemory::kPoison);
  cluster_.resize((threads_ + kWarpLanes - 1) / kWarpLanes);
  for (std::uint32_t first = 0; first < threads_; first += kWarpLanes) {
    const std::uint32_t lanes = std::min<std::uint32_t>(kWarpLanes, threads_ - first);
    warps_.push_back(std::make_unique<Warp>(*this, static_cast<int>(first / kWarpLanes), kAllLanes >> (32 - lanes)));
  }
}

std::byte* Block::local(int thread, std::uint64_t offset) {
  return &local_[static_cast<std::size_t>(thread) * local_bytes_ + offset];
}

void Block::grow_local(std::uint32_t bytes) {
  std::vector<std::byte> grown(std::size_t{bytes} * threads_, GlobalMemory::kPoison);
  for (std::size_t thread = 0; thread < threads_; ++thread) {
    std::copy_n(local_.begin() + static_cast<std::ptrdiff_t>(thread * local_bytes_), local_bytes_,
                grown.begin() + static_cast<std::ptrdiff_t>(thread * bytes));
  }
  if (observer_ != nullptr) observer_->local_grows(local_bytes_, bytes);
  local_ = std::move(grown);
  local_bytes_ = bytes;
}

void Block::copy_local(int thread, std::uint64_t to, std::uint64_t from, std::uint32_t bytes) {
  std::memmove(local(thread, to), local(thread, from), bytes);
}

void Block::print(const std::string& text) const {
  // Several host threads print; a line of one thread of the card stays whole.
  static std::mutex printing;
  const std::lock_guard lock(printing);
  if (grid.options.print) {
    grid.options.print(text);
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
}

std::uint32_t Block::special(Special which, int warp, int lane) const {
  const auto thread = static_cast<std::uint32_t>(warp * kWarpLanes + lane);
  const Extent& block = grid.launch.block;
  const Extent& blocks = grid.launch.grid;
  const Lanes self = Lanes{1} << lane;
  switch (which) {
    case Special::tid_x:
      return thread % block.x;
    case Special::tid_y:
      return thread / block.x % block.y;
    case Special::tid_z:
      return thread / block.x / block.y;
    case Special::ntid_x:
      return block.x;
    case Special::ntid_y:
      return block.y;
    case Special::ntid_z:
      return block.z;
    case Special::ctaid_x:
      return static_cast<std::uint32_t>(index % blocks.x);
    case Special::ctaid_y:
      return static_cast<std::uint32_t>(index / blocks.x % blocks.y);
    case Special::ctaid_z:
      return static_cast<std::uint32_t>(index / blocks.x / blocks.y);
    case Special::nctaid_x:
      return blocks.x;
    case Special::nctaid_y:
      return blocks.y;
    case Special::nctaid_z:
      return blocks.z;
    case Special::laneid:
      return static_cast<std::uint32_t>(lane);
    case Special::warpid:
      return static_cast<std::uint32_t>(warp);
    case Special::nwarpid:
      return static_cast<std::uint32_t>(grid.options.card.threads_per_sm / kWarpLanes);
    case Special::smid:
      return static_cast<std::uint32_t>(sm);
    case Special::nsmid:
      return static_cast<std::uint32_t>(grid.options.card.sms);
    case Special::gridid:
      return static_cast<std::uint32_t>(grid.number);
    case Special::lanemask_eq:
      return self;
    case Special::lanemask_lt:
      return self - 1;
    case Special::lanemask_le:
      return self | (self - 1);
    case Special::lanemask_gt:
      return ~(self | (self - 1));
    case Special::lanemask_ge:
      return ~(self - 1);
    case Special::dynamic_smem_size:
      return grid.launch.dynamic_shared_bytes;
    case Special::total_smem_size:
      return static_cast<std::uint32_t>(shared_bytes_);
    case Special::workspace_low:
      return static_cast<std::uint32_t>(grid.workspace);
    case Special::workspace_high:
      return static_cast<std::uint32_t>(grid.workspace >> 32);
    case Special::zero:
      return 0;
    case Special::one:
      return 1;
  }
  return 0;
}

bool Block::all_done() const {
  return std::all_of(warps_.begin(), warps_.end(), [](const auto& warp) { return warp->done(); });
}

Block::State Block::run(std::uint64_t steps) {
  std::vector<Warp*> ready;
  const std::uint64_t end = step_ + steps;
  while (step_ < end) {
    copies_.run(step_);
    ready.clear();
    for (const auto& warp : warps_) {
      if (warp->ready()) ready.push_back(warp.get());
    }
    if (ready.empty()) {
      if (all_done()) {
        copies_.note_exit();
        if (copies_.empty()) {
          if (observer_ != nullptr) observer_->finished();
          return State::done;
        }
      }
      if (wake_for_prerequisites()) continue;
      if (waits_for_prerequisites() && copies_.empty()) return State::stalled;
      resolve_standstill();
      continue;
    }
    Warp& next = *ready[random_.below(static_cast<std::uint32_t>(ready.size()))];
    step_ += next.run(1 + random_.below(kQuantum));
    if (random_.below(kTimeOutOdds) == 0) time_out_one();
    if (effects_ != effects_seen_) {
      effects_seen_ = effects_;
      step_of_effect_ = step_;
    } else if (step_ - step_of_effect_ > grid.options.spin_limit) {
      report_livelock();
    }
    if (step_ - std::max(step_of_effect_, step_of_stall_) > kStallSteps) {
      step_of_stall_ = step_;
      return State::stalled;
    }
  }
  return State::running;
}

/// Nobody can run: time goes on to the next copy, or the waits for phases time out, as the ISA lets them at any time.
/// When the waiters only come back to wait, again and again, and nothing changes, it never will. (A program may give up
/// waiting after a number of tries, so one round does not tell.)
void Block::resolve_standstill() {
  if (!copies_.empty()) {
    step_ = std::max(step_, copies_.next_step());
    return;
  }
  const bool in_vain = effects_at_time_out_ == effects_ && polls_at_time_out_ == polls_;
  vain_rounds_ = in_vain ? vain_rounds_ + 1 : 0;
  if (vain_rounds_ > kVainRounds) report_deadlock();
  effects_at_time_out_ = effects_;
  polls_at_time_out_ = polls_;
  bool any = false;
  for (const auto& warp : warps_) {
    for (Fragment& fragment : warp->fragments()) {
      if (fragment.wait != Wait::phase) continue;
      fragment.wait = Wait::nothing;
      fragment.released = true;
      any = true;
    }
  }
  if (!any) report_deadlock();
}

bool Block::waits_for_prerequisites() const {
  return std::any_of(warps_.begin(), warps_.end(), [](const auto& warp) {
    return std::any_of(warp->fragments().begin(), warp->fragments().end(),
                       [](const Fragment& fragment) { return fragment.wait == Wait::grids; });
  });
}

/// Ends the waits for other grids when these have ended; false when there is none, or they have not.
bool Block::wake_for_prerequisites() {
  if (!waits_for_prerequisites() || !grid.control->prerequisites_completed(grid)) return false;
  for (const auto& warp : warps_) {
    for (Fragment& fragment : warp->fragments()) {
      if (fragment.wait == Wait::grids) fragment.wait = Wait::nothing;
    }
  }
  note_effect();
  return true;
}

bool Block::take_registers(std::uint64_t count) {
  if (count > spare_registers_) return false;
  spare_registers_ -= count;
  note_effect();
  return true;
}

void Block::give_registers(std::uint64_t count) {
  spare_registers_ += count;
  note_effect();
  for (const auto& warp : warps_) {
    for (Fragment& fragment : warp->fragments()) {
      if (fragment.wait == Wait::registers) fragment.wait = Wait::nothing;
    }
  }
}

void Block::release_dependents() {
  if (std::exchange(released_dependents_, true)) return;
  if (grid.control != nullptr) grid.control->release_dependents(grid, waited_);
  note_effect();
}

void Block::note_waited() {
  if (std::exchange(waited_, true)) return;
  if (grid.control != nullptr) grid.control->note_waited(grid);
}

void Block::time_out_one() {
  Warp& warp = *warps_[random_.below(static_cast<std::uint32_t>(warps_.size()))];
  for (Fragment& fragment : warp.fragments()) {
    if (fragment.wait != Wait::phase) continue;
    fragment.wait = Wait::nothing;
    fragment.released = true;
    return;
  }
}

Mbarrier* Block::find_mbarrier(std::uint32_t address) {
  for (Mbarrier& barrier : mbarriers_) {
    if (barrier.address == address) return &barrier;
  }
  return nullptr;
}

void Block::add_mbarrier(const Mbarrier& barrier) {
  mbarriers_.push_back(barrier);
}

void Block::remove_mbarrier(std::uint32_t address) {
  std::erase_if(mbarriers_, [&](const Mbarrier& barrier) { return barrier.address == address; });
}

void Block::wake(Wait reason, std::uint32_t what) {
  for (const auto& warp : warps_) {
    for (Fragment& fragment : warp->fragments()) {
      if (fragment.wait == reason && fragment.waits_on == what) fragment.wait = Wait::nothing;
    }
  }
}

void Block::wake_copies() {
  wake(Wait::copies, 0);
}

void Block::mbarrier_changed(const Mbarrier& barrier, std::uint64_t phase) {
  if (barrier.phase == phase) return;
  copies_.check_phase_end(barrier.address, phase);
  if (observer_ != nullptr) observer_->mbarrier_advanced(barrier);
  wake(Wait::phase, barrier.address);
}

bool Block::arrive(Warp& warp, std::uint32_t id, std::uint32_t expected, bool waits) {
  NamedBarrier& barrier = barriers_[id];
  // PTX ISA, bar: without a number it is all threads of the block.
  const auto of_block = static_cast<std::uint32_t>(warps_.size()) * kWarpLanes;
  const auto number = [&](std::uint32_t threads) { return threads == 0 ? of_block : threads; };
  if (barrier.arrived != 0 && number(barrier.expected) != number(expected)) return false;
  if (barrier.arrived == 0 || expected != 0) barrier.expected = expected;
  barrier.arrived += kWarpLanes;
  if (observer_ != nullptr) observer_->barrier_arrived(warp, warp.live(), id);
  if (waits) barrier.waiting.push_back(warp.index);
  try_release(id);
  return true;
}

void Block::try_release(std::uint32_t id) {
  NamedBarrier& barrier = barriers_[id];
  std::uint32_t expected = barrier.expected;
  if (expected == 0) {
    for (const auto& warp : warps_) expected += warp->done() ? 0 : kWarpLanes;
  }
  if (barrier.arrived == 0 || barrier.arrived < expected) return;
  note_effect();
  const NamedBarrier full = std::move(barrier);
  barrier = NamedBarrier{};
  for (const int warp : full.waiting) {
    Warp& waiting = *warps_[static_cast<std::size_t>(warp)];
    if (observer_ != nullptr) observer_->barrier_released(waiting, waiting.waiting_at(id), id);
    waiting.release_barrier(id, BarrierResult{full.votes, full.votes == full.voters});
  }
  if (observer_ != nullptr) observer_->barrier_completed(id);
}

void Block::arrive_at_cluster(Warp& warp, Lanes lanes) {
  cluster_arrivals(warp).arrived |= lanes;
  note_effect();
  try_release_cluster();
}

void Block::try_release_cluster() {
  const auto is_complete = [&](const auto& warp) { return (warp->live() & ~cluster_arrivals(*warp).arrived) == 0; };
  const auto has_any = [](const ClusterArrivals& lanes) { return lanes.arrived != 0; };
  if (std::none_of(cluster_.begin(), cluster_.end(), has_any)) return;
  if (!std::all_of(warps_.begin(), warps_.end(), is_complete)) return;
  for (ClusterArrivals& lanes : cluster_) lanes.passed |= std::exchange(lanes.arrived, 0);
  if (observer_ != nullptr) observer_->cluster_completed();
  note_effect();
  wake(Wait::cluster, 0);
}

void Block::lanes_exited(Warp& warp) {
  try_release_cluster();
  for (std::uint32_t id = 0; id < kBarriers; ++id) {
    // What is left of a warp may have come to the barrier before; the warp as a whole comes now.
    const std::vector<int>& waiting = barriers_[id].waiting;
    const bool counted = std::find(waiting.begin(), waiting.end(), warp.index) != waiting.end();
    const Fragment* fragment = counted ? nullptr : warp.find_waiting_at(id);
    if (fragment != nullptr && warp.waiting_at(id) == warp.live()) {
      arrive(warp, id, fragment->expected, true);
    } else {
      try_release(id);
    }
  }
}

}  // namespace moesaic::emulator
