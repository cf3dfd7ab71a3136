#include "emulator/global_memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "spec/error.hpp"

namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kAlignment = 256;
// Between allocations lies a gap that belongs to none, so that overruns are seen.
constexpr std::uint64_t kGap = 4096;

}  // namespace

void GlobalMemory::AlignedDelete::operator()(std::byte* bytes) const {
  ::operator delete[](bytes, std::align_val_t{kAlignment});
}

std::uint64_t GlobalMemory::allocate(std::uint64_t bytes) {
  bytes = std::max<std::uint64_t>(bytes, 1);
  if (bytes > capacity_ - used_) {
    throw Error(fmt::format("out of card memory: {} bytes are wanted and {} of {} are free", bytes, capacity_ - used_,
                            capacity_));
  }
  Owned owned;
  owned.storage.reset(new (std::align_val_t{kAlignment}, std::nothrow) std::byte[bytes]);
  if (owned.storage == nullptr) throw Error(fmt::format("out of host memory: {} bytes for the emulated card", bytes));
  std::fill_n(owned.storage.get(), bytes, kPoison);
  if (follows_definedness_) owned.defined = std::make_unique<DefinedBytes>(bytes);
  owned.range = Allocation{next_, next_ + bytes, owned.storage.get(), owned.defined.get()};
  next_ += (bytes + kGap + kAlignment - 1) / kAlignment * kAlignment;
  used_ += bytes;
  const std::uint64_t address = owned.range.begin;
  insert(std::move(owned));
  return address;
}

void GlobalMemory::adopt(void* data, std::uint64_t bytes) {
  const auto begin = reinterpret_cast<std::uint64_t>(data);
  const Allocation* below = nearest_below(begin + std::max<std::uint64_t>(bytes, 1) - 1);
  if (below != nullptr && below->end > begin) {
    throw Error(fmt::format("the card reaches {} bytes at {:#x} already, or some of them", bytes, begin));
  }
  Owned owned;
  owned.range = Allocation{begin, begin + bytes, static_cast<std::byte*>(data), nullptr};
  insert(std::move(owned));
}

void GlobalMemory::insert(Owned owned) {
  const auto above = std::upper_bound(allocations_.begin(), allocations_.end(), owned.range.begin,
                                      [](std::uint64_t a, const Owned& other) { return a < other.range.begin; });
  allocations_.insert(above, std::move(owned));
}

void GlobalMemory::free(std::uint64_t address) {
  const auto at = std::find_if(allocations_.begin(), allocations_.end(),
                               [&](const Owned& owned) { return owned.range.begin == address; });
  if (at == allocations_.end()) throw Error(fmt::format("{:#x} is not the address of an allocation", address));
  if (at->storage != nullptr) used_ -= at->range.end - at->range.begin;
  allocations_.erase(at);
}

const GlobalMemory::Allocation* GlobalMemory::nearest_below(std::uint64_t address) const {
  const auto above = std::upper_bound(allocations_.begin(), allocations_.end(), address,
                                      [](std::uint64_t a, const Owned& owned) { return a < owned.range.begin; });
  return above == allocations_.begin() ? nullptr : &std::prev(above)->range;
}

const GlobalMemory::Allocation* GlobalMemory::find(std::uint64_t address, std::uint64_t bytes) const {
  const Allocation* below = nearest_below(address);
  return below != nullptr && below->holds(address, bytes) ? below : nullptr;
}

const GlobalMemory::Allocation& GlobalMemory::require(std::uint64_t address, std::size_t bytes,
                                                      const char* what) const {
  const Allocation* found = find(address, bytes);
  if (found == nullptr) {
    throw Error(fmt::format("cannot {} {} bytes at {:#x}: they are not inside one allocation", what, bytes, address));
  }
  return *found;
}

void GlobalMemory::define(const Allocation& allocation, std::uint64_t address, std::size_t bytes) {
  if (allocation.defined != nullptr) allocation.defined->define(address - allocation.begin, bytes);
}

void GlobalMemory::write(std::uint64_t address, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  const Allocation& to = require(address, bytes, "write");
  std::memcpy(to.at(address), from, bytes);
  define(to, address, bytes);
}

void GlobalMemory::read(void* to, std::uint64_t address, std::size_t bytes) const {
  if (bytes != 0) std::memcpy(to, require(address, bytes, "read").at(address), bytes);
}

void GlobalMemory::fill(std::uint64_t address, std::byte value, std::size_t bytes) {
  if (bytes == 0) return;
  const Allocation& to = require(address, bytes, "fill");
  std::fill_n(to.at(address), bytes, value);
  define(to, address, bytes);
}

void GlobalMemory::copy(std::uint64_t to, std::uint64_t from, std::size_t bytes) {
  if (bytes == 0) return;
  const Allocation& target = require(to, bytes, "copy to");
  const Allocation& source = require(from, bytes, "copy from");
  std::memmove(target.at(to), source.at(from), bytes);
  if (target.defined == nullptr) return;
  if (source.defined == nullptr) {
    define(target, to, bytes);
    return;
  }
  // Where the ranges overlap, this may take what was copied for what was there: then more counts as defined, not less.
  define(target, to, bytes);
  for (std::size_t done = 0; done < bytes; done += 64) {
    const auto some = static_cast<std::uint32_t>(std::min<std::size_t>(64, bytes - done));
    const std::uint64_t undefined = source.defined->undefined(from - source.begin + done, some);
    if (undefined != 0) target.defined->assign(to - target.begin + done, some, undefined);
  }
}

}  // namespace moesaic::emulator
