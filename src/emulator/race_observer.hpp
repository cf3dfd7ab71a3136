#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "emulator/access_history.hpp"
#include "emulator/knowledge.hpp"
#include "emulator/observer.hpp"

namespace moesaic::emulator {

class GridObserver;

/// Of the address of a tensor map.
inline constexpr std::uint64_t kMapAlignment = 64;

/// Follows what orders the accesses of one block, and reports those that nothing orders. PTX ISA, "Memory Consistency
/// Model": what comes before an access is what its thread did, and what others did before they released and it
/// acquired. Lanes of a warp are threads like others: that they run together orders nothing.
class RaceObserver {
 public:
  explicit RaceObserver(Block& block);

  // As in Observer.
  void touch(Warp& warp, const Instruction& instruction, const Traits& traits, ptx::Space space, std::uint64_t address,
             std::uint32_t bytes, int lane, Purpose purpose);
  void end(Warp& warp, const Instruction& instruction, const Traits& traits, Lanes active);
  void lanes_met(const Warp& warp, Lanes lanes);
  void barrier_arrived(const Warp& warp, Lanes lanes, std::uint32_t id);
  void barrier_released(const Warp& warp, Lanes lanes, std::uint32_t id);
  void barrier_completed(std::uint32_t id);
  void cluster_arrived(const Warp& warp, Lanes lanes);
  void cluster_completed();
  void cluster_passed(const Warp& warp, Lanes lanes);
  void mbarrier_initialised(Warp& warp, int lane, const Mbarrier& barrier);
  void mbarrier_removed(const Mbarrier& barrier);
  void mbarrier_arrived(Warp& warp, int lane, const Mbarrier& barrier, bool releases);
  void mbarrier_advanced(const Mbarrier& barrier);
  void mbarrier_passed(Warp& warp, int lane, const Mbarrier& barrier, bool acquires);
  void dependency_waited(const Warp& warp, Lanes lanes);
  void copy_issued(Ticket ticket, Warp& warp, const Instruction& instruction, int lane, Completion completion,
                   std::uint32_t mbarrier);
  void copy_reads(Ticket ticket, Location from, std::uint32_t bytes);
  void copy_writes(Ticket ticket, Location to, std::uint32_t bytes, bool reduces);
  void copy_done(Ticket ticket);
  /// The block's threads have exited and nothing is in flight.
  void finished();
  void group_committed(const Warp& warp, Lanes lanes, Completion completion);
  void group_waited(const Warp& warp, Lanes lanes, Completion completion, std::uint64_t pending, bool only_read);
  void all_waited(const Warp& warp, Lanes lanes);
  void copies_will_arrive(Warp& warp, int lane, const Mbarrier& barrier);

 private:
  /// What a lane has met on its way that a later fence makes count.
  struct Fenced {
    std::optional<Moment> released_to_block;  ///< before its last fence
    std::optional<Moment> released_to_card;   ///< before its last fence of scope .gpu or .sys
    KnowledgeRef seen_in_block = no_knowledge();
    KnowledgeRef seen_on_card = no_knowledge();
  };
  struct Lane {
    KnowledgeRef knowledge = no_knowledge();
    Epochs own{};  ///< own[View::generic] is not used: it is the time of the warp
    Fenced fenced;
  };
  struct WarpState {
    Epoch now = 1;
    std::array<Lane, kWarpLanes> lanes;
  };
  struct BarrierState {
    std::uint32_t address = 0;
    Agent agent = 0;
    Epoch before = 0;  ///< phases of those that lived at this address before
    Record init;
    bool init_fenced = false;
    Gathering gathering;
    KnowledgeRef published = no_knowledge();
  };
  /// An asynchronous operation in flight.
  struct Operation {
    Moment issued;  ///< by whom, and what came before
    Completion completion = Completion::mbarrier;
    std::uint32_t mbarrier = 0;
    Record record;  ///< of its accesses, but for bytes, flags, agent and epoch
    Agent reads = 0, writes = 0;
    Epoch sequence = 0;
  };
  /// Operations of one lane that complete in groups.
  struct Groups {
    Agent reads = 0, writes = 0;
    Epoch issued = 0;                ///< so many operations
    std::vector<Epoch> committed{};  ///< `issued` at each commit
  };
  /// A use of fence.proxy.tensormap::generic.acquire.
  struct MapFence {
    Moment moment;
  };

  /// Two writes that nothing orders, of which the later one is about to happen. If it changes nothing they are no race:
  /// whichever comes last, memory holds the same (lanes that all set one flag, or all issue one bulk store).
  struct SecondWrite {
    Record earlier;
    Access16 access;
    Location cell;
    std::uint16_t bytes = 0;  ///< of the cell, that both write
    std::array<std::byte, Cell::kBytes> before{};
  };

  static Agent thread_of(const Warp& warp, int lane);
  WarpState& state_of(const Warp& warp);
  Moment moment_of(const Warp& warp, int lane);
  Agent new_agent() { return next_agent_++; }
  Record record_of(const Warp& warp, int lane, std::uint32_t pc) const;
  Groups& groups_of(const Warp& warp, int lane, Completion completion);
  void know(const Warp& warp, int lane, const KnowledgeRef& knowledge);
  void know_times(const Warp& warp, int lane, const Groups& groups, Epoch done, bool only_read);

  // race_operations.cpp
  Access16 access_of(const Operation& operation, Location at, bool writes);

  // race_observer.cpp
  template <typename Visit>
  void for_cells(Location at, std::uint32_t bytes, Visit&& visit);
  void add(Location at, std::uint32_t bytes, Access16& access);
  void check_map(Location at, std::uint32_t bytes, Access16& access);
  void check_mbarrier_bytes(const Warp& warp, int lane, std::uint32_t address, std::uint32_t bytes,
                            const Instruction& instruction);
  void check_second_writes();
  void report(const Record& earlier, const Access16& access, Conflict conflict, Location at);
  std::array<std::byte, Cell::kBytes> bytes_of(Location cell, std::uint16_t which) const;

  // race_order.cpp
  void fence(const Warp& warp, const Instruction& instruction, const Traits& traits, Lanes active);
  void thread_fence(const Warp& warp, int lane, const Traits& traits);
  void release(const Warp& warp, int lane, Location at, const Traits& traits);
  void acquire(const Warp& warp, int lane, Location at, const Traits& traits);
  BarrierState* find_barrier(std::uint32_t address);
  void check_initialised(Warp& warp, int lane, BarrierState& barrier, bool by_copy);

  Block& block_;
  GridObserver& grid_;
  BlockKey key_;
  Joiner joiner_;
  Agent next_agent_;
  std::vector<WarpState> warps_;
  std::vector<Cell> shared_;
  std::vector<Gathering> barriers_;
  Gathering cluster_;  // barrier.cluster: of those that arrive, and what those learn that wait
  KnowledgeRef cluster_knowledge_ = no_knowledge();
  std::vector<BarrierState> mbarriers_;
  std::unordered_map<std::uint32_t, std::pair<Agent, Epoch>> former_mbarriers_;
  std::unordered_map<std::uint64_t, KnowledgeRef> released_;  // by location: to threads of this block
  std::vector<Operation> operations_;                         // by ticket
  std::unordered_map<std::uint64_t, Groups> groups_;
  std::unordered_map<Agent, Record> last_in_shared_;                     // by the operations that an agent stands for
  std::unordered_map<std::uint64_t, std::vector<MapFence>> map_fences_;  // by address / kMapAlignment
  std::vector<SecondWrite> second_writes_;            // of the instruction that runs, or of the copy that writes
  std::vector<std::pair<Location, int>> to_acquire_;  // of the instruction that runs, with their lanes
};

}  // namespace moesaic::emulator
