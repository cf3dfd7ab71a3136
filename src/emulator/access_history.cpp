#include "emulator/access_history.hpp"

#include <bit>

namespace moesaic::emulator {
namespace {

/// PTX ISA, "Morally strong operations": both are strong and each one's scope has the other's thread in it.
bool is_morally_strong(const Record& earlier, const Record& now) {
  if (earlier.scope() == Scope::none || now.scope() == Scope::none) return false;
  if (earlier.grid == now.grid && earlier.block == now.block) return true;
  return earlier.scope() >= Scope::gpu && now.scope() >= Scope::gpu;
}

}  // namespace

bool is_ordered(const Record& earlier, const Access16& access, View view) {
  const auto* clock = access.knowledge->in(view).find(block_key(earlier.grid, earlier.block));
  const auto known = [&](Agent agent) {
    return clock != nullptr && agent < clock->size() && (*clock)[agent] >= earlier.epoch;
  };
  if (earlier.is_operation()) return known(earlier.agent);
  Lanes others = earlier.lanes;
  const Record& now = access.record;
  if (earlier.grid == now.grid && earlier.block == now.block && access.thread - earlier.agent < kWarpLanes &&
      access.own[static_cast<std::size_t>(view)] >= earlier.epoch) {
    others &= ~(Lanes{1} << (access.thread - earlier.agent));
  }
  for (; others != 0; others &= others - 1) {
    if (!known(earlier.agent + static_cast<Agent>(std::countr_zero(others)))) return false;
  }
  return true;
}

Conflict conflict(const Record& earlier, const Access16& access, GridOrder standing) {
  const Record& now = access.record;
  const bool waited = standing == GridOrder::prerequisite && access.knowledge->prerequisites;
  if (standing == GridOrder::before || waited || is_morally_strong(earlier, now)) return Conflict::none;
  if (!is_ordered(earlier, access, View::generic)) {
    return standing == GridOrder::unordered ? Conflict::race : Conflict::early;
  }
  const bool crosses = now.is_async() && !earlier.is_async() && earlier.writes();
  return crosses && !is_ordered(earlier, access, access.view) ? Conflict::missing_proxy_fence : Conflict::none;
}

void Cell::insert(const Record& record) {
  for (Record& known : records_) {
    if (known.agent == record.agent && known.epoch == record.epoch && known.pc == record.pc &&
        known.bytes == record.bytes && known.flags == record.flags && known.block == record.block &&
        known.grid == record.grid) {
      known.lanes |= record.lanes;
      return;
    }
  }
  if (records_.size() >= kMost) records_.erase(records_.begin());
  records_.push_back(record);
}

void GlobalHistory::clear() {
  for (Stripe& stripe : stripes_) {
    const std::lock_guard lock(stripe.mutex);
    stripe.pages.clear();
  }
}

}  // namespace moesaic::emulator
