#pragma once

#include "emulator/observer.hpp"

namespace moesaic::emulator {

class CardObserver;
struct Grid;

/// What the observers of a grid's blocks share.
class GridObserver {
 public:
  GridObserver(CardObserver& card, const Grid& grid);

  CardObserver& card() { return card_; }

 private:
  CardObserver& card_;
};

}  // namespace moesaic::emulator
