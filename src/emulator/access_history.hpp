#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "emulator/instruction_traits.hpp"
#include "emulator/knowledge.hpp"

namespace moesaic::emulator {

/// What one warp's lanes, or one asynchronous operation, did to some bytes of a cell.
struct Record {
  static constexpr std::uint8_t kWrites = 1;
  static constexpr std::uint8_t kReads = 2;       ///< atomics both read and write
  static constexpr std::uint8_t kAsync = 4;       ///< through the asynchronous proxy
  static constexpr std::uint8_t kOperation = 8;   ///< `agent` stands for an asynchronous operation, not for a thread
  static constexpr std::uint8_t kScopeShift = 5;  ///< the scope of a strong access; Scope::none: a weak one

  std::uint16_t bytes = 0;  ///< of the cell, one bit each
  std::uint8_t flags = 0;
  std::uint8_t warp = 0;
  Lanes lanes = 0;  ///< that did it, or that issued the operation
  Epoch epoch = 0;
  Agent agent = 0;  ///< of lane 0 of the warp, or of the operation
  std::uint32_t block = 0;
  std::uint32_t grid = 0;
  std::uint32_t pc = 0;

  bool writes() const { return (flags & kWrites) != 0; }
  bool is_async() const { return (flags & kAsync) != 0; }
  bool is_operation() const { return (flags & kOperation) != 0; }
  Scope scope() const { return static_cast<Scope>(flags >> kScopeShift); }
};

/// An access that is about to happen, by one lane or by an operation that it issued.
struct Access16 {
  Record record;                         ///< one lane
  const Knowledge* knowledge = nullptr;  ///< what comes before it
  Epochs own{};                          ///< likewise, of the lane's own accesses
  Agent thread = 0;                      ///< the lane
  View view = View::async_shared;        ///< of the asynchronous proxy in this space
};

/// How a grid stands to the one that accesses memory now.
enum class GridOrder : std::uint8_t {
  before,        ///< it had completed
  prerequisite,  ///< it is in flight, and griddepcontrol.wait waits for it
  dependent,     ///< it waits for this one
  unordered,
};

/// What is wrong with two accesses.
enum class Conflict : std::uint8_t { none, race, missing_proxy_fence, early };

/// The accesses to 16 bytes that later ones may still conflict with.
class Cell {
 public:
  static constexpr std::uint32_t kBytes = 16;

  /// Adds an access. Calls order(grid) for the standing of other grids and report(earlier record, conflict) for what is
  /// wrong.
  template <typename Order, typename Report>
  void add(const Access16& access, Order&& order, Report&& report);

  const std::vector<Record>& records() const { return records_; }
  void clear() { records_.clear(); }

 private:
  // Beyond that many the oldest are forgotten: a conflict with one of them may be missed, none is made up.
  static constexpr std::size_t kMost = 96;

  void insert(const Record& record);

  std::vector<Record> records_;
};

/// Whether an access is ordered after an earlier one in a view.
bool is_ordered(const Record& earlier, const Access16& access, View view);

/// What is wrong when `access` follows `earlier` on the same bytes; `standing` is that of the earlier one's grid.
Conflict conflict(const Record& earlier, const Access16& access, GridOrder standing);

/// The history of global memory, for all blocks on a card.
class GlobalHistory {
 public:
  /// Calls visit(cell, its address, mask of bytes) for each cell of a range.
  template <typename Visit>
  void for_cells(std::uint64_t address, std::uint64_t bytes, Visit&& visit);

  /// Forgets everything.
  void clear();

 private:
  static constexpr std::uint64_t kPageBytes = 4096;
  static constexpr std::size_t kStripes = 64;
  using Page = std::array<Cell, kPageBytes / Cell::kBytes>;
  struct Stripe {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages;
  };
  std::array<Stripe, kStripes> stripes_;
};

/// Splits a range at cells: calls visit(address of the cell, mask of its bytes).
template <typename Visit>
void split_at_cells(std::uint64_t address, std::uint64_t bytes, Visit&& visit) {
  const std::uint64_t end = address + bytes;
  for (std::uint64_t cell = address / Cell::kBytes * Cell::kBytes; cell < end; cell += Cell::kBytes) {
    const std::uint64_t first = cell < address ? address - cell : 0;
    const std::uint64_t last = end - cell < Cell::kBytes ? end - cell : Cell::kBytes;
    visit(cell, static_cast<std::uint16_t>(((std::uint32_t{1} << (last - first)) - 1) << first));
  }
}

template <typename Order, typename Report>
void Cell::add(const Access16& access, Order&& order, Report&& report) {
  const Record& now = access.record;
  const bool crowded = records_.size() > 8;
  std::size_t kept = 0;
  for (Record earlier : records_) {
    if ((earlier.bytes & now.bytes) == 0) {
      records_[kept++] = earlier;
      continue;
    }
    const bool covered = (earlier.bytes & ~now.bytes) == 0;
    if (now.writes() || earlier.writes()) {
      const GridOrder standing = earlier.grid == now.grid ? GridOrder::unordered : order(earlier.grid);
      const Conflict wrong = conflict(earlier, access, standing);
      if (wrong != Conflict::none) report(earlier, wrong);
      // What follows this write need not be compared with what came before it. A strong access that nothing orders
      // stays: it does not conflict with this one, but may with the next.
      if (now.writes() &&
          (wrong != Conflict::none || standing == GridOrder::before || is_ordered(earlier, access, View::generic))) {
        earlier.bytes = static_cast<std::uint16_t>(earlier.bytes & ~now.bytes);
      }
    } else if (covered && !earlier.is_operation() && !now.is_operation() && earlier.flags == now.flags) {
      // A lane's later read stands for its earlier one; so does a read that all earlier ones come before.
      if (earlier.grid == now.grid && earlier.block == now.block && earlier.agent == now.agent) {
        earlier.lanes &= ~now.lanes;
      }
      if (earlier.lanes == 0 || (crowded && is_ordered(earlier, access, View::generic))) earlier.bytes = 0;
    }
    if (earlier.bytes != 0) records_[kept++] = earlier;
  }
  records_.resize(kept);
  insert(now);
}

template <typename Visit>
void GlobalHistory::for_cells(std::uint64_t address, std::uint64_t bytes, Visit&& visit) {
  split_at_cells(address, bytes, [&](std::uint64_t cell, std::uint16_t mask) {
    const std::uint64_t number = cell / kPageBytes;
    Stripe& stripe = stripes_[number % kStripes];
    const std::lock_guard lock(stripe.mutex);
    std::unique_ptr<Page>& page = stripe.pages[number];
    if (page == nullptr) page = std::make_unique<Page>();
    visit((*page)[cell % kPageBytes / Cell::kBytes], cell, mask);
  });
}

}  // namespace moesaic::emulator
