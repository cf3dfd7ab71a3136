#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace moesaic::emulator {

/// All bits of each byte of a mask of bytes.
inline std::uint64_t bits_of_bytes(std::uint64_t bytes) {
  std::uint64_t bits = 0;
  for (unsigned byte = 0; byte < 8; ++byte) bits |= ((bytes >> byte) & 1U) * (std::uint64_t{0xff} << (8 * byte));
  return bits;
}

/// A byte for each that has any bit of a mask.
inline std::uint64_t bytes_of_bits(std::uint64_t bits) {
  std::uint64_t bytes = 0;
  for (unsigned byte = 0; byte < 8; ++byte) bytes |= std::uint64_t{(bits >> (8 * byte) & 0xffU) != 0} << byte;
  return bytes;
}

/// Which bytes of a piece of memory somebody has written. Several host threads may use it at once.
class DefinedBytes {
 public:
  explicit DefinedBytes(std::uint64_t bytes) : words_((bytes + 63) / 64) {}

  /// Marks bytes [at, at + count).
  void define(std::uint64_t at, std::uint64_t count) {
    for (; count > 64; at += 64, count -= 64) assign(at, 64, 0);
    assign(at, static_cast<std::uint32_t>(count), 0);
  }

  /// Of up to 64 bytes: bit i says whether byte at + i is undefined.
  std::uint64_t undefined(std::uint64_t at, std::uint32_t count) const {
    const std::uint32_t shift = at % 64;
    std::uint64_t defined = load(at / 64) >> shift;
    if (shift + count > 64) defined |= load(at / 64 + 1) << (64 - shift);
    return ~defined & mask(count);
  }

  /// The inverse.
  void assign(std::uint64_t at, std::uint32_t count, std::uint64_t undefined) {
    const std::uint32_t shift = at % 64;
    const std::uint64_t all = mask(count);
    store(at / 64, all << shift, ~undefined << shift);
    if (shift + count > 64) store(at / 64 + 1, all >> (64 - shift), ~undefined >> (64 - shift));
  }

  bool all_defined(std::uint64_t at, std::uint64_t count) const {
    for (; count > 0;) {
      const auto some = static_cast<std::uint32_t>(std::min<std::uint64_t>(count, 64));
      if (undefined(at, some) != 0) return false;
      at += some;
      count -= some;
    }
    return true;
  }

 private:
  static std::uint64_t mask(std::uint32_t count) {
    return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
  }

  std::uint64_t load(std::uint64_t word) const {
    // The library's atomic_ref takes no const object.
    return std::atomic_ref(const_cast<std::uint64_t&>(words_[word])).load(std::memory_order_relaxed);
  }
  void store(std::uint64_t word, std::uint64_t which, std::uint64_t defined) {
    if ((load(word) & which) == (defined & which)) return;
    const std::atomic_ref at(words_[word]);
    at.fetch_or(which & defined, std::memory_order_relaxed);
    at.fetch_and(~which | defined, std::memory_order_relaxed);
  }

  std::vector<std::uint64_t> words_;  // a bit for each byte
};

}  // namespace moesaic::emulator
