#pragma once

#include <cuda.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "emulator/grid_set.hpp"
#include "emulator/machine.hpp"

namespace moesaic::emulator::driver {

/// A point in the work of a card: what has been launched before it.
struct Point {
  GridSet launches{};
  std::vector<std::uint64_t> programmatic{};  ///< of an event that a launch records when its blocks release dependents
};

struct Capture;

/// What a node of a graph waits for.
struct Edge {
  CUgraphNode from = nullptr;
  bool programmatic = false;  ///< only for the blocks of that kernel to have released their dependents
};

/// One stream, or the legacy default stream. Copies are made by the host when all before them in their stream has run,
/// so a stream only consists of launches and of waits for events. CUDA Driver API, "Stream synchronization behavior".
struct Stream {
  bool blocking = true;                        ///< it and the legacy default stream wait for each other
  Point point{};                               ///< all so far
  std::optional<std::uint64_t> last_launch{};  ///< when nothing has come after it
  LaunchOrder last_order{};
  unsigned int flags = 0;  ///< as it was made
  int priority = 0;
  std::shared_ptr<Capture> capture{};  ///< while what it is asked to do becomes a graph
  std::vector<Edge> frontier{};        ///< then: what comes next waits for these nodes
  CUgraphNode last_kernel = nullptr;   ///< then: the kernel right before, if it is one
};

/// An event: the point at which it was recorded.
struct Event {
  bool recorded = false;
  bool without_timing = false;
  Point point{};
  std::chrono::steady_clock::time_point time{};  ///< of the record
  std::shared_ptr<Capture> capture{};            ///< of a stream that was captured when it was recorded
  std::vector<Edge> frontier{};                  ///< then: the nodes before it

  void record(Point at) {
    recorded = true;
    point = std::move(at);
    time = std::chrono::steady_clock::now();
    capture = nullptr;
    frontier.clear();
  }
};

/// What a launch into a stream comes after. `programmatic`: its blocks may start when those of the launch right before
/// it have released them. `known` has ended as far as the host knows.
LaunchOrder order_of(const Stream& stream, const GridSet& known, bool programmatic);

/// Notes a launch at the end of a stream.
void append(Stream& stream, std::uint64_t launch, const LaunchOrder& order);

/// Makes what comes later in the stream wait for a point.
void wait_for(Stream& stream, const Point& point);

}  // namespace moesaic::emulator::driver
