#include "emulator/grid_run.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <mutex>
#include <new>
#include <thread>

namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kTurnSteps = 100'000;  // of a block, before its host thread looks at its other blocks

class GridRun {
 public:
  GridRun(const Grid& grid, std::uint64_t resident) : grid_(grid), resident_(resident) {}

  /// What one host thread does until no block is left for it.
  void work();

  Statistics finish() const {
    if (fault_) std::rethrow_exception(fault_);
    return statistics_;
  }

 private:
  std::unique_ptr<Block> start();
  void retire(const Block& block);
  void note_fault(std::uint64_t block, std::exception_ptr fault);

  const Grid& grid_;
  const std::uint64_t resident_;
  std::mutex mutex_;
  std::uint64_t next_ = 0;
  std::uint64_t under_way_ = 0;
  std::exception_ptr fault_;
  std::atomic<std::uint64_t> faulting_{std::numeric_limits<std::uint64_t>::max()};
  Statistics statistics_;
};

/// The next block, or null when there is none, when no more fit on the card or when the host has no room for it. A
/// thread that is left without one ends: whoever holds the blocks under way goes on with those that follow.
std::unique_ptr<Block> GridRun::start() {
  std::uint64_t index = 0;
  {
    const std::lock_guard lock(mutex_);
    if (next_ >= grid_.launch.grid.count() || fault_) return nullptr;
    if (under_way_ >= resident_) return nullptr;
    index = next_++;
    ++under_way_;
  }
  try {
    return std::make_unique<Block>(grid_, index);
  } catch (const std::bad_alloc&) {
    note_fault(index, std::current_exception());
  }
  const std::lock_guard lock(mutex_);
  --under_way_;
  return nullptr;
}

void GridRun::retire(const Block& block) {
  const std::lock_guard lock(mutex_);
  statistics_ += block.statistics();
  --under_way_;
}

void GridRun::note_fault(std::uint64_t block, std::exception_ptr fault) {
  const std::lock_guard lock(mutex_);
  if (block >= faulting_) return;
  faulting_ = block;
  fault_ = std::move(fault);
}

void GridRun::work() {
  std::vector<std::unique_ptr<Block>> mine;
  for (std::size_t turn = 0;;) {
    if (mine.empty()) {
      if (auto block = start()) mine.push_back(std::move(block));
      if (mine.empty()) return;
    }
    turn %= mine.size();
    Block& block = *mine[turn];
    Block::State state = Block::State::done;
    // A block behind a faulting one does not matter any more; one before it may have an earlier fault to show.
    if (block.index < faulting_) {
      try {
        state = block.run(kTurnSteps);
      } catch (...) {
        note_fault(block.index, std::current_exception());
      }
    }
    if (state == Block::State::done || block.index >= faulting_) {
      retire(block);
      mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(turn));
      continue;
    }
    if (state == Block::State::stalled) {
      if (faulting_ != std::numeric_limits<std::uint64_t>::max()) {
        // It may be waiting for the block that faulted.
        retire(block);
        mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(turn));
        continue;
      }
      if (auto other = start()) mine.push_back(std::move(other));
      ++turn;
      std::this_thread::yield();
    }
  }
}

}  // namespace

Statistics run_grid(const Grid& grid, std::uint64_t resident, int host_threads) {
  GridRun run(grid, resident);
  const std::uint64_t wanted = host_threads > 0 ? static_cast<std::uint64_t>(host_threads)
                                                : std::max<std::uint64_t>(1, std::thread::hardware_concurrency());
  const std::uint64_t threads = std::min({wanted, resident, grid.launch.grid.count()});
  {
    std::vector<std::jthread> helpers;
    for (std::uint64_t i = 1; i < threads; ++i) helpers.emplace_back([&] { run.work(); });
    run.work();
  }
  return run.finish();
}

}  // namespace moesaic::emulator
