#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "emulator/grid_set.hpp"
#include "emulator/machine.hpp"

namespace moesaic::emulator::driver {

/// A point in the work of a card: what has been launched before it.
struct Point {
  GridSet launches{};
  std::vector<std::uint64_t> programmatic{};  ///< of an event that a launch records when its blocks release dependents
};

/// One stream, or the legacy default stream. Copies are made by the host when all before them in their stream has run,
/// so a stream only consists of launches and of waits for events. CUDA Driver API, "Stream synchronization behavior".
struct Stream {
  bool blocking = true;                        ///< it and the legacy default stream wait for each other
  Point point{};                               ///< all so far
  std::optional<std::uint64_t> last_launch{};  ///< when nothing has come after it
  LaunchOrder last_order{};
};

/// An event: the point at which it was recorded.
struct Event {
  bool recorded = false;
  bool without_timing = false;
  Point point{};
  std::chrono::steady_clock::time_point time{};  ///< of the record
};

/// What a launch into a stream comes after. `programmatic`: its blocks may start when those of the launch right before
/// it have released them. `known` has ended as far as the host knows.
LaunchOrder order_of(const Stream& stream, const GridSet& known, bool programmatic);

/// Notes a launch at the end of a stream.
void append(Stream& stream, std::uint64_t launch, const LaunchOrder& order);

/// Makes what comes later in the stream wait for a point.
void wait_for(Stream& stream, const Point& point);

}  // namespace moesaic::emulator::driver
