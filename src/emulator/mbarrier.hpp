#pragma once

#include <cstdint>

namespace moesaic::emulator {

/// An mbarrier object. PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier": a phase completes
/// when the pending arrivals and the pending bytes are both zero; then the next phase begins with `expected` arrivals.
struct Mbarrier {
  static constexpr std::int64_t kMaxCount = (std::int64_t{1} << 20) - 1;

  std::uint32_t address = 0;
  std::int64_t expected = 0;  ///< arrivals of every phase
  std::int64_t pending = 0;   ///< arrivals that the current phase still waits for
  std::int64_t bytes = 0;     ///< transactions that the current phase still waits for
  std::uint64_t phase = 0;    ///< phases completed

  /// What is wrong with an operation, or null.
  const char* arrive(std::int64_t count) {
    if (count > pending) return "more threads arrive than the phase still waits for";
    pending -= count;
    return advance();
  }
  const char* expect(std::int64_t more) {
    bytes += more;
    return bytes > kMaxCount ? "the pending transaction count passes 2^20 - 1" : nullptr;
  }
  const char* complete(std::int64_t done) {
    bytes -= done;
    return bytes < -kMaxCount ? "the pending transaction count passes -(2^20 - 1)" : advance();
  }

  /// Whether the phase of that parity has completed: true when it is not the current one.
  bool passed(bool parity) const { return ((phase & 1U) != 0) != parity; }

 private:
  const char* advance() {
    if (pending == 0 && bytes == 0) {
      ++phase;
      pending = expected;
    }
    return nullptr;
  }
};

}  // namespace moesaic::emulator
