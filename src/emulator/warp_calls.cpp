#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "emulator/block.hpp"

/// Calls and returns: arguments and results move, registers of functions under way are saved.
namespace moesaic::emulator {
namespace {

using Values = std::array<std::uint64_t, kWarpLanes>;

}  // namespace

std::byte* Warp::frame_memory(std::uint32_t offset, int lane) {
  return block.local(index * kWarpLanes + lane, calls_[current_->frame].base + offset);
}

/// Copies one argument or result of some lanes, from a place in one frame to a place in another.
void Warp::pass(const Argument& from, std::uint32_t from_base, const Argument& to, std::uint32_t to_base, Lanes lanes) {
  const std::uint32_t bytes = std::min(from.bytes, to.bytes);
  for_lanes(lanes, [&](int lane) {
    const int thread = index * kWarpLanes + lane;
    if (from.slot == kNoSlot && to.slot == kNoSlot) {
      block.copy_local(thread, to_base + to.offset, from_base + from.offset, bytes);
    } else if (from.slot == kNoSlot) {
      std::uint64_t value = 0;
      std::memcpy(&value, block.local(thread, from_base + from.offset), std::min<std::size_t>(bytes, sizeof value));
      out(to.slot)[lane] = value;
    } else if (to.slot == kNoSlot) {
      const std::uint64_t value = in(from.slot)[lane];
      std::memcpy(block.local(thread, to_base + to.offset), &value, std::min<std::size_t>(bytes, sizeof value));
    } else {
      out(to.slot)[lane] = in(from.slot)[lane];
    }
  });
}

/// Saves the registers of a function for the lanes that call it, or gives them back as they were.
void Warp::save_registers(CallFrame& frame, Lanes lanes) {
  const FunctionCode& function = block.grid.program.functions[frame.function];
  frame.saved.resize(function.registers.size() * kWarpLanes);
  frame.saved_predicates.resize(function.predicates.size());
  for (std::size_t i = 0; i < function.registers.size(); ++i) {
    const std::uint64_t* row = in(function.registers[i]);
    for_lanes(lanes, [&](int lane) { frame.saved[i * kWarpLanes + static_cast<std::size_t>(lane)] = row[lane]; });
  }
  for (std::size_t i = 0; i < function.predicates.size(); ++i) {
    Lanes& saved = frame.saved_predicates[i];
    saved = (saved & ~lanes) | (predicate(function.predicates[i]) & lanes);
  }
}

void Warp::restore_registers(const CallFrame& frame, Lanes lanes) {
  const FunctionCode& function = block.grid.program.functions[frame.function];
  for (std::size_t i = 0; i < function.registers.size(); ++i) {
    std::uint64_t* row = out(function.registers[i]);
    for_lanes(lanes, [&](int lane) { row[lane] = frame.saved[i * kWarpLanes + static_cast<std::size_t>(lane)]; });
  }
  for (std::size_t i = 0; i < function.predicates.size(); ++i) {
    set_predicate(function.predicates[i], lanes, frame.saved_predicates[i]);
  }
}

void Warp::enter(const Instruction& instruction, const CallSite& site, std::uint32_t callee, Lanes lanes) {
  const Program& program = block.grid.program;
  const FunctionCode& function = program.functions[callee];
  const std::uint32_t caller = current_->frame;
  const std::uint32_t caller_base = calls_[caller].base;
  const std::uint32_t base = caller_base + program.functions[calls_[caller].function].frame_bytes;
  const std::uint32_t end = base + function.frame_bytes;
  if (end > program.most_local_bytes) {
    fail(Fault::Kind::out_of_bounds, instruction, lanes,
         fmt::format("the stack overflows: the frames of {} calls take {} bytes of the {} that a thread has",
                     calls_[caller].depth + 1, end, program.most_local_bytes));
  }
  if (end > block.local_bytes()) {
    block.grow_local(std::min(std::max(end, 2 * block.local_bytes()), program.most_local_bytes));
  }
  const std::uint32_t frame = calls_.enter(caller, current_->pc, callee, base, lanes);
  if (observer_ != nullptr) {
    observer_->called(*this, {site.arguments, caller_base, function.parameters, base}, function, frame, lanes);
  }
  // What is passed in registers is read before the callee's are saved and written: they may be the same.
  std::vector<Values> values(site.arguments.size());
  for (std::size_t i = 0; i < site.arguments.size(); ++i) {
    if (site.arguments[i].slot != kNoSlot) std::copy_n(in(site.arguments[i].slot), kWarpLanes, values[i].begin());
  }
  if (function.recursive) save_registers(calls_[frame], lanes);
  const std::size_t count = std::min(site.arguments.size(), function.parameters.size());
  for (std::size_t i = 0; i < count; ++i) {
    Argument from = site.arguments[i];
    if (from.slot != kNoSlot) {
      std::copy(values[i].begin(), values[i].end(), out(Program::kExchange));
      from.slot = Program::kExchange;
    }
    pass(from, caller_base, function.parameters[i], base, lanes);
  }
  for (const auto& [slot, offset] : function.frame_slots) {
    std::uint64_t* row = out(slot);
    for_lanes(lanes, [row, address = base + offset](int lane) { row[lane] = address; });
  }
  for_lanes(lanes, [&](int lane) { destination_[static_cast<std::size_t>(lane)] = {function.entry, frame}; });
}

bool Warp::leave(Lanes lanes) {
  const std::uint32_t number = current_->frame;
  if (number == 0) return false;
  const Program& program = block.grid.program;
  CallFrame& frame = calls_[number];
  const FunctionCode& function = program.functions[frame.function];
  const CallSite& site = program.calls[program.code[frame.site].target];
  const std::uint32_t caller_base = calls_[frame.parent].base;
  if (observer_ != nullptr) {
    observer_->returned(*this, {function.results, frame.base, site.results, caller_base}, function, number, lanes);
  }
  const std::size_t count = std::min(site.results.size(), function.results.size());
  std::vector<Values> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (function.results[i].slot != kNoSlot) std::copy_n(in(function.results[i].slot), kWarpLanes, values[i].begin());
  }
  if (function.recursive) restore_registers(frame, lanes);
  for (std::size_t i = 0; i < count; ++i) {
    Argument from = function.results[i];
    if (from.slot != kNoSlot) {
      std::copy(values[i].begin(), values[i].end(), out(Program::kExchange));
      from.slot = Program::kExchange;
    }
    pass(from, frame.base, site.results[i], caller_base, lanes);
  }
  for_lanes(lanes, [&](int lane) { destination_[static_cast<std::size_t>(lane)] = {frame.site + 1, frame.parent}; });
  calls_.leave(number, lanes);
  return true;
}

}  // namespace moesaic::emulator
