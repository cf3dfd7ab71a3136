#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "emulator/access_history.hpp"
#include "emulator/checks.hpp"
#include "emulator/finding.hpp"
#include "emulator/instruction_traits.hpp"

namespace moesaic::emulator {

class CardObserver;
struct Grid;

/// What the observers of a grid's blocks share.
class GridObserver {
 public:
  GridObserver(CardObserver& card, const Grid& grid);
  ~GridObserver();
  GridObserver(const GridObserver&) = delete;
  GridObserver& operator=(const GridObserver&) = delete;

  CardObserver& card() { return card_; }
  const Grid& grid() const { return grid_; }
  std::uint32_t number() const { return number_; }
  const Checks& checks() const { return checks_; }

  std::uint32_t pc_of(const Instruction& instruction) const;
  const Traits& traits(const Instruction& instruction) const { return traits_[pc_of(instruction)]; }

  /// How another grid stands to this one.
  GridOrder standing(std::uint32_t other) const;

  /// Who executed what, for a finding.
  Finding::Party party(const Instruction& instruction, std::uint64_t block, int warp, Lanes lanes) const;
  void report(Finding::Kind kind, Finding::Party where, Finding::Party other, const std::string& what);

 private:
  CardObserver& card_;
  const Grid& grid_;
  const std::uint32_t number_;
  const Checks checks_;
  std::vector<Traits> traits_;
};

}  // namespace moesaic::emulator
