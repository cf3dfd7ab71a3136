#include "emulator/warp.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "emulator/block.hpp"

namespace moesaic::emulator {
namespace {

/// A fragment that has run so long while another could has to let it: a lane may spin on what a later one does.
constexpr std::uint32_t kFragmentTurn = 256;
constexpr std::size_t kNone = ~std::size_t{0};

bool can_merge(const Fragment& a, const Fragment& b) {
  const auto open = [](const Fragment& f) {
    return (f.wait == Wait::nothing && !f.released) || f.wait == Wait::lanes || f.wait == Wait::phase ||
           f.wait == Wait::copies || f.wait == Wait::cluster;
  };
  const auto apart = [](const Fragment& f) { return f.apart == f.pc + 1 || f.finished; };
  return a.pc == b.pc && a.frame == b.frame && open(a) && open(b) && !apart(a) && !apart(b);
}

bool before(const Fragment& a, const Fragment& b) {
  return a.depth != b.depth ? a.depth > b.depth : a.pc < b.pc;
}

/// Lanes that go on from where others stay or turn off.
Fragment part_of(const Fragment& whole, std::uint32_t pc, Lanes lanes) {
  return Fragment{.pc = pc, .frame = whole.frame, .depth = whole.depth, .lanes = lanes};
}

}  // namespace

Warp::Warp(Block& block_of_warp, int index_in_block, Lanes lanes)
    : block(block_of_warp),
      index(index_in_block),
      thread_registers((block.grid.registers + 7) / 8 * 8),
      registers_(std::size_t{block.grid.program.registers} * kWarpLanes, ~std::uint64_t{0}),
      predicates_(block.grid.program.predicates, 0),
      constants_(block.grid.program.constants.data()),
      code_(block.grid.program.code.data()),
      observer_(block.observer()),
      live_(lanes) {
  predicates_[Program::kTrue >> 1] = kAllLanes;
  for (const auto& [slot, which] : block.grid.program.specials) {
    for (int lane = 0; lane < kWarpLanes; ++lane) out(slot)[lane] = block.special(which, index, lane);
  }
  fragments_.reserve(kWarpLanes);
  fragments_.push_back(Fragment{.lanes = lanes});
}

bool Warp::ready() const {
  return std::any_of(fragments_.begin(), fragments_.end(), [](const Fragment& f) { return f.wait == Wait::nothing; });
}

std::size_t Warp::pick() {
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < fragments_.size(); ++i) {
      if (fragments_[i].wait == Wait::nothing && !fragments_[i].yielded) return i;
    }
    for (Fragment& fragment : fragments_) fragment.yielded = false;
  }
  return kNone;
}

std::uint32_t Warp::run(std::uint32_t steps) {
  give_way_ = false;
  std::uint32_t done = 0;
  while (done < steps && !give_way_) {
    const std::size_t chosen = pick();
    if (chosen == kNone) break;
    done += run_fragment(chosen, steps - done);
  }
  return done;
}

/// Runs one fragment until it meets the next one, waits, yields, branches away from others or has had its turn.
std::uint32_t Warp::run_fragment(std::size_t chosen, std::uint32_t steps) {
  Fragment& fragment = fragments_[chosen];
  current_ = &fragment;
  if (std::exchange(fragment.finished, false)) {
    ++fragment.pc;
    replace(chosen);
    return 1;
  }
  const bool followed = chosen + 1 < fragments_.size() && fragments_[chosen + 1].depth == fragment.depth;
  const std::uint32_t limit = followed ? fragments_[chosen + 1].pc : UINT32_MAX;
  for (std::uint32_t done = 1;; ++done) {
    const Instruction& instruction = code_[fragment.pc];
    Lanes active = fragment.lanes;
    if (instruction.guard != kNoSlot) active &= predicate(instruction.guard);
    block.count(instruction, active);
    if (observer_ != nullptr) observer_->begin(*this, instruction, fragment.lanes, active);
    Flow flow = active != 0 ? instruction.run(*this, instruction, active) : Flow::next;
    if (observer_ != nullptr && flow != Flow::wait) observer_->end(*this, instruction, active);
    if (flow == Flow::wait && std::exchange(fragment.finished, false)) flow = Flow::next;
    if (flow == Flow::next) {
      if (++fragment.pc >= limit) {
        replace(chosen);
        return done;
      }
    } else if (!settle(chosen, instruction, active, flow)) {
      return done;
    }
    if (done >= steps) {
      fragment.turn += done;
      fragment.yielded = fragments_.size() > 1 && fragment.turn >= kFragmentTurn;
      if (fragment.yielded) fragment.turn = 0;
      return done;
    }
  }
}

/// What follows from a flow other than Flow::next. Returns whether the same fragment simply goes on.
bool Warp::settle(std::size_t chosen, const Instruction& instruction, Lanes active, Flow flow) {
  Fragment& fragment = fragments_[chosen];
  if (flow == Flow::exit) {
    exit(chosen, active);
    return false;
  }
  if (parted_ != 0) {
    split(chosen, active);
    return false;
  }
  if (flow == Flow::jump) {
    scatter(chosen, active);
    return false;
  }
  if (flow == Flow::yield) {
    ++fragment.pc;
    fragment.yielded = true;
    give_way_ = true;
    replace(chosen);
    return false;
  }
  if (active != fragment.lanes) {
    // The guard or the branch parts the lanes: those that it leaves alone go on.
    const Fragment rest = part_of(fragment, fragment.pc + 1, fragment.lanes & ~active);
    fragment.lanes = active;
    if (flow == Flow::branch) fragment.pc = instruction.target;
    replace(chosen);
    place(rest);
    return false;
  }
  if (flow == Flow::wait) return false;
  fragment.pc = instruction.target;
  if (fragments_.size() == 1) return true;
  replace(chosen);
  return false;
}

void Warp::replace(std::size_t chosen) {
  const Fragment fragment = fragments_[chosen];
  fragments_.erase(fragments_.begin() + static_cast<std::ptrdiff_t>(chosen));
  place(fragment);
}

void Warp::place(const Fragment& fragment) {
  const auto at = std::lower_bound(fragments_.begin(), fragments_.end(), fragment, before);
  for (auto other = at; other != fragments_.end() && !before(fragment, *other); ++other) {
    if (!can_merge(*other, fragment)) continue;
    other->lanes |= fragment.lanes;
    // Both look again at what they came to.
    other->wait = Wait::nothing;
    other->yielded = other->yielded && fragment.yielded;
    return;
  }
  fragments_.insert(at, fragment);
}

/// The lanes of parted_, the other active ones and those that the guard leaves out go on as three fragments.
void Warp::split(std::size_t chosen, Lanes active) {
  const Fragment whole = fragments_[chosen];
  const Lanes group = std::exchange(parted_, 0);
  fragments_.erase(fragments_.begin() + static_cast<std::ptrdiff_t>(chosen));
  if (const Lanes out = whole.lanes & ~active; out != 0) place(part_of(whole, whole.pc + 1, out));
  for (const Lanes lanes : {active & ~group, group}) {
    if (lanes == 0) continue;
    Fragment part = part_of(whole, whole.pc, lanes);
    part.apart = whole.pc + 1;
    place(part);
  }
}

/// Each active lane goes where destination_ says.
void Warp::scatter(std::size_t chosen, Lanes active) {
  const Fragment whole = fragments_[chosen];
  fragments_.erase(fragments_.begin() + static_cast<std::ptrdiff_t>(chosen));
  if (const Lanes rest = whole.lanes & ~active; rest != 0) place(part_of(whole, whole.pc + 1, rest));
  while (active != 0) {
    const Destination first = destination_[static_cast<std::size_t>(std::countr_zero(active))];
    Lanes same = 0;
    for_lanes(active, [&](int lane) { same |= Lanes{destination_[static_cast<std::size_t>(lane)] == first} << lane; });
    Fragment part = part_of(whole, first.pc, same);
    part.frame = first.frame;
    part.depth = calls_[first.frame].depth;
    part.turn = whole.turn;
    place(part);
    active &= ~same;
  }
}

void Warp::exit(std::size_t chosen, Lanes lanes) {
  live_ &= ~lanes;
  calls_.exit(lanes);
  Fragment rest = fragments_[chosen];
  rest.lanes &= ~lanes;
  ++rest.pc;
  fragments_.erase(fragments_.begin() + static_cast<std::ptrdiff_t>(chosen));
  if (rest.lanes != 0) place(rest);
  for (Fragment& fragment : fragments_) {
    if (fragment.wait == Wait::lanes) fragment.wait = Wait::nothing;
  }
  block.note_effect();
  block.lanes_exited(*this);
}

bool Warp::gather(Lanes active, Lanes wanted) {
  if ((wanted & live_ & ~active) == 0) return true;
  wait_for(Wait::lanes, wanted);
  return false;
}

bool Warp::meet(const Instruction& instruction, Lanes active, Lanes wanted) {
  if (take_release()) return true;
  const auto has_come = [&](const Fragment& f) {
    return f.wait == Wait::lanes && f.waits_on == wanted && code_[f.pc].row == instruction.row;
  };
  Lanes here = active;
  for (const Fragment& fragment : fragments_) here |= has_come(fragment) ? fragment.lanes : 0;
  if (!gather(here, wanted)) return false;
  if (observer_ != nullptr) observer_->lanes_met(*this, here);
  for (Fragment& fragment : fragments_) {
    if (!has_come(fragment)) continue;
    fragment.wait = Wait::nothing;
    fragment.released = true;
  }
  return true;
}

void Warp::wait_for(Wait reason, std::uint32_t what, bool parity) {
  current_->wait = reason;
  current_->waits_on = what;
  current_->parity = parity;
}

void Warp::wait_at_barrier(std::uint32_t barrier, std::uint32_t expected) {
  wait_for(Wait::barrier, barrier);
  current_->expected = expected;
}

bool Warp::take_release() {
  return std::exchange(current_->released, false);
}

void Warp::release_barrier(std::uint32_t barrier, BarrierResult result) {
  for (Fragment& fragment : fragments_) {
    if (fragment.wait != Wait::barrier || fragment.waits_on != barrier) continue;
    fragment.wait = Wait::nothing;
    fragment.released = true;
    fragment.result = result;
  }
}

Lanes Warp::waiting_at(std::uint32_t barrier) const {
  Lanes lanes = 0;
  for (const Fragment& fragment : fragments_) {
    if (fragment.wait == Wait::barrier && fragment.waits_on == barrier) lanes |= fragment.lanes;
  }
  return lanes;
}

const Fragment* Warp::find_waiting_at(std::uint32_t barrier) const {
  const auto found = std::find_if(fragments_.begin(), fragments_.end(),
                                  [&](const Fragment& f) { return f.wait == Wait::barrier && f.waits_on == barrier; });
  return found == fragments_.end() ? nullptr : &*found;
}

void Warp::fail(Fault::Kind kind, const Instruction& instruction, Lanes lanes, const std::string& what) const {
  throw Fault(kind,
              Fault::Place{.kernel = block.grid.program.name,
                           .line = instruction.line,
                           .instruction = block.grid.program.text_of(instruction),
                           .source = block.grid.program.source_of(instruction),
                           .block = block.index,
                           .warp = index,
                           .lanes = lanes,
                           .seed = block.grid.options.seed},
              what);
}

std::byte* Warp::access(const Instruction& instruction, ptx::Space space, std::uint64_t address, std::uint32_t bytes,
                        int lane, Purpose purpose) {
  if ((address & (bytes - 1)) != 0) {
    fail(Fault::Kind::misaligned, instruction, Lanes{1} << lane,
         fmt::format("address {:#x} is not a multiple of {}, the bytes accessed", address, bytes));
  }
  if (space == ptx::Space::generic) {
    space = ptx::Space::global;
    for (const auto& [windowed, begin] :
         {std::pair{ptx::Space::shared, kSharedWindow}, std::pair{ptx::Space::local, kLocalWindow},
          std::pair{ptx::Space::param, kParamWindow}}) {
      if (address - begin >= kWindowBytes) continue;
      space = windowed;
      address -= begin;
      break;
    }
  }
  const bool is_global = space == ptx::Space::global || space == ptx::Space::constant;
  std::byte* found =
      is_global ? global(instruction, address, bytes, lane) : window(instruction, space, address, bytes, lane);
  if (observer_ != nullptr && purpose != Purpose::none) {
    observer_->touch(*this, instruction, space, address, bytes, lane, purpose);
  }
  return found;
}

std::byte* Warp::writable(const Instruction& instruction, ptx::Space space, std::uint64_t address, std::uint32_t bytes,
                          int lane, Purpose purpose) {
  if (space == ptx::Space::generic && address - kParamWindow < kWindowBytes) {
    fail(Fault::Kind::out_of_bounds, instruction, Lanes{1} << lane,
         fmt::format("address {:#x} is in parameter memory, which is read-only", address));
  }
  return access(instruction, space, address, bytes, lane, purpose);
}

std::uint32_t Warp::shared_address(const Instruction& instruction, ptx::Space space, std::uint64_t address,
                                   std::uint32_t bytes, std::uint32_t alignment, int lane) {
  const std::uint64_t offset = space == ptx::Space::generic ? address - kSharedWindow : address & 0xffffffffU;
  if (offset >= kWindowBytes) {
    fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
         fmt::format("generic address {:#x} is not in shared memory", address));
  }
  if (offset % alignment != 0) {
    fail(Fault::Kind::misaligned, instruction, Lanes{1} << lane,
         fmt::format("address {:#x} in shared memory is not a multiple of {}", offset, alignment));
  }
  window(instruction, ptx::Space::shared, offset, bytes, lane);
  return static_cast<std::uint32_t>(offset);
}

std::byte* Warp::global(const Instruction& instruction, std::uint64_t address, std::uint32_t bytes, int lane) {
  if (!recent_.holds(address, bytes)) {
    const GlobalMemory::Allocation* found = block.grid.memory.find(address, bytes);
    if (found == nullptr) {
      const GlobalMemory::Allocation* below = block.grid.memory.nearest_below(address);
      fail(Fault::Kind::out_of_bounds, instruction, Lanes{1} << lane,
           below == nullptr ? fmt::format("{} bytes at {:#x} lie in no allocation", bytes, address)
                            : fmt::format("{} bytes at {:#x} lie in no allocation; the one below is [{:#x}, {:#x})",
                                          bytes, address, below->begin, below->end));
    }
    recent_ = *found;
  }
  return recent_.data + (address - recent_.begin);
}

std::byte* Warp::window(const Instruction& instruction, ptx::Space space, std::uint64_t offset, std::uint32_t bytes,
                        int lane) {
  const Grid& grid = block.grid;
  std::uint64_t begin = 0;
  std::uint64_t end = block.local_bytes();
  std::string_view name = "local";
  if (space == ptx::Space::shared) {
    offset &= 0xffffffffU;
    begin = kSharedBase;
    end = block.shared_end();
    name = "shared";
  } else if (space == ptx::Space::param) {
    end = grid.launch.parameters.size();
    name = "parameter";
  }
  if (offset < begin || offset >= end || bytes > end - offset) {
    fail(Fault::Kind::out_of_bounds, instruction, Lanes{1} << lane,
         fmt::format("{} bytes at {:#x} of {} memory, which is [{:#x}, {:#x})", bytes, offset, name, begin, end));
  }
  if (space == ptx::Space::shared) return block.shared(static_cast<std::uint32_t>(offset));
  if (space == ptx::Space::local) return block.local(index * kWarpLanes + lane, offset);
  // Nobody writes there: writable() refuses, and no store names the space.
  return const_cast<std::byte*>(grid.launch.parameters.data() + offset);
}

}  // namespace moesaic::emulator
