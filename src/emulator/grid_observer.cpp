#include "emulator/grid_observer.hpp"

#include "emulator/block.hpp"

namespace moesaic::emulator {

GridObserver::GridObserver(CardObserver& card, const Grid&) : card_(card) {}

}  // namespace moesaic::emulator
