#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "emulator/access_history.hpp"
#include "emulator/finding.hpp"
#include "emulator/grid_observer.hpp"
#include "emulator/knowledge.hpp"

namespace moesaic::emulator {

/// What the observers of all grids on a card share.
class CardObserver {
 public:
  /// The observer of a grid that starts.
  std::unique_ptr<GridObserver> begin(const Grid& grid) { return std::make_unique<GridObserver>(*this, grid); }

  Findings& findings() { return findings_; }
  GlobalHistory& history() { return history_; }

  /// The observer of a grid in flight, or null when the grid has ended.
  const GridObserver* find(std::uint32_t grid) const;

  /// What was released to the whole card at an address of global memory: some of it may have been released after the
  /// value that is read was written, since blocks run at the same time. Then a race may be missed, none is made up.
  void release(std::uint64_t address, const KnowledgeRef& knowledge, Joiner& joiner);
  KnowledgeRef released(std::uint64_t address);

  // For GridObserver.
  void add(const GridObserver& grid);
  void remove(const GridObserver& grid);

 private:
  Findings findings_;
  GlobalHistory history_;
  mutable std::mutex mutex_;  // of what follows
  std::vector<const GridObserver*> in_flight_;
  std::unordered_map<std::uint64_t, KnowledgeRef> released_;
};

}  // namespace moesaic::emulator
