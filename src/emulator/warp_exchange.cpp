#include <algorithm>
#include <array>

#include "emulator/block.hpp"
#include "emulator/operand_code.hpp"

/// Lanes that come to one .sync instruction from different places of the program. PTX ISA, shfl.sync, vote.sync,
/// match.sync, redux.sync: what must agree are the qualifiers and the member mask, not the instruction.
namespace moesaic::emulator {
namespace {

enum class Role : std::uint8_t { none, result, source, predicate_result, predicate_source };

/// What each slot of an instruction is for, in the order of Instruction::operands.
std::vector<Role> roles_of(const Row& row) {
  std::vector<Role> roles;
  for (const Code& code : parse_codes(row.operands)) {
    Role role = Role::source;
    if (code.kind == 'd' || code.kind == 'D') role = Role::result;
    if (code.kind == 'p') role = Role::predicate_result;
    if (code.kind == 'q') role = Role::predicate_source;
    for (std::size_t i = 0; i < code.slots(); ++i) {
      roles.push_back(code.pair && i == 1 ? Role::predicate_result : role);
    }
  }
  return roles;
}

}  // namespace

/// The rows for the operands of all lanes, one for each operand.
struct Warp::Exchange {
  std::array<Slot, Program::kExchangeRows + Program::kExchangePredicates> slots{};
  std::vector<Role> roles;
};

bool Warp::exchange(const Instruction& instruction, Lanes active, Lanes wanted) {
  std::vector<Fragment*> group{current_};
  Lanes here = active;
  for (Fragment& fragment : fragments_) {
    if (&fragment == current_ || fragment.wait != Wait::lanes || fragment.waits_on != wanted ||
        code_[fragment.pc].row != instruction.row) {
      continue;
    }
    group.push_back(&fragment);
    here |= fragment.lanes;
  }
  if (!gather(here, wanted)) return false;
  if (group.size() == 1) return true;
  run_together(instruction, group, active, here);
  return false;
}

/// Runs the instruction once, for all lanes of the group, on rows to which their operands are copied.
void Warp::run_together(const Instruction& instruction, const std::vector<Fragment*>& group, Lanes active, Lanes all) {
  Exchange exchange;
  exchange.roles = roles_of(*instruction.row);
  Slot row = Program::kExchange;
  Slot predicate_row = Program::kExchangePredicate;
  const auto is_predicate = [&](std::size_t i) {
    return exchange.roles[i] == Role::predicate_result || exchange.roles[i] == Role::predicate_source;
  };
  for (std::size_t i = 0; i < exchange.roles.size(); ++i) {
    exchange.slots[i] = instruction.operands[i];
    if (exchange.slots[i] == kNoSlot) continue;
    exchange.slots[i] = is_predicate(i) ? predicate_row : row++;
    if (is_predicate(i)) predicate_row += 2;
  }
  const auto lanes_of = [&](const Fragment* fragment) { return fragment == current_ ? active : fragment->lanes; };
  std::vector<MovedSlot> given;
  for (Fragment* fragment : group) {
    const Instruction& own = code_[fragment->pc];
    for (std::size_t i = 0; i < exchange.roles.size(); ++i) {
      if (exchange.slots[i] == kNoSlot) continue;
      given.push_back({own.operands[i], exchange.slots[i], is_predicate(i), lanes_of(fragment)});
      if (exchange.roles[i] == Role::predicate_source) {
        set_predicate(exchange.slots[i], lanes_of(fragment), predicate(own.operands[i]));
      } else if (exchange.roles[i] == Role::source) {
        const std::uint64_t* from = in(own.operands[i]);
        for_lanes(lanes_of(fragment), [&](int lane) { out(exchange.slots[i])[lane] = from[lane]; });
      }
    }
    fragment->wait = Wait::nothing;
  }
  Instruction together = instruction;
  together.operands = exchange.slots.data();
  together.guard = kNoSlot;
  instruction.run(*this, together, all);
  std::vector<MovedSlot> taken;
  for (Fragment* fragment : group) {
    const Instruction& own = code_[fragment->pc];
    for (std::size_t i = 0; i < exchange.roles.size(); ++i) {
      if (exchange.slots[i] == kNoSlot) continue;
      if (exchange.roles[i] == Role::predicate_result) {
        set_predicate(own.operands[i], lanes_of(fragment), predicate(exchange.slots[i]));
      } else if (exchange.roles[i] == Role::result) {
        const std::uint64_t* from = in(exchange.slots[i]);
        for_lanes(lanes_of(fragment), [&](int lane) { out(own.operands[i])[lane] = from[lane]; });
      } else {
        continue;
      }
      taken.push_back({exchange.slots[i], own.operands[i], is_predicate(i), lanes_of(fragment)});
    }
    fragment->finished = true;
  }
  if (observer_ != nullptr) observer_->exchanged(*this, together, all, given, taken);
}

}  // namespace moesaic::emulator
