#include "emulator/knowledge.hpp"

#include <algorithm>

namespace moesaic::emulator {
namespace {

using Clock = Horizon::Clock;

bool is_within(const Clock& a, const Clock& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] > (i < b.size() ? b[i] : 0)) return false;
  }
  return true;
}

std::shared_ptr<const Clock> join_clocks(const std::shared_ptr<const Clock>& a, const std::shared_ptr<const Clock>& b) {
  if (a == b || is_within(*b, *a)) return a;
  if (is_within(*a, *b)) return b;
  Clock joined = a->size() >= b->size() ? *a : *b;
  const Clock& shorter = a->size() >= b->size() ? *b : *a;
  for (std::size_t i = 0; i < shorter.size(); ++i) joined[i] = std::max(joined[i], shorter[i]);
  return std::make_shared<const Clock>(std::move(joined));
}

std::shared_ptr<const Horizon> join_horizons(const std::shared_ptr<const Horizon>& a,
                                             const std::shared_ptr<const Horizon>& b) {
  if (a == b || b->is_within(*a)) return a;
  if (a->is_within(*b)) return b;
  Horizon joined = *a;
  joined.join(*b);
  return std::make_shared<const Horizon>(std::move(joined));
}

}  // namespace

const Clock* Horizon::find(BlockKey block) const {
  const auto at = std::lower_bound(blocks_.begin(), blocks_.end(), block,
                                   [](const auto& entry, BlockKey key) { return entry.first < key; });
  return at != blocks_.end() && at->first == block ? at->second.get() : nullptr;
}

bool Horizon::is_within(const Horizon& other) const {
  return std::all_of(blocks_.begin(), blocks_.end(), [&](const auto& entry) {
    const Clock* clock = other.find(entry.first);
    return clock != nullptr && (clock == entry.second.get() || emulator::is_within(*entry.second, *clock));
  });
}

void Horizon::join(const Horizon& other) {
  std::vector<std::pair<BlockKey, std::shared_ptr<const Clock>>> joined;
  joined.reserve(blocks_.size() + other.blocks_.size());
  auto a = blocks_.begin();
  auto b = other.blocks_.begin();
  while (a != blocks_.end() || b != other.blocks_.end()) {
    if (b == other.blocks_.end() || (a != blocks_.end() && a->first < b->first)) {
      joined.push_back(*a++);
    } else if (a == blocks_.end() || b->first < a->first) {
      joined.push_back(*b++);
    } else {
      joined.emplace_back(a->first, join_clocks(a->second, b->second));
      ++a;
      ++b;
    }
  }
  blocks_ = std::move(joined);
}

void Horizon::raise(BlockKey block, const std::vector<std::pair<Agent, Epoch>>& times) {
  auto at = std::lower_bound(blocks_.begin(), blocks_.end(), block,
                             [](const auto& entry, BlockKey key) { return entry.first < key; });
  if (at == blocks_.end() || at->first != block) at = blocks_.emplace(at, block, std::make_shared<const Clock>());
  Clock clock = *at->second;
  for (const auto& [agent, epoch] : times) {
    if (epoch == 0) continue;
    if (clock.size() <= agent) clock.resize(agent + 1);
    clock[agent] = std::max(clock[agent], epoch);
  }
  at->second = std::make_shared<const Clock>(std::move(clock));
}

const KnowledgeRef& no_knowledge() {
  static const KnowledgeRef none = [] {
    const auto empty = std::make_shared<const Horizon>();
    return std::make_shared<const Knowledge>(Knowledge{.views = {empty, empty, empty, empty}});
  }();
  return none;
}

KnowledgeRef Joiner::join(const KnowledgeRef& a, const KnowledgeRef& b) {
  if (a == b || b == no_knowledge()) return a;
  if (a == no_knowledge()) return b;
  for (const Entry& entry : recent_) {
    if (entry.a == a && entry.b == b) return entry.joined;
  }
  Knowledge joined = *a;
  bool same_as_a = joined.prerequisites || !b->prerequisites;
  joined.prerequisites = joined.prerequisites || b->prerequisites;
  bool same_as_b = joined.prerequisites == b->prerequisites;
  for (std::size_t i = 0; i < kViews; ++i) {
    joined.views[i] = join_horizons(a->views[i], b->views[i]);
    same_as_a = same_as_a && joined.views[i] == a->views[i];
    same_as_b = same_as_b && joined.views[i] == b->views[i];
  }
  KnowledgeRef result = same_as_a ? a : same_as_b ? b : std::make_shared<const Knowledge>(std::move(joined));
  recent_[next_] = Entry{a, b, result};
  next_ = (next_ + 1) % recent_.size();
  return result;
}

void Gathering::add(const Moment& moment, Joiner& joiner) {
  knowledge_ = joiner.join(knowledge_, moment.knowledge);
  times_.emplace_back(moment.agent, moment.own);
}

const KnowledgeRef& Gathering::knowledge() {
  if (times_.empty()) return knowledge_;
  Knowledge joined = *knowledge_;
  for (std::size_t view = 0; view < kViews; ++view) {
    std::vector<std::pair<Agent, Epoch>> times;
    for (const auto& [agent, epochs] : times_) {
      if (epochs[view] != 0) times.emplace_back(agent, epochs[view]);
    }
    if (times.empty()) continue;
    Horizon horizon = *joined.views[view];
    horizon.raise(block_, times);
    joined.views[view] = std::make_shared<const Horizon>(std::move(horizon));
  }
  times_.clear();
  knowledge_ = std::make_shared<const Knowledge>(std::move(joined));
  return knowledge_;
}

}  // namespace moesaic::emulator
