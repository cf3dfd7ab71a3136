#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "emulator/block.hpp"
#include "emulator/occupancy.hpp"

namespace moesaic::emulator {

class CardObserver;

/// A launch that has been accepted, until it has ended.
struct Flight {
  Flight(const Kernel& kernel, const Options& options, GlobalMemory& memory, const Launch& launch, std::uint64_t number,
         GridControl& control);

  std::shared_ptr<const Program> program;
  std::vector<std::uint64_t> parameters;  ///< an aligned copy
  Grid grid;
  Footprint footprint;
  int per_sm = 0;
  LaunchOrder order;

  // What follows changes under the mutex of Flights.
  std::uint64_t next = 0;      ///< the first block that has not started
  std::uint64_t ended = 0;     ///< blocks
  std::uint64_t released = 0;  ///< blocks that have issued launch_dependents or ended
  bool started = false;
  bool waited = false;               ///< some thread has executed griddepcontrol.wait
  bool released_after_wait = false;  ///< some block has issued launch_dependents after that
  GridSet prerequisites{};           ///< what griddepcontrol.wait makes known to have completed
  std::vector<int> on_sm;            ///< blocks under way on each SM
  Statistics statistics;
  bool prerequisites_done = false;
};

/// The launches of a card that have not ended, and their execution by the host's threads.
///
/// A grid may start when all that it comes after has ended; by programmatic dependent launch when all blocks of its
/// prerequisites have issued griddepcontrol.launch_dependents or ended. Blocks of a grid start in order, as soon as an
/// SM has room beside the blocks of all other grids. When several grids may run, the seed decides whose blocks go on;
/// a grid that is alone runs block after block, as many at a time as there are host threads, and more when they wait
/// for one another.
class Flights : public GridControl {
 public:
  /// `observer` may be null.
  Flights(const Options& options, CardObserver* observer);

  void add(std::unique_ptr<Flight> flight);
  std::size_t size() const { return flights_.size(); }

  /// Runs all flights to their end. Throws the Fault of the lowest faulting block of the earliest faulting grid; the
  /// flights are forgotten then.
  void run();

  /// What a grid executed that ended in the last run.
  Statistics statistics(std::uint64_t number) const;
  /// When a grid ended, on the host's clock; none if it has not.
  std::optional<std::chrono::steady_clock::time_point> end_of(std::uint64_t number) const;

  // For blocks.
  void release_dependents(const Grid& grid, bool after_wait) override;
  bool prerequisites_completed(const Grid& grid) override;
  void note_waited(const Grid& grid) override;
  bool is_prerequisite(const Grid& grid, std::uint64_t number) override;
  std::optional<std::uint64_t> cancel_block(const Grid& grid) override;

 private:
  /// A block under way.
  struct Running {
    Flight* flight = nullptr;
    int sm = 0;
    bool released = false;
    std::unique_ptr<Block> block;
  };
  using Place = std::pair<std::uint64_t, std::uint64_t>;  // grid and block

  void work(std::uint64_t worker);
  std::optional<Running> start(Random& random, bool wait);
  Flight* choose(Random& random, int& sm);
  bool may_start(const Flight& flight) const;
  void begin(Flight& flight);
  int find_sm(const Flight& flight) const;
  bool is_mixed() const;
  bool has_faulted() const;
  void retire(Running& running, bool faulted);
  void block_released(Flight& flight);
  void end(Flight& flight);
  void note_fault(Place place, std::exception_ptr fault);
  bool matters(Place place);
  Flight* find(std::uint64_t number) const;

  const Options& options_;
  CardObserver* observer_;
  std::vector<std::unique_ptr<Flight>> flights_;  // in the order of launch
  std::vector<SmLoad> sms_;
  GridSet completed_;
  std::map<std::uint64_t, Statistics> statistics_;
  std::vector<std::chrono::steady_clock::time_point> ends_;  // by number
  std::uint64_t runs_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t under_way_ = 0;
  bool alone_ = true;  // only one grid may run, and none waits for it to release its dependents
  std::exception_ptr fault_;
  Place faulting_{};
};

}  // namespace moesaic::emulator
