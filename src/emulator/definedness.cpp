#include "emulator/definedness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "emulator/block.hpp"
#include "emulator/grid_observer.hpp"

/// Registers, memory, and where an undefined value is reported.
namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kAllBits = ~std::uint64_t{0};

}  // namespace

Definedness::Definedness(Block& block)
    : block_(block),
      grid_(*block.grid.observer),
      warps_((block.thread_count() + kWarpLanes - 1) / kWarpLanes),
      shared_(block.shared_end() - kSharedBase),
      local_(std::uint64_t{block.local_bytes()} * block.thread_count()) {
  const Program& program = block.grid.program;
  for (WarpShadow& shadow : warps_) {
    shadow.bits.assign(std::size_t{program.registers} * kWarpLanes, kAllBits);
    shadow.lanes.assign(program.registers, kAllLanes);
    shadow.predicates.assign(program.predicates, kAllLanes);
    shadow.lanes[index(Program::kSink)] = 0;
    shadow.predicates[index(Program::kTrue >> 1)] = 0;
    for (const auto& [slot, which] : program.specials) shadow.lanes[index(slot)] = 0;
    for (const auto& [slot, offset] : program.functions[0].frame_slots) shadow.lanes[index(slot)] = 0;
  }
}

Definedness::WarpShadow& Definedness::shadow_of(const Warp& warp) {
  return warps_[static_cast<std::size_t>(warp.index)];
}

std::uint64_t Definedness::undefined_bits(const WarpShadow& shadow, Slot slot, int lane) const {
  if (slot < 0 || (shadow.lanes[index(slot)] >> lane & 1U) == 0) return 0;
  return shadow.bits[index(slot) * kWarpLanes + static_cast<std::size_t>(lane)];
}

void Definedness::set(WarpShadow& shadow, Slot slot, Lanes lanes, const UndefinedRow& bits) {
  if (slot == Program::kSink) return;
  Lanes undefined = 0;
  for_lanes(lanes, [&](int lane) {
    const std::uint64_t of_lane = bits[static_cast<std::size_t>(lane)];
    shadow.bits[index(slot) * kWarpLanes + static_cast<std::size_t>(lane)] = of_lane;
    undefined |= Lanes{of_lane != 0} << lane;
  });
  shadow.lanes[index(slot)] = (shadow.lanes[index(slot)] & ~lanes) | undefined;
}

void Definedness::report(const Warp& warp, const Instruction& instruction, Lanes lanes, const std::string& what) {
  grid_.report(Finding::Kind::undefined, grid_.party(instruction, block_.index, warp.index, lanes), {}, what);
}

void Definedness::begin(Warp& warp, const Instruction& instruction, const Traits& traits, Lanes asked, Lanes active) {
  WarpShadow& shadow = shadow_of(warp);
  touches_.clear();
  results_.clear();
  undefined_predicates_ = 0;
  unknown_ = 0;
  if (instruction.guard != kNoSlot) {
    unknown_ = undefined_predicate(shadow, instruction.guard) & asked;
    if (unknown_ != 0 && traits.has_effect) {
      report(warp, instruction, unknown_, "its guard depends on a value that nobody wrote");
      shadow.predicates[index(instruction.guard >> 1)] &= ~unknown_;
      unknown_ = 0;
    }
  }
  for (const Slot slot : traits.addresses) {
    const Lanes lanes = undefined_lanes(shadow, slot) & active;
    if (lanes == 0) continue;
    report(warp, instruction, lanes, "its address depends on a value that nobody wrote");
    shadow.lanes[index(slot)] &= ~lanes;
  }
  Lanes undefined = 0;
  for (const Slot slot : traits.sources) undefined |= undefined_lanes(shadow, slot);
  for (const Slot slot : traits.source_predicates) undefined |= undefined_predicate(shadow, slot);
  undefined &= active;
  if (undefined != 0 && traits.needs_defined) {
    report(warp, instruction, undefined, "an operand that decides what it does depends on a value that nobody wrote");
    for (const Slot slot : traits.sources) {
      if (slot >= 0) shadow.lanes[index(slot)] &= ~undefined;
    }
    for (const Slot slot : traits.source_predicates) shadow.predicates[index(slot >> 1)] &= ~undefined;
    undefined = 0;
  }
  // A shuffle may read from a lane that takes no part.
  any_undefined_ = undefined != 0 || (traits.travel == Travel::shuffle && active != kAllLanes);
  if (any_undefined_) travel(warp, instruction, traits, shadow, active);
}

void Definedness::end(Warp& warp, const Instruction& instruction, const Traits& traits, Lanes active) {
  WarpShadow& shadow = shadow_of(warp);
  switch (traits.travel) {
    case Travel::load:
      load(warp, traits);
      break;
    case Travel::atomic:
      exchange(warp, instruction, traits, shadow);
      break;
    case Travel::store:
      store(warp, instruction, traits, shadow);
      break;
    case Travel::load_matrix:
      load_matrix(warp, instruction, traits, shadow);
      break;
    case Travel::store_matrix:
      store_matrix(warp, instruction, traits, shadow);
      break;
    default:
      break;
  }
  for (const Slot slot : traits.results) shadow.lanes[index(slot)] &= ~active;
  for (const Result& result : results_) set(shadow, result.slot, active, result.bits);
  for (const Slot slot : traits.result_predicates) {
    Lanes& lanes = shadow.predicates[index(slot >> 1)];
    lanes = (lanes & ~active) | (undefined_predicates_ & active) | unknown_;
  }
  shadow.predicates[index(Program::kPredicateSink >> 1)] = 0;
  if (unknown_ == 0) return;
  UndefinedRow all;
  all.fill(kAllBits);
  for (const Slot slot : traits.results) set(shadow, slot, unknown_, all);
}

void Definedness::touch(Warp& warp, const Instruction& instruction, ptx::Space space, std::uint64_t address,
                        std::uint32_t bytes, int lane, Purpose purpose) {
  if (bytes > 64) {
    for (std::uint32_t done = 0; done < bytes; done += 64) {
      this->touch(warp, instruction, space, address + done, std::min(bytes - done, 64U), lane, purpose);
    }
    return;
  }
  const Touch touch{space, purpose, lane, address, bytes};
  if (purpose != Purpose::tensor_map) {
    touches_.push_back(touch);
    return;
  }
  if (undefined_bytes(warp, touch) == 0) return;
  report(
      warp, instruction, Lanes{1} << lane,
      fmt::format("the tensor map at {:#x} has bytes that nobody wrote", address / kTensorMapBytes * kTensorMapBytes));
}

/// Null: memory that is always defined.
DefinedBytes* Definedness::bytes_at(const Warp& warp, const Touch& touch, std::uint64_t& at) {
  switch (touch.space) {
    case ptx::Space::shared:
      at = touch.address - kSharedBase;
      return &shared_;
    case ptx::Space::local:
      at = place_in_local(warp, touch.lane, touch.address);
      return &local_;
    case ptx::Space::global: {
      const GlobalMemory::Allocation* found = block_.grid.memory.find(touch.address, touch.bytes);
      if (found == nullptr) return nullptr;
      at = touch.address - found->begin;
      return found->defined;
    }
    default:
      return nullptr;
  }
}

/// Up to 64 bytes, one bit each.
std::uint64_t Definedness::undefined_bytes(const Warp& warp, const Touch& touch) {
  std::uint64_t at = 0;
  const DefinedBytes* bytes = bytes_at(warp, touch, at);
  return bytes != nullptr ? bytes->undefined(at, touch.bytes) : 0;
}

void Definedness::load(const Warp& warp, const Traits& traits) {
  for (const Touch& touch : touches_) {
    const std::uint64_t undefined = undefined_bytes(warp, touch);
    if (undefined == 0 || traits.results.empty()) continue;
    if (results_.empty()) {
      for (const Slot slot : traits.results) results_.push_back(Result{.slot = slot});
    }
    const std::size_t width = touch.bytes / traits.results.size();  // bytes of an element
    for (std::size_t i = 0; i < results_.size(); ++i) {
      const std::uint64_t bytes = undefined >> (i * width) & (width >= 64 ? kAllBits : (std::uint64_t{1} << width) - 1);
      std::uint64_t bits = width > 8 ? (bytes != 0 ? kAllBits : 0) : bits_of_bytes(bytes);
      const bool sign = traits.is_signed && width < 8 && (bytes >> (width - 1) & 1U) != 0;
      if (sign) bits |= kAllBits << (8 * width);
      results_[i].bits[static_cast<std::size_t>(touch.lane)] = bits;
    }
  }
}

void Definedness::store(Warp& warp, const Instruction& instruction, const Traits& traits, WarpShadow& shadow) {
  Lanes reported = 0;
  for (const Touch& touch : touches_) {
    if (touch.purpose == Purpose::read) continue;
    std::uint64_t at = 0;
    DefinedBytes* bytes = bytes_at(warp, touch, at);
    if (bytes == nullptr) continue;
    std::uint64_t undefined = 0;
    const std::size_t parts = std::max<std::size_t>(traits.parts, 1);
    const std::size_t width = touch.bytes / parts;
    for (std::size_t i = 0; any_undefined_ && i < parts && i < traits.sources.size() && width <= 8; ++i) {
      const std::uint64_t bits = undefined_bits(shadow, traits.sources[i], touch.lane);
      undefined |= (bytes_of_bits(bits) & ((std::uint64_t{1} << width) - 1)) << (i * width);
    }
    if (undefined != 0 && touch.space == ptx::Space::global) {
      reported |= Lanes{1} << touch.lane;
      undefined = 0;
    }
    bytes->assign(at, touch.bytes, undefined);
  }
  if (reported != 0) report(warp, instruction, reported, "it stores a value that nobody wrote to global memory");
}

/// An atomic reads and writes; what it leaves is defined if all that went in was.
void Definedness::exchange(Warp& warp, const Instruction& instruction, const Traits& traits, WarpShadow& shadow) {
  const bool replaces = instruction.row->name.find(".exch") != std::string::npos;
  Lanes reported = 0;
  for (const Touch& touch : touches_) {
    std::uint64_t at = 0;
    DefinedBytes* bytes = bytes_at(warp, touch, at);
    if (bytes == nullptr) continue;
    const std::uint64_t before = bytes->undefined(at, touch.bytes);
    bool gives = false;
    for (const Slot slot : traits.sources) gives = gives || undefined_bits(shadow, slot, touch.lane) != 0;
    if (before != 0 && results_.empty()) {
      for (const Slot slot : traits.results) results_.push_back(Result{.slot = slot});
    }
    for (Result& result : results_) result.bits[static_cast<std::size_t>(touch.lane)] = before != 0 ? kAllBits : 0;
    const bool after = gives || (before != 0 && !replaces);
    const bool visible = after && touch.space == ptx::Space::global;
    if (visible) reported |= Lanes{1} << touch.lane;
    bytes->assign(at, touch.bytes, after && !visible ? kAllBits : 0);
  }
  if (reported == 0) return;
  report(warp, instruction, reported, "it puts a value that nobody wrote into global memory, or adds to one");
}

void Definedness::copy_moved(const Instruction& instruction, int warp, Lanes lane, Location to, const Location* from,
                             std::uint32_t bytes) {
  const auto place = [&](const Location& location, std::uint64_t& at) -> DefinedBytes* {
    if (location.space == ptx::Space::shared) {
      at = location.address - kSharedBase;
      return &shared_;
    }
    const GlobalMemory::Allocation* found = block_.grid.memory.find(location.address, bytes);
    if (found == nullptr) return nullptr;
    at = location.address - found->begin;
    return found->defined;
  };
  if (bytes == 0) return;
  std::uint64_t to_at = 0;
  std::uint64_t from_at = 0;
  DefinedBytes* target = place(to, to_at);
  const DefinedBytes* source = from != nullptr ? place(*from, from_at) : nullptr;
  if (target == nullptr) return;
  if (source == nullptr || source->all_defined(from_at, bytes)) {
    target->define(to_at, bytes);
    return;
  }
  if (to.space == ptx::Space::global) {
    grid_.report(
        Finding::Kind::undefined, grid_.party(instruction, block_.index, warp, lane), {},
        fmt::format("it copies bytes that nobody wrote ({} bytes from {:#x} of shared memory) to global memory", bytes,
                    from->address));
    target->define(to_at, bytes);
    return;
  }
  for (std::uint32_t done = 0; done < bytes; done += 64) {
    const std::uint32_t some = std::min<std::uint32_t>(64, bytes - done);
    target->assign(to_at + done, some, source->undefined(from_at + done, some));
  }
}

}  // namespace moesaic::emulator
