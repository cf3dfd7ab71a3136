#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "emulator/async_copy.hpp"
#include "emulator/grid_observer.hpp"
#include "emulator/grid_set.hpp"
#include "emulator/mbarrier.hpp"
#include "emulator/warp.hpp"
#include "spec/split_mix.hpp"

namespace moesaic::emulator {

struct Grid;

/// What blocks tell the card that runs them, and ask it. Any host thread may call.
class GridControl {
 public:
  virtual ~GridControl() = default;

  /// The first griddepcontrol.launch_dependents of a block; `after_wait`: a thread of it had waited before.
  virtual void release_dependents(const Grid& grid, bool after_wait) = 0;
  /// Whether griddepcontrol.wait of that grid may return; it has, for some thread.
  virtual bool prerequisites_completed(const Grid& grid) = 0;
  virtual void note_waited(const Grid& grid) = 0;
  /// Whether that grid is known to have ended by whoever has executed griddepcontrol.wait.
  virtual bool is_prerequisite(const Grid& grid, std::uint64_t number) = 0;
  /// Takes the next block of the grid that has not started from the card: it never will. None: there is no such block.
  virtual std::optional<std::uint64_t> cancel_block(const Grid& grid) = 0;
};

/// What all blocks of a launch share.
struct Grid {
  const Program& program;
  const Options& options;
  GlobalMemory& memory;
  Launch launch;
  std::uint64_t number = 0;                ///< of the launch on its machine
  std::unique_ptr<GridObserver> observer;  ///< when a check is on
  /// Grids that have ended before this one's first block started, as the streams order them (not only by chance). For
  /// what griddepcontrol.wait adds to them see GridControl::is_prerequisite.
  GridSet before{};
  std::uint32_t registers = 0;  ///< of a thread at launch, 0: not known
  GridControl* control = nullptr;
  std::uint64_t workspace = 0;  ///< where the blocks of a cooperative grid meet; 0: there is none
};

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;

  /// Uniform in [0, bound), near enough.
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>((next() >> 32) * bound >> 32); }
};

/// One barrier of bar.sync and its kin.
struct NamedBarrier {
  std::uint32_t arrived = 0;   ///< threads, in whole warps
  std::uint32_t expected = 0;  ///< threads; 0: all that have not exited
  std::uint32_t votes = 0;     ///< of bar.red: threads whose predicate holds
  std::uint32_t voters = 0;    ///< of bar.red: threads asked
  std::vector<int> waiting;    ///< warps
};

/// The lanes of a warp at barrier.cluster: those that have arrived in its phase, and those that were let go and have
/// yet to wait.
struct ClusterArrivals {
  Lanes arrived = 0;
  Lanes passed = 0;
};

/// A resident block: its shared memory, its barriers, its copies in flight, and who runs next.
class Block {
 public:
  static constexpr std::uint32_t kBarriers = 16;  ///< PTX ISA: barriers 0 to 15

  enum class State : std::uint8_t {
    running,
    stalled,  ///< it changes nothing, or waits for other grids: another block may have to run first
    done,
  };

  /// `sm_of_block`: on which SM it resides.
  Block(const Grid& grid_of_block, std::uint64_t linear_index, int sm_of_block = 0);

  const Grid& grid;
  const std::uint64_t index;
  const int sm;

  /// Runs for about `steps` warp instructions. Throws Fault.
  State run(std::uint64_t steps);

  const Statistics& statistics() const { return statistics_; }

  /// Where the observer counts.
  Statistics& observed() { return statistics_; }
  /// Who watches this block, or null.
  Observer* observer() { return observer_.get(); }

  // For warps and handlers.
  std::uint32_t thread_count() const { return threads_; }
  std::uint32_t shared_end() const { return kSharedBase + static_cast<std::uint32_t>(shared_bytes_); }
  std::byte* shared(std::uint32_t address) { return shared_.get() + (address - kSharedBase); }
  std::byte* local(int thread, std::uint64_t offset);
  /// What each thread has of local memory; and makes it more, which moves it.
  std::uint32_t local_bytes() const { return local_bytes_; }
  void grow_local(std::uint32_t bytes);
  /// Moves bytes within a thread's local memory: arguments and results of calls. (Observers: what is defined moves
  /// too.)
  void copy_local(int thread, std::uint64_t to, std::uint64_t from, std::uint32_t bytes);
  /// Prints what a thread says by printf.
  void print(const std::string& text) const;
  std::uint32_t special(Special which, int warp, int lane) const;
  std::uint64_t step() const { return step_; }
  /// To be called for whatever another thread could be waiting for.
  void note_effect() { ++effects_; }
  void note_poll() { ++polls_; }
  /// griddepcontrol.launch_dependents and .wait.
  void release_dependents();
  bool has_released_dependents() const { return released_dependents_; }
  void note_waited();
  /// The block's pool of registers, which setmaxnreg fills and empties.
  bool take_registers(std::uint64_t count);
  void give_registers(std::uint64_t count);
  std::uint64_t spare_registers() const { return spare_registers_; }
  void count(const Instruction& instruction, Lanes active) {
    const auto kind = static_cast<std::size_t>(instruction.kind);
    ++statistics_.warp_instructions[kind];
    statistics_.lane_instructions[kind] += static_cast<std::uint64_t>(std::popcount(active));
  }
  void count_mma() { ++statistics_.mma; }

  /// The mbarrier at that shared address, or null.
  Mbarrier* find_mbarrier(std::uint32_t address);
  void add_mbarrier(const Mbarrier& barrier);
  void remove_mbarrier(std::uint32_t address);
  /// To be called when an operation on an mbarrier, which was in `phase`, has succeeded: if that phase is over, those
  /// who wait for it go on. Throws Fault when a copy is under way that the phase did not wait for.
  void mbarrier_changed(const Mbarrier& barrier, std::uint64_t phase);

  /// The asynchronous operations in flight.
  AsyncCopies& copies() { return copies_; }
  /// Those who wait for asynchronous operations look again.
  void wake_copies();
  void count_copied(std::uint64_t bytes) { statistics_.copied_bytes += bytes; }
  Warp& warp(int number) { return *warps_[static_cast<std::size_t>(number)]; }
  Random& random() { return random_; }

  NamedBarrier& barrier(std::uint32_t id) { return barriers_[id]; }
  /// Counts a whole warp at a barrier of `expected` threads (0: the block) and lets go all who wait there when it is
  /// the last. Returns false when others expect another number of threads.
  bool arrive(Warp& warp, std::uint32_t id, std::uint32_t expected, bool waits);
  /// barrier.cluster: lanes arrive, and when all threads that have not exited are there, who waits goes on.
  void arrive_at_cluster(Warp& warp, Lanes lanes);
  ClusterArrivals& cluster_arrivals(const Warp& warp) { return cluster_[static_cast<std::size_t>(warp.index)]; }
  /// To be called when lanes of a warp have exited: those that are left may be all that a barrier waits for.
  void lanes_exited(Warp& warp);

 private:
  void try_release(std::uint32_t id);
  void try_release_cluster();
  void wake(Wait reason, std::uint32_t what);
  void time_out_one();
  bool wake_for_prerequisites();
  bool waits_for_prerequisites() const;
  void resolve_standstill();
  [[noreturn]] void report_deadlock() const;
  [[noreturn]] void report_livelock() const;
  bool all_done() const;

  std::uint32_t threads_;
  std::size_t shared_bytes_;
  std::unique_ptr<std::byte[]> shared_;
  std::uint32_t local_bytes_;
  std::vector<std::byte> local_;
  std::unique_ptr<Observer> observer_;
  Random random_;
  std::vector<std::unique_ptr<Warp>> warps_;
  std::vector<Mbarrier> mbarriers_;
  std::array<NamedBarrier, kBarriers> barriers_;
  std::vector<ClusterArrivals> cluster_;  // by warp
  AsyncCopies copies_{*this};
  Statistics statistics_;
  std::uint64_t step_ = 0;
  std::uint64_t effects_ = 0;
  std::uint64_t polls_ = 0;
  std::uint64_t effects_seen_ = 0;    // when progress was last looked for
  std::uint64_t step_of_stall_ = 0;   // when a stall was last reported
  std::uint64_t step_of_effect_ = 0;  // when it was last found
  std::uint64_t effects_at_time_out_ = ~std::uint64_t{0};
  std::uint64_t polls_at_time_out_ = 0;
  std::uint32_t vain_rounds_ = 0;
  std::uint64_t spare_registers_ = 0;
  bool released_dependents_ = false;
  bool waited_ = false;  // some thread has executed griddepcontrol.wait
};

}  // namespace moesaic::emulator
