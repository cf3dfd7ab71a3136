#pragma once

#include <memory>

#include "emulator/finding.hpp"
#include "emulator/grid_observer.hpp"
#include "emulator/machine.hpp"

namespace moesaic::emulator {

/// What the observers of all grids on a card share.
class CardObserver {
 public:
  explicit CardObserver(const Options& options) : options_(options) {}

  /// The observer of a grid that starts.
  std::unique_ptr<GridObserver> begin(const Grid& grid) { return std::make_unique<GridObserver>(*this, grid); }

  const Options& options() const { return options_; }
  Findings& findings() { return findings_; }

 private:
  const Options& options_;
  Findings findings_;
};

}  // namespace moesaic::emulator
