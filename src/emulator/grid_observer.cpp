#include "emulator/grid_observer.hpp"

#include <utility>

#include "emulator/block.hpp"
#include "emulator/card_observer.hpp"

namespace moesaic::emulator {

GridObserver::GridObserver(CardObserver& card, const Grid& grid)
    : card_(card),
      grid_(grid),
      number_(static_cast<std::uint32_t>(grid.number)),
      checks_(grid.options.checks),
      traits_(traits_of(grid.program)) {
  card_.add(*this);
}

GridObserver::~GridObserver() {
  card_.remove(*this);
}

std::uint32_t GridObserver::pc_of(const Instruction& instruction) const {
  return static_cast<std::uint32_t>(&instruction - grid_.program.code.data());
}

GridOrder GridObserver::standing(std::uint32_t other) const {
  if (grid_.before.contains(other)) return GridOrder::before;
  if (grid_.control != nullptr && grid_.control->is_prerequisite(grid_, other)) return GridOrder::prerequisite;
  const GridObserver* observer = card_.find(other);
  const bool waits_for_this =
      observer != nullptr && grid_.control != nullptr && grid_.control->is_prerequisite(observer->grid(), number_);
  return waits_for_this ? GridOrder::dependent : GridOrder::unordered;
}

Finding::Party GridObserver::party(const Instruction& instruction, std::uint64_t block, int warp, Lanes lanes) const {
  return Finding::Party{.line = instruction.line,
                        .instruction = grid_.program.text_of(instruction),
                        .source = grid_.program.source_of(instruction),
                        .kernel = grid_.program.name,
                        .grid = grid_.number,
                        .block = block,
                        .warp = warp,
                        .lanes = lanes,
                        .access = {}};
}

void GridObserver::report(Finding::Kind kind, Finding::Party where, Finding::Party other, const std::string& what) {
  card_.findings().add(Finding{
      .kind = kind, .where = std::move(where), .other = std::move(other), .what = what, .seed = grid_.options.seed});
}

}  // namespace moesaic::emulator
