#pragma once

#include <cstdint>
#include <string>

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

  /// What is wrong with an operation, or empty.
  std::string arrive(std::int64_t count);
  /// Arrives, and the following phases expect so many arrivals fewer.
  std::string drop(std::int64_t count);
  /// One arrival more in this phase, of cp.async.mbarrier.arrive without .noinc.
  std::string add_pending();
  std::string expect(std::int64_t more);
  std::string complete(std::int64_t done);

  /// Whether the phase of that parity has completed: true when it is not the current one.
  bool passed(bool parity) const { return ((phase & 1U) != 0) != parity; }

  /// What mbarrier.arrive returns, opaque to programs: the phase and its pending arrivals.
  std::uint64_t state() const { return phase << 20 | static_cast<std::uint64_t>(pending); }
  static std::uint64_t phase_of(std::uint64_t state) { return state >> 20; }
  static std::uint64_t pending_of(std::uint64_t state) { return state & 0xfffffU; }

  /// "phase 3 with 1 of 4 arrivals and 512 bytes pending"
  std::string description() const;

 private:
  void advance();
};

}  // namespace moesaic::emulator
