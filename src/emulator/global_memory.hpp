#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "emulator/defined_bytes.hpp"

namespace moesaic::emulator {

/// The card's memory: a flat 64-bit address space in which every allocation is known. Addresses are never given out
/// twice, so a stale pointer stays stale. Allocating and freeing must not overlap a launch.
class GlobalMemory {
 public:
  /// What fresh memory holds in every byte: NaN in every floating-point format, -1 in every signed integer.
  static constexpr std::byte kPoison{0xff};

  /// One live allocation: bytes [begin, end) of the card lie at `data`.
  struct Allocation {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::byte* data = nullptr;
    DefinedBytes* defined = nullptr;  ///< which bytes somebody wrote, when that is followed

    /// Whether [address, address + bytes) lies within. False for 0 bytes at `end`.
    bool holds(std::uint64_t address, std::uint64_t bytes) const {
      return address >= begin && address < end && bytes <= end - address;
    }
    std::byte* at(std::uint64_t address) const { return data + (address - begin); }
  };

  /// `capacity` is what the card has, in bytes.
  explicit GlobalMemory(std::uint64_t capacity) : capacity_(capacity) {}

  /// From here on fresh memory is undefined until the host or a kernel writes it: Allocation::defined follows it.
  void follow_definedness() { follows_definedness_ = true; }

  /// Makes an allocation, poisoned, 256-byte aligned. `bytes` 0 counts as 1.
  /// Throws Error when the card or the host has no room.
  std::uint64_t allocate(std::uint64_t bytes);

  /// Makes `bytes` of the host's memory the card's too, under the same address: it is for both to read and write, and
  /// counts as defined. They stay the caller's, and must live until free(). Throws Error when some of it is already
  /// an allocation.
  void adopt(void* data, std::uint64_t bytes);

  /// Ends an allocation. Throws Error when `address` is not the begin of a live one.
  void free(std::uint64_t address);

  /// Host to card. Throws Error when the range is not inside one live allocation, as read, fill and copy do.
  void write(std::uint64_t address, const void* from, std::size_t bytes);

  /// Card to host.
  void read(void* to, std::uint64_t address, std::size_t bytes) const;

  /// Sets every byte of a range.
  void fill(std::uint64_t address, std::byte value, std::size_t bytes);

  /// Card to card. The ranges may overlap.
  void copy(std::uint64_t to, std::uint64_t from, std::size_t bytes);

  /// The live allocation that holds all of [address, address + bytes), or null.
  const Allocation* find(std::uint64_t address, std::uint64_t bytes) const;

  /// Whether the address is one that allocate() has given out, or may give out: no memory of the host lies there.
  static bool is_card_address(std::uint64_t address) { return address >= kFirst && address < kEnd; }

  /// The live allocation nearest below or at `address`, or null; for messages.
  const Allocation* nearest_below(std::uint64_t address) const;

  std::uint64_t capacity() const { return capacity_; }
  std::uint64_t used() const { return used_; }

 private:
  struct AlignedDelete {
    void operator()(std::byte* bytes) const;
  };
  struct Owned {
    Allocation range;
    std::unique_ptr<std::byte[], AlignedDelete> storage;
    std::unique_ptr<DefinedBytes> defined;
  };

  // A part of the address space where neither programs nor shared libraries, stacks and heaps lie.
  static constexpr std::uint64_t kFirst = 0x1100'0000'0000;
  static constexpr std::uint64_t kEnd = 0x5000'0000'0000;

  const Allocation& require(std::uint64_t address, std::size_t bytes, const char* what) const;
  void insert(Owned owned);
  void define(const Allocation& allocation, std::uint64_t address, std::size_t bytes);

  std::uint64_t capacity_;
  std::uint64_t used_ = 0;
  bool follows_definedness_ = false;
  std::uint64_t next_ = kFirst;
  std::vector<Owned> allocations_;  // sorted by address
};

}  // namespace moesaic::emulator
