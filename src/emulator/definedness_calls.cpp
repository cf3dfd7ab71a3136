#include <algorithm>

#include "emulator/block.hpp"
#include "emulator/definedness.hpp"

/// Undefined values in calls and returns. A function begins with registers and variables that nobody has written.
namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kAllBits = ~std::uint64_t{0};
constexpr std::uint32_t kWordBytes = 64;  // of memory, followed at once

}  // namespace

std::uint64_t Definedness::place_in_local(const Warp& warp, int lane, std::uint64_t address) const {
  return static_cast<std::uint64_t>(warp.index * kWarpLanes + lane) * block_.local_bytes() + address;
}

/// Of what is passed: the undefined bits of a register, or, for what lies in memory, the undefined bytes of each 64, in
/// as many rows as they take.
std::vector<UndefinedRow> Definedness::taken(const Warp& warp, const Passage& passage, Lanes lanes) {
  std::vector<UndefinedRow> rows;
  const std::size_t count = std::min(passage.from.size(), passage.to.size());
  for (std::size_t i = 0; i < count; ++i) {
    const Argument& from = passage.from[i];
    if (from.slot != kNoSlot) {
      UndefinedRow& row = rows.emplace_back();
      for_lanes(lanes, [&](int lane) {
        row[static_cast<std::size_t>(lane)] = undefined_bits(shadow_of(warp), from.slot, lane);
      });
      continue;
    }
    for (std::uint32_t at = 0; at < from.bytes; at += kWordBytes) {
      UndefinedRow& row = rows.emplace_back();
      for_lanes(lanes, [&](int lane) {
        const std::uint64_t place = place_in_local(warp, lane, passage.from_base + from.offset + at);
        row[static_cast<std::size_t>(lane)] = local_.undefined(place, std::min(kWordBytes, from.bytes - at));
      });
    }
  }
  return rows;
}

void Definedness::give(const Warp& warp, const Passage& passage, const std::vector<UndefinedRow>& values, Lanes lanes) {
  const std::size_t count = std::min(passage.from.size(), passage.to.size());
  auto row = values.begin();
  for (std::size_t i = 0; i < count; ++i) {
    const Argument& from = passage.from[i];
    const Argument& to = passage.to[i];
    const bool in_register = from.slot != kNoSlot;
    const std::uint32_t rows = in_register ? 1 : (from.bytes + kWordBytes - 1) / kWordBytes;
    if (to.slot != kNoSlot) {
      UndefinedRow bits = *row;
      for (std::uint64_t& of_lane : bits) of_lane = in_register ? of_lane : bits_of_bytes(of_lane & 0xffU);
      set(shadow_of(warp), to.slot, lanes, bits);
    } else {
      for (std::uint32_t at = 0; at < std::min(from.bytes, to.bytes); at += kWordBytes) {
        const std::uint32_t some = std::min(kWordBytes, std::min(from.bytes, to.bytes) - at);
        const UndefinedRow& of_word = *(row + at / kWordBytes);
        for_lanes(lanes, [&](int lane) {
          const std::uint64_t undefined = of_word[static_cast<std::size_t>(lane)];
          local_.assign(place_in_local(warp, lane, passage.to_base + to.offset + at), some,
                        in_register ? bytes_of_bits(undefined) : undefined);
        });
      }
    }
    row += rows;
  }
}

void Definedness::called(const Warp& warp, const Passage& passage, const FunctionCode& function, std::uint32_t frame,
                         Lanes lanes) {
  WarpShadow& shadow = shadow_of(warp);
  const std::vector<UndefinedRow> values = taken(warp, passage, lanes);
  if (function.recursive) {
    if (shadow.saved.size() <= frame) shadow.saved.resize(frame + 1);
    SavedShadow& saved = shadow.saved[frame];
    saved.bits.resize(function.registers.size());
    saved.predicates.resize(function.predicates.size());
    for (std::size_t i = 0; i < function.registers.size(); ++i) {
      for_lanes(lanes, [&](int lane) {
        saved.bits[i][static_cast<std::size_t>(lane)] = undefined_bits(shadow, function.registers[i], lane);
      });
    }
    for (std::size_t i = 0; i < function.predicates.size(); ++i) {
      saved.predicates[i] =
          (saved.predicates[i] & ~lanes) | (undefined_predicate(shadow, function.predicates[i]) & lanes);
    }
  }
  UndefinedRow all;
  all.fill(kAllBits);
  for (const Slot slot : function.registers) set(shadow, slot, lanes, all);
  for (const Slot slot : function.predicates) shadow.predicates[index(slot >> 1)] |= lanes;
  for_lanes(lanes, [&](int lane) {
    for (std::uint32_t at = 0; at < function.frame_bytes; at += kWordBytes) {
      local_.assign(place_in_local(warp, lane, passage.to_base + at), std::min(kWordBytes, function.frame_bytes - at),
                    kAllBits);
    }
  });
  give(warp, passage, values, lanes);
  for (const auto& [slot, offset] : function.frame_slots) set(shadow, slot, lanes, UndefinedRow{});
}

void Definedness::returned(const Warp& warp, const Passage& passage, const FunctionCode& function, std::uint32_t frame,
                           Lanes lanes) {
  WarpShadow& shadow = shadow_of(warp);
  const std::vector<UndefinedRow> values = taken(warp, passage, lanes);
  if (function.recursive) {
    const SavedShadow& saved = shadow.saved[frame];
    for (std::size_t i = 0; i < function.registers.size(); ++i)
      set(shadow, function.registers[i], lanes, saved.bits[i]);
    for (std::size_t i = 0; i < function.predicates.size(); ++i) {
      Lanes& predicate = shadow.predicates[index(function.predicates[i] >> 1)];
      predicate = (predicate & ~lanes) | (saved.predicates[i] & lanes);
    }
  }
  give(warp, passage, values, lanes);
}

void Definedness::move(const Warp& warp, const std::vector<MovedSlot>& moved) {
  WarpShadow& shadow = shadow_of(warp);
  for (const MovedSlot& one : moved) {
    if (one.is_predicate) {
      Lanes& to = shadow.predicates[index(one.to >> 1)];
      to = (to & ~one.lanes) | (undefined_predicate(shadow, one.from) & one.lanes);
      continue;
    }
    UndefinedRow bits{};
    for_lanes(one.lanes,
              [&](int lane) { bits[static_cast<std::size_t>(lane)] = undefined_bits(shadow, one.from, lane); });
    set(shadow, one.to, one.lanes, bits);
  }
  shadow.predicates[index(Program::kPredicateSink >> 1)] = 0;
}

void Definedness::local_grows(std::uint32_t from_bytes, std::uint32_t to_bytes) {
  DefinedBytes grown(std::uint64_t{to_bytes} * block_.thread_count());
  for (std::uint64_t thread = 0; thread < block_.thread_count(); ++thread) {
    for (std::uint32_t at = 0; at < from_bytes; at += kWordBytes) {
      const std::uint32_t some = std::min(kWordBytes, from_bytes - at);
      grown.assign(thread * to_bytes + at, some, local_.undefined(thread * from_bytes + at, some));
    }
  }
  local_ = std::move(grown);
}

void Definedness::printed(const Warp& warp, const Instruction& instruction, int lane, std::uint64_t address,
                          std::uint32_t bytes) {
  if (local_.undefined(place_in_local(warp, lane, address), bytes) == 0) return;
  report(warp, instruction, Lanes{1} << lane, "it prints a value that nobody wrote");
  local_.define(place_in_local(warp, lane, address), bytes);
}

}  // namespace moesaic::emulator
