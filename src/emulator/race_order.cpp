#include <fmt/format.h>

#include <algorithm>

#include "emulator/block.hpp"
#include "emulator/card_observer.hpp"
#include "emulator/race_observer.hpp"

/// What orders a block's accesses: barriers, mbarriers, fences, releases and acquires, and the ends of asynchronous
/// operations.
namespace moesaic::emulator {
namespace {

constexpr std::size_t kMostMapFences = 64;  // remembered for one map: two for each lane that may use it

bool is_wide(Scope scope) {
  return scope >= Scope::gpu;
}

}  // namespace

void RaceObserver::know(const Warp& warp, int lane, const KnowledgeRef& knowledge) {
  KnowledgeRef& known = state_of(warp).lanes[static_cast<std::size_t>(lane)].knowledge;
  known = joiner_.join(known, knowledge);
}

void RaceObserver::lanes_met(const Warp& warp, Lanes lanes) {
  Gathering met(key_);
  for_lanes(lanes, [&](int lane) { met.add(moment_of(warp, lane), joiner_); });
  WarpState& state = state_of(warp);
  for_lanes(lanes, [&](int lane) { state.lanes[static_cast<std::size_t>(lane)].knowledge = met.knowledge(); });
  ++state.now;
}

void RaceObserver::barrier_arrived(const Warp& warp, Lanes lanes, std::uint32_t id) {
  for_lanes(lanes, [&](int lane) { barriers_[id].add(moment_of(warp, lane), joiner_); });
  ++state_of(warp).now;
}

void RaceObserver::barrier_released(const Warp& warp, Lanes lanes, std::uint32_t id) {
  for_lanes(lanes, [&](int lane) { know(warp, lane, barriers_[id].knowledge()); });
}

void RaceObserver::barrier_completed(std::uint32_t id) {
  barriers_[id] = Gathering(key_);
}

void RaceObserver::cluster_arrived(const Warp& warp, Lanes lanes) {
  for_lanes(lanes, [&](int lane) { cluster_.add(moment_of(warp, lane), joiner_); });
  ++state_of(warp).now;
}

/// The next phase can only end when all have waited for this one.
void RaceObserver::cluster_completed() {
  cluster_knowledge_ = cluster_.knowledge();
  cluster_ = Gathering(key_);
}

void RaceObserver::cluster_passed(const Warp& warp, Lanes lanes) {
  for_lanes(lanes, [&](int lane) { know(warp, lane, cluster_knowledge_); });
}

RaceObserver::BarrierState* RaceObserver::find_barrier(std::uint32_t address) {
  const auto at = std::find_if(mbarriers_.begin(), mbarriers_.end(),
                               [&](const BarrierState& barrier) { return barrier.address == address; });
  return at == mbarriers_.end() ? nullptr : &*at;
}

void RaceObserver::mbarrier_initialised(Warp& warp, int lane, const Mbarrier& barrier) {
  if (find_barrier(barrier.address) != nullptr) {
    const Instruction& instruction = warp.current();
    grid_.report(Finding::Kind::mbarrier_overwritten,
                 grid_.party(instruction, block_.index, warp.index, Lanes{1} << lane), {},
                 fmt::format("an mbarrier lives at {:#x} already; mbarrier.inval has to come first", barrier.address));
    mbarrier_removed(barrier);
  }
  const auto [former, fresh] = former_mbarriers_.try_emplace(barrier.address, next_agent_, 0);
  if (fresh) ++next_agent_;
  mbarriers_.push_back(BarrierState{.address = barrier.address,
                                    .agent = former->second.first,
                                    .before = former->second.second,
                                    .init = record_of(warp, lane, grid_.pc_of(warp.current())),
                                    .gathering = Gathering(key_)});
}

void RaceObserver::mbarrier_removed(const Mbarrier& barrier) {
  const BarrierState* state = find_barrier(barrier.address);
  if (state == nullptr) return;
  former_mbarriers_[barrier.address].second = state->before + static_cast<Epoch>(barrier.phase) + 1;
  std::erase_if(mbarriers_, [&](const BarrierState& other) { return other.address == barrier.address; });
}

/// Whoever uses an mbarrier must come after its initialisation; copies also after a fence that shows it to them.
void RaceObserver::check_initialised(Warp& warp, int lane, BarrierState& barrier, bool by_copy) {
  const Moment moment = moment_of(warp, lane);
  const Instruction& instruction = warp.current();
  Access16 access{.record = record_of(warp, lane, grid_.pc_of(instruction)),
                  .knowledge = moment.knowledge.get(),
                  .own = moment.own,
                  .thread = moment.agent};
  const bool is_known = is_ordered(barrier.init, access, View::generic);
  const bool is_shown = barrier.init_fenced || is_ordered(barrier.init, access, View::async_shared);
  if (is_known && (is_shown || !by_copy || !grid_.checks().proxies)) return;
  Finding::Party other =
      grid_.party(block_.grid.program.code[barrier.init.pc], block_.index, barrier.init.warp, barrier.init.lanes);
  other.access = "initialises it";
  grid_.report(
      is_known ? Finding::Kind::proxy_race : Finding::Kind::race,
      grid_.party(instruction, block_.index, warp.index, Lanes{1} << lane), std::move(other),
      fmt::format("it uses the mbarrier at {:#x}, {}", barrier.address,
                  is_known ? "whose initialisation no fence (fence.mbarrier_init, fence.proxy.async) has shown "
                             "to asynchronous copies"
                           : "and nothing orders that after its initialisation"));
}

void RaceObserver::mbarrier_arrived(Warp& warp, int lane, const Mbarrier& barrier, bool releases) {
  BarrierState* state = find_barrier(barrier.address);
  if (state == nullptr) return;
  check_initialised(warp, lane, *state, false);
  if (!releases) return;
  state->gathering.add(moment_of(warp, lane), joiner_);
  ++state_of(warp).now;
}

/// What arrived in earlier phases stays known: the operations on one mbarrier follow one another.
void RaceObserver::mbarrier_advanced(const Mbarrier& barrier) {
  BarrierState* state = find_barrier(barrier.address);
  if (state == nullptr) return;
  state->gathering.add_time(state->agent, Epochs{state->before + static_cast<Epoch>(barrier.phase)});
  state->published = state->gathering.knowledge();
}

void RaceObserver::mbarrier_passed(Warp& warp, int lane, const Mbarrier& barrier, bool acquires) {
  BarrierState* state = find_barrier(barrier.address);
  if (state == nullptr) return;
  check_initialised(warp, lane, *state, false);
  if (acquires) know(warp, lane, state->published);
}

void RaceObserver::dependency_waited(const Warp& warp, Lanes lanes) {
  for_lanes(lanes, [&](int lane) {
    KnowledgeRef& known = state_of(warp).lanes[static_cast<std::size_t>(lane)].knowledge;
    if (known->prerequisites) return;
    Knowledge more = *known;
    more.prerequisites = true;
    known = std::make_shared<const Knowledge>(std::move(more));
  });
}

/// A strong write gives what came before it to those who will read it: when it releases, all; when a fence came before
/// it, what came before the fence (PTX ISA, "Release and Acquire Patterns").
void RaceObserver::release(const Warp& warp, int lane, Location at, const Traits& traits) {
  const Scope scope = traits.scope == Scope::none ? Scope::gpu : traits.scope;
  const Fenced& fenced = state_of(warp).lanes[static_cast<std::size_t>(lane)].fenced;
  const auto give = [&](const Moment& moment, bool to_card) {
    Gathering gathering(key_);
    gathering.add(moment, joiner_);
    const KnowledgeRef knowledge = gathering.knowledge();
    KnowledgeRef& in_block = released_.try_emplace(at.address, no_knowledge()).first->second;
    in_block = joiner_.join(in_block, knowledge);
    if (to_card && at.space == ptx::Space::global) grid_.card().release(at.address, knowledge, joiner_);
  };
  if (traits.releases()) {
    give(moment_of(warp, lane), is_wide(scope));
    ++state_of(warp).now;
    return;
  }
  if (fenced.released_to_block) give(*fenced.released_to_block, false);
  if (fenced.released_to_card && is_wide(scope)) give(*fenced.released_to_card, true);
}

/// A strong read takes what was given: at once when it acquires, else at the next fence.
void RaceObserver::acquire(const Warp& warp, int lane, Location at, const Traits& traits) {
  const Scope scope = traits.scope == Scope::none ? Scope::gpu : traits.scope;
  const auto found = released_.find(at.address);
  const KnowledgeRef& in_block = found != released_.end() ? found->second : no_knowledge();
  const bool asks_card = is_wide(scope) && at.space == ptx::Space::global;
  const KnowledgeRef on_card = asks_card ? grid_.card().released(at.address) : no_knowledge();
  if (in_block == no_knowledge() && on_card == no_knowledge()) return;
  if (traits.acquires()) {
    know(warp, lane, in_block);
    know(warp, lane, on_card);
    return;
  }
  Fenced& fenced = state_of(warp).lanes[static_cast<std::size_t>(lane)].fenced;
  fenced.seen_in_block = joiner_.join(fenced.seen_in_block, in_block);
  fenced.seen_on_card = joiner_.join(fenced.seen_on_card, on_card);
}

void RaceObserver::thread_fence(const Warp& warp, int lane, const Traits& traits) {
  Fenced& fenced = state_of(warp).lanes[static_cast<std::size_t>(lane)].fenced;
  const bool wide = is_wide(traits.scope);
  if (traits.order != MemoryOrder::release) {
    know(warp, lane, fenced.seen_in_block);
    if (wide) know(warp, lane, fenced.seen_on_card);
  }
  if (traits.order == MemoryOrder::acquire) return;
  fenced.released_to_block = moment_of(warp, lane);
  if (wide) fenced.released_to_card = fenced.released_to_block;
}

void RaceObserver::fence(const Warp& warp, const Instruction& instruction, const Traits& traits, Lanes active) {
  WarpState& state = state_of(warp);
  const auto show = [&](int lane, View view) {
    Lane& of_lane = state.lanes[static_cast<std::size_t>(lane)];
    const auto at = static_cast<std::size_t>(view);
    of_lane.own[at] = state.now;
    if (of_lane.knowledge->views[at] == of_lane.knowledge->views[0]) return;
    Knowledge more = *of_lane.knowledge;
    more.views[at] = more.views[0];
    of_lane.knowledge = std::make_shared<const Knowledge>(std::move(more));
  };
  for_lanes(active, [&](int lane) {
    switch (traits.fence) {
      case Fence::thread:
        thread_fence(warp, lane, traits);
        break;
      case Fence::mbarrier_init:
        for (BarrierState& barrier : mbarriers_) {
          if (barrier.init.agent == static_cast<Agent>(warp.index * kWarpLanes) && barrier.init.lanes == Lanes{1}
                                                                                                             << lane) {
            barrier.init_fenced = true;
          }
        }
        break;
      case Fence::proxy_async:
        show(lane, View::async_shared);
        show(lane, View::async_global);
        break;
      case Fence::proxy_shared:
        show(lane, View::async_shared);
        break;
      case Fence::proxy_global:
        show(lane, View::async_global);
        break;
      case Fence::tensormap_release:
        show(lane, View::tensor_map);
        break;
      case Fence::tensormap_acquire: {
        const std::uint64_t address = warp.in(traits.addresses[0])[lane] + warp.in(instruction.operands[1])[lane];
        for (std::uint64_t part = 0; part < kTensorMapBytes / kMapAlignment; ++part) {
          std::vector<MapFence>& fences = map_fences_[address / kMapAlignment + part];
          if (fences.size() >= kMostMapFences) fences.erase(fences.begin());
          fences.push_back(MapFence{moment_of(warp, lane)});
        }
        break;
      }
      case Fence::none:
        break;
    }
  });
  // cp_fenceproxy is one operation of the whole warp.
  if (traits.fence == Fence::tensormap_release && traits.travel == Travel::store) lanes_met(warp, active);
  ++state.now;
}

}  // namespace moesaic::emulator
