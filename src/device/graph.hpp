#pragma once

#include <functional>
#include <memory>

#include "device/gpu.hpp"

/// Many launches as one, and their time.
namespace moesaic::device {

/// Launches that were captured once and start together, as often as one likes. Where the driver has no graphs
/// (Gpu::has_graphs) each launch() launches them one by one.
class Graph {
 public:
  /// Captures what `launches` launches on the card; it may neither copy nor synchronize. Throws Error when the driver
  /// refuses.
  Graph(Gpu& gpu, std::function<void()> launches);
  /// Starts them, after all that was launched before.
  void launch() const;

 private:
  Gpu* gpu_;
  std::function<void()> launches_;  ///< empty when they were captured
  std::unique_ptr<CUgraphExec_st, std::function<void(CUgraphExec)>> executable_;
};

/// Takes the time between two places in the order of a card's launches.
class Stopwatch {
 public:
  /// Throws Error when the driver has no events.
  explicit Stopwatch(const Gpu& gpu);
  void start() const;
  void stop() const;
  /// Microseconds between start and stop, once both have been reached; waits for them.
  double elapsed_us() const;

 private:
  using Event = std::unique_ptr<CUevent_st, std::function<void(CUevent)>>;
  Event make_event() const;

  const Gpu* gpu_;
  Event start_;
  Event stop_;
};

}  // namespace moesaic::device
