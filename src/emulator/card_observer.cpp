#include "emulator/card_observer.hpp"

#include <algorithm>

namespace moesaic::emulator {

const GridObserver* CardObserver::find(std::uint32_t grid) const {
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(in_flight_.begin(), in_flight_.end(),
                               [&](const GridObserver* candidate) { return candidate->number() == grid; });
  return at == in_flight_.end() ? nullptr : *at;
}

void CardObserver::release(std::uint64_t address, const KnowledgeRef& knowledge, Joiner& joiner) {
  const std::lock_guard lock(mutex_);
  KnowledgeRef& released = released_.try_emplace(address, no_knowledge()).first->second;
  released = joiner.join(released, knowledge);
}

KnowledgeRef CardObserver::released(std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  const auto at = released_.find(address);
  return at == released_.end() ? no_knowledge() : at->second;
}

void CardObserver::add(const GridObserver& grid) {
  const std::lock_guard lock(mutex_);
  in_flight_.push_back(&grid);
}

/// With the last grid in flight all that was known ends: whatever comes next is ordered after it.
void CardObserver::remove(const GridObserver& grid) {
  const std::lock_guard lock(mutex_);
  std::erase(in_flight_, &grid);
  if (!in_flight_.empty()) return;
  history_.clear();
  released_.clear();
}

}  // namespace moesaic::emulator
