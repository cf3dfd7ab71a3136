#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

/// Which accesses are ordered before a moment in a thread's life, as vector clocks (Mattern, "Virtual Time and Global
/// States of Distributed Systems", 1989).
namespace moesaic::emulator {

/// Who accesses memory in a block: its threads, lane by lane in whole warps, and after them whatever completes
/// asynchronous operations.
using Agent = std::uint32_t;

/// A time of an agent. A thread's time moves on whenever others may come to know of what it did before; all lanes of a
/// warp share one. 0: nothing is known.
using Epoch = std::uint32_t;

/// A block of a launch on a card.
using BlockKey = std::uint64_t;
constexpr BlockKey block_key(std::uint32_t grid, std::uint32_t block) {
  return std::uint64_t{grid} << 32 | block;
}

/// Through whose eyes memory is seen (PTX ISA, "Proxies"). An access that is ordered before in the generic view is
/// visible to another proxy only if a proxy fence came between.
enum class View : std::uint8_t {
  generic,
  async_shared,  ///< the asynchronous proxy, in shared memory
  async_global,
  tensor_map,  ///< what fence.proxy.tensormap::generic.release has covered
};
inline constexpr std::size_t kViews = 4;
using Epochs = std::array<Epoch, kViews>;

/// For every agent of some blocks the time up to which its accesses come before. Never changed once shared.
class Horizon {
 public:
  using Clock = std::vector<Epoch>;  ///< by agent; what lies behind the end is 0

  /// The times of a block's agents, or null when nothing of it is known.
  const Clock* find(BlockKey block) const;
  bool empty() const { return blocks_.empty(); }
  /// Whether everything known here is known to `other`.
  bool is_within(const Horizon& other) const;
  void join(const Horizon& other);
  /// Raises the times of agents of one block; entries of 0 change nothing.
  void raise(BlockKey block, const std::vector<std::pair<Agent, Epoch>>& times);

 private:
  std::vector<std::pair<BlockKey, std::shared_ptr<const Clock>>> blocks_;  // sorted
};

/// What a thread knows. Never changed once shared.
struct Knowledge {
  std::array<std::shared_ptr<const Horizon>, kViews> views;
  bool prerequisites = false;  ///< griddepcontrol.wait came before

  const Horizon& in(View view) const { return *views[static_cast<std::size_t>(view)]; }
};
using KnowledgeRef = std::shared_ptr<const Knowledge>;

/// What a thread knows that has met no other.
const KnowledgeRef& no_knowledge();

/// The union of two, remembered for the next lanes, which often ask the same.
class Joiner {
 public:
  KnowledgeRef join(const KnowledgeRef& a, const KnowledgeRef& b);

 private:
  struct Entry {
    KnowledgeRef a, b, joined;
  };
  std::array<Entry, 4> recent_;
  std::size_t next_ = 0;
};

/// A point in an agent's life: what it knows, and the time up to which its own accesses are seen.
struct Moment {
  KnowledgeRef knowledge = no_knowledge();
  Epochs own{};
  Agent agent = 0;
};

/// Collects what those know who come to a point of synchronization.
class Gathering {
 public:
  explicit Gathering(BlockKey block) : block_(block) {}

  void add(const Moment& moment, Joiner& joiner);
  /// Times of an agent that are known from here on.
  void add_time(Agent agent, const Epochs& epochs) { times_.emplace_back(agent, epochs); }
  /// What all of them know together. More may be added afterwards.
  const KnowledgeRef& knowledge();

 private:
  BlockKey block_;
  KnowledgeRef knowledge_ = no_knowledge();
  std::vector<std::pair<Agent, Epochs>> times_;
};

}  // namespace moesaic::emulator
