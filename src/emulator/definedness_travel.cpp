#include <algorithm>
#include <bit>
#include <utility>

#include "emulator/block.hpp"
#include "emulator/definedness.hpp"

/// How undefined bits travel through instructions that have some among their sources.
namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kAllBits = ~std::uint64_t{0};

std::uint64_t low_bits(unsigned count) {
  return count >= 64 ? kAllBits : (std::uint64_t{1} << count) - 1;
}

/// A source of one lane: its value, and which of its bits are undefined.
struct Source {
  std::uint64_t value = 0;
  std::uint64_t undefined = 0;
};
using Sources = std::array<Source, 8>;

/// All of each part of `width` bits that has any undefined bit.
std::uint64_t whole_parts(std::uint64_t undefined, unsigned width) {
  std::uint64_t all = 0;
  for (unsigned at = 0; at < 64; at += width) {
    const std::uint64_t part = low_bits(width) << at;
    if ((undefined & part) != 0) all |= part;
  }
  return all;
}

/// `bits` wide, with the highest bit repeated above when `sign`.
std::uint64_t extended(std::uint64_t undefined, unsigned bits, bool sign) {
  undefined &= low_bits(bits);
  const bool repeats = sign && bits < 64 && (undefined >> (bits - 1) & 1U) != 0;
  return repeats ? undefined | ~low_bits(bits) : undefined;
}

/// A result bit of lop3 is undefined if the undefined bits of the sources can make it both 0 and 1.
std::uint64_t through_table(const Sources& from) {
  std::uint64_t can_be[2] = {0, 0};
  for (unsigned i = 0; i < 8; ++i) {
    std::uint64_t fits = kAllBits;
    for (unsigned source = 0; source < 3; ++source) {
      const std::uint64_t wanted = (i >> (2 - source) & 1U) != 0 ? kAllBits : 0;
      fits &= from[source].undefined | ~(from[source].value ^ wanted);
    }
    can_be[from[3].value >> i & 1U] |= fits;
  }
  return can_be[0] & can_be[1] & low_bits(32);
}

std::uint64_t through_funnel(const Traits& traits, const Sources& from) {
  if (from[2].undefined != 0) return low_bits(32);
  const auto by = static_cast<unsigned>(from[2].value & 0xffffffffU);
  const unsigned n = traits.clamps ? std::min(by, 32U) : by & 31U;
  const std::uint64_t both = from[1].undefined << 32 | (from[0].undefined & low_bits(32));
  return traits.left ? both << n >> 32 : both >> n & low_bits(32);
}

std::uint64_t through_prmt(const Sources& from) {
  if ((from[2].undefined & 0xffffU) != 0) return low_bits(32);
  const std::uint64_t both = from[1].undefined << 32 | (from[0].undefined & low_bits(32));
  std::uint64_t undefined = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint64_t select = from[2].value >> (4 * i) & 15U;
    std::uint64_t byte = both >> (8 * (select & 7U)) & 0xffU;
    if ((select & 8U) != 0) byte = (byte & 0x80U) != 0 ? 0xff : 0;
    undefined |= byte << (8 * i);
  }
  return undefined;
}

std::uint64_t through_shift(const Traits& traits, const Sources& from) {
  const unsigned bits = traits.bits;
  if ((from[1].undefined & low_bits(32)) != 0) return low_bits(bits);
  const std::uint64_t by = std::min<std::uint64_t>(from[1].value & 0xffffffffU, bits);
  const std::uint64_t undefined = from[0].undefined & low_bits(bits);
  if (traits.travel == Travel::shift_left) return by < 64 ? undefined << by & low_bits(bits) : 0;
  std::uint64_t shifted = by < 64 ? undefined >> by : 0;
  const bool sign = traits.travel == Travel::shift_right_signed && (undefined >> (bits - 1) & 1U) != 0;
  if (sign) shifted |= low_bits(bits) & ~low_bits(bits - static_cast<unsigned>(std::max<std::uint64_t>(by, 1)));
  return shifted;
}

/// bfe d, a, position, length.
std::uint64_t through_extract(const Traits& traits, const Sources& from) {
  const unsigned bits = traits.bits;
  if (((from[1].undefined | from[2].undefined) & 0xffU) != 0) return low_bits(bits);
  const auto position = static_cast<unsigned>(from[1].value & 0xffU);
  const auto length = static_cast<unsigned>(from[2].value & 0xffU);
  const std::uint64_t undefined = from[0].undefined & low_bits(bits);
  std::uint64_t taken = position < 64 ? undefined >> position & low_bits(length) : 0;
  const unsigned top = std::min(position + length - 1, bits - 1);
  if (traits.is_signed && length != 0 && (undefined >> top & 1U) != 0) taken |= ~low_bits(length);
  return taken & low_bits(bits);
}

/// bfi d, a, b, position, length: a goes into b.
std::uint64_t through_insert(const Traits& traits, const Sources& from) {
  const unsigned bits = traits.bits;
  if (((from[2].undefined | from[3].undefined) & 0xffU) != 0) return low_bits(bits);
  const auto position = static_cast<unsigned>(from[2].value & 0xffU);
  const auto length = static_cast<unsigned>(from[3].value & 0xffU);
  const std::uint64_t hole = position < 64 ? low_bits(length) << position : 0;
  const std::uint64_t inserted = position < 64 ? from[0].undefined << position : 0;
  return ((from[1].undefined & ~hole) | (inserted & hole)) & low_bits(bits);
}

/// Undefined bits of the one result of a lane.
std::uint64_t travelled(const Traits& traits, const Sources& from, std::size_t count) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < count; ++i) all |= from[i].undefined & low_bits(traits.bits);
  const Source& a = from[0];
  const Source& b = from[1];
  switch (traits.travel) {
    case Travel::copy:
    case Travel::bit_xor:
      return all;
    case Travel::bit_and:
      return all & (a.value | a.undefined) & (b.value | b.undefined);
    case Travel::bit_or:
      return all & (~a.value | a.undefined) & (~b.value | b.undefined);
    case Travel::lop3:
      return through_table(from);
    case Travel::shift_left:
    case Travel::shift_right:
    case Travel::shift_right_signed:
      return through_shift(traits, from);
    case Travel::funnel:
      return through_funnel(traits, from);
    case Travel::prmt:
      return through_prmt(from);
    case Travel::upward:
      return all == 0 ? 0 : ~low_bits(static_cast<unsigned>(std::countr_zero(all)));
    case Travel::halves:
      return whole_parts(all, 16);
    case Travel::words:
      return whole_parts(all, 32);
    case Travel::extract:
      return through_extract(traits, from);
    case Travel::insert:
      return through_insert(traits, from);
    case Travel::convert:
      return extended(a.undefined, traits.bits, traits.is_signed) & low_bits(traits.result_bits);
    case Travel::convert_pair: {
      const std::uint64_t half = low_bits(traits.half_bits);
      return (a.undefined != 0 ? half << traits.half_bits : 0) | (b.undefined != 0 ? half : 0);
    }
    case Travel::pack: {
      const unsigned width = static_cast<unsigned>(traits.bits) / static_cast<unsigned>(count);
      std::uint64_t packed = 0;
      for (unsigned i = 0; i < count; ++i) packed |= (from[i].undefined & low_bits(width)) << (i * width);
      return packed;
    }
    default:
      return all != 0 ? kAllBits : 0;
  }
}

/// The lane that shfl reads for `lane`. PTX ISA, shfl.sync.
int shuffle_source(char mode, int lane, std::uint64_t by, std::uint64_t control) {
  const int clamp = static_cast<int>(control & 31U);
  const int segments = static_cast<int>(control >> 8 & 31U);
  const int b = static_cast<int>(by & 31U);
  const int lowest = lane & segments;
  const int limit = lowest | (clamp & ~segments & 31);
  const int from = mode == 'u'   ? lane - b
                   : mode == 'd' ? lane + b
                   : mode == 'b' ? lane ^ b
                                 : lowest | (b & ~segments & 31);
  const bool in_range = mode == 'u' ? from >= limit : from <= limit;
  return in_range ? from : lane;
}

}  // namespace

void Definedness::travel_lanes(Warp& warp, const Traits& traits, const WarpShadow& shadow, Lanes active) {
  Result result{.slot = traits.results[0]};
  const std::size_t count = std::min<std::size_t>(traits.sources.size(), Sources{}.size());
  for_lanes(active, [&](int lane) {
    Sources from{};
    for (std::size_t i = 0; i < count; ++i) {
      from[i] = Source{warp.in(traits.sources[i])[lane], undefined_bits(shadow, traits.sources[i], lane)};
    }
    bool predicate_undefined = false;
    for (const Slot slot : traits.source_predicates) {
      predicate_undefined = predicate_undefined || (undefined_predicate(shadow, slot) >> lane & 1U) != 0;
    }
    std::uint64_t bits = 0;
    if (predicate_undefined) {
      bits = kAllBits;
    } else if (traits.travel == Travel::select) {
      bits = from[(warp.predicate(traits.source_predicates[0]) >> lane & 1U) != 0 ? 0 : 1].undefined;
    } else {
      bits = travelled(traits, from, count);
    }
    result.bits[static_cast<std::size_t>(lane)] = bits;
  });
  results_.push_back(result);
  for (std::size_t i = 1; i < traits.results.size(); ++i) {
    result.slot = traits.results[i];
    results_.push_back(result);
  }
}

void Definedness::travel_predicates(Warp& warp, const Traits& traits, const WarpShadow& shadow, Lanes active) {
  const bool conjunction = traits.travel == Travel::predicate_and;
  if (conjunction || traits.travel == Travel::predicate_or) {
    // One source that is defined may decide alone.
    Lanes undefined = 0;
    Lanes decided = 0;
    for (const Slot slot : traits.source_predicates) {
      const Lanes unknown = undefined_predicate(shadow, slot);
      undefined |= unknown;
      decided |= ~unknown & (conjunction ? ~warp.predicate(slot) : warp.predicate(slot));
    }
    undefined_predicates_ = undefined & ~decided & active;
    return;
  }
  for (const Slot slot : traits.source_predicates) undefined_predicates_ |= undefined_predicate(shadow, slot) & active;
  for (const Slot slot : traits.sources) {
    for_lanes(undefined_lanes(shadow, slot) & active, [&](int lane) {
      const bool any = (undefined_bits(shadow, slot, lane) & low_bits(traits.bits)) != 0;
      undefined_predicates_ |= Lanes{any} << lane;
    });
  }
}

void Definedness::shuffle(Warp& warp, const Traits& traits, const WarpShadow& shadow, Lanes active) {
  Result result{.slot = traits.results[0]};
  for_lanes(active, [&](int lane) {
    std::uint64_t& bits = result.bits[static_cast<std::size_t>(lane)];
    for (const Slot slot : {traits.sources[1], traits.sources[2]}) {
      if (undefined_bits(shadow, slot, lane) != 0) bits = kAllBits;
    }
    const int from =
        shuffle_source(traits.mode, lane, warp.in(traits.sources[1])[lane], warp.in(traits.sources[2])[lane]);
    if ((active >> from & 1U) != 0) {
      bits |= undefined_bits(shadow, traits.sources[0], from) & low_bits(32);
    } else {
      bits = kAllBits;  // a lane that does not take part gives nothing
    }
  });
  results_.push_back(result);
}

/// mov {d, ...}, s.
void Definedness::unpack(const Traits& traits, const WarpShadow& shadow, Lanes active) {
  const unsigned width = static_cast<unsigned>(traits.bits) / static_cast<unsigned>(traits.results.size());
  for (unsigned i = 0; i < traits.results.size(); ++i) {
    Result result{.slot = traits.results[i]};
    for_lanes(active, [&](int lane) {
      result.bits[static_cast<std::size_t>(lane)] =
          undefined_bits(shadow, traits.sources[0], lane) >> (i * width) & low_bits(width);
    });
    results_.push_back(result);
  }
}

void Definedness::travel(Warp& warp, const Instruction& instruction, const Traits& traits, const WarpShadow& shadow,
                         Lanes active) {
  switch (traits.travel) {
    case Travel::none:
    case Travel::load:
    case Travel::store:
    case Travel::atomic:
    case Travel::load_matrix:
    case Travel::store_matrix:
      return;  // memory is looked at when it has been accessed
    case Travel::shuffle:
      return shuffle(warp, traits, shadow, active);
    case Travel::move_matrix:
      return move_matrix(traits, shadow);
    case Travel::multiply:
      return multiply(warp, instruction, shadow);
    case Travel::unpack:
      if (traits.bits <= 64) return unpack(traits, shadow, active);
      break;
    case Travel::ballot:
    case Travel::gather: {
      Lanes undefined = 0;
      for (const Slot slot : traits.sources) undefined |= undefined_lanes(shadow, slot) & active;
      for (const Slot slot : traits.source_predicates) undefined |= undefined_predicate(shadow, slot) & active;
      UndefinedRow row;
      row.fill(traits.travel == Travel::ballot ? undefined : kAllBits);
      for (const Slot slot : traits.results) results_.push_back(Result{slot, row});
      undefined_predicates_ = active;
      return;
    }
    default:
      break;
  }
  if (!traits.results.empty()) travel_lanes(warp, traits, shadow, active);
  if (!traits.result_predicates.empty()) travel_predicates(warp, traits, shadow, active);
}

}  // namespace moesaic::emulator
