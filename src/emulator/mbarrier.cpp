#include "emulator/mbarrier.hpp"

#include <fmt/format.h>

namespace moesaic::emulator {

std::string Mbarrier::description() const {
  return fmt::format("phase {} with {} of {} arrivals and {} bytes pending", phase, pending, expected, bytes);
}

std::string Mbarrier::arrive(std::int64_t count) {
  if (count < 1 || count > pending) {
    return fmt::format(
        "more threads arrive than the phase still waits for: {} at the mbarrier at {:#x}, which is in {}", count,
        address, description());
  }
  pending -= count;
  advance();
  return {};
}

std::string Mbarrier::drop(std::int64_t count) {
  if (count > expected) {
    return fmt::format("{} arrivals are dropped at the mbarrier at {:#x}, which is in {}", count, address,
                       description());
  }
  if (count >= 1 && count <= pending) expected -= count;
  return arrive(count);
}

std::string Mbarrier::add_pending() {
  if (pending == kMaxCount) return fmt::format("the mbarrier at {:#x} waits for 2^20 - 1 arrivals already", address);
  ++pending;
  return {};
}

std::string Mbarrier::expect(std::int64_t more) {
  if (bytes + more > kMaxCount) {
    return fmt::format("{} bytes more are expected at the mbarrier at {:#x}, which is in {}: at most 2^20 - 1 may be",
                       more, address, description());
  }
  bytes += more;
  return {};
}

std::string Mbarrier::complete(std::int64_t done) {
  if (bytes - done < -kMaxCount) {
    return fmt::format("{} bytes complete at the mbarrier at {:#x}, which is in {}: below -(2^20 - 1)", done, address,
                       description());
  }
  bytes -= done;
  advance();
  return {};
}

void Mbarrier::advance() {
  if (pending != 0 || bytes != 0) return;
  ++phase;
  pending = expected;
}

}  // namespace moesaic::emulator
