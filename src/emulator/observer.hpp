#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "emulator/instruction.hpp"

namespace moesaic::emulator {

class Block;
class Definedness;
class GridObserver;
class RaceObserver;
class TrafficObserver;
class Warp;
struct Argument;
struct FunctionCode;
struct Mbarrier;
struct Traits;

/// What an access by a thread is for.
enum class Purpose : std::uint8_t {
  read,
  write,
  atomic,      ///< atom and red
  tensor_map,  ///< the 128 bytes of a tensor map are read by the tensor-map proxy
  none,        ///< the address is only checked
};

/// What tells a program that an asynchronous operation is done.
enum class Completion : std::uint8_t {
  mbarrier,    ///< cp.async.bulk ... mbarrier::complete_tx::bytes
  bulk_group,  ///< cp.async.bulk.commit_group and wait_group
  group,       ///< cp.async.commit_group, wait_group, wait_all, cp.async.mbarrier.arrive
};

/// A place in memory: an address of the block's shared window, or one of global memory.
struct Location {
  ptx::Space space = ptx::Space::global;  ///< shared or global
  std::uint64_t address = 0;
};

/// What a call or a return passes: one of `from` to one of `to`, each in registers or in a frame that begins at `base`.
struct Passage {
  const std::vector<Argument>& from;
  std::uint32_t from_base;
  const std::vector<Argument>& to;
  std::uint32_t to_base;
};

/// The value of a register or a predicate that some lanes of a warp move to another.
struct MovedSlot {
  Slot from;
  Slot to;
  bool is_predicate;
  Lanes lanes;
};

/// Names an asynchronous operation from its issue to its end.
using Ticket = std::uint32_t;

/// Watches one block: the machine tells it what happens, and it tells the machine's Findings what is wrong. A block has
/// one only when a check is on.
///
/// Every hook is called at the moment that its name says. Those of an instruction come from Warp: begin() before its
/// handler runs, touch() for each lane's access when its address has been checked, end() when it ran and does not wait.
/// Handlers whose instructions order accesses or start asynchronous operations call the others.
class Observer {
 public:
  explicit Observer(Block& block);
  ~Observer();
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  // Instructions.
  /// `asked` are the lanes that come to the instruction, `active` those whose guard holds.
  void begin(Warp& warp, const Instruction& instruction, Lanes asked, Lanes active);
  void end(Warp& warp, const Instruction& instruction, Lanes active);
  void touch(Warp& warp, const Instruction& instruction, ptx::Space space, std::uint64_t address, std::uint32_t bytes,
             int lane, Purpose purpose);
  /// A call or a return is about to pass values; the callee has this frame of the warp. See Warp::enter and leave.
  void called(Warp& warp, const Passage& passage, const FunctionCode& function, std::uint32_t frame, Lanes lanes);
  void returned(Warp& warp, const Passage& passage, const FunctionCode& function, std::uint32_t frame, Lanes lanes);
  /// An instruction has run for lanes that came to it from different places: on rows of its own, to which their
  /// operands were moved and from which they take their results. See Warp::exchange.
  void exchanged(Warp& warp, const Instruction& instruction, Lanes lanes, const std::vector<MovedSlot>& given,
                 const std::vector<MovedSlot>& taken);
  /// The local memory of all threads is about to move, from so many bytes a thread to more.
  void local_grows(std::uint32_t from_bytes, std::uint32_t to_bytes);
  /// printf shows bytes of the thread's local memory.
  void printed(Warp& warp, const Instruction& instruction, int lane, std::uint64_t address, std::uint32_t bytes);

  // What orders threads.
  /// bar.warp.sync: these lanes have met.
  void lanes_met(Warp& warp, Lanes lanes);
  /// bar.sync, bar.arrive, bar.red: lanes of a warp come to a barrier; and all that wait there go on.
  void barrier_arrived(Warp& warp, Lanes lanes, std::uint32_t id);
  void barrier_released(Warp& warp, Lanes lanes, std::uint32_t id);
  void barrier_completed(std::uint32_t id);
  /// barrier.cluster: lanes arrive, releasing or not; all have arrived; lanes that waited go on.
  void cluster_arrived(Warp& warp, Lanes lanes, bool releases);
  void cluster_completed();
  void cluster_passed(Warp& warp, Lanes lanes);
  void mbarrier_initialised(Warp& warp, int lane, const Mbarrier& barrier);
  void mbarrier_removed(Warp& warp, int lane, const Mbarrier& barrier);
  /// Before an arrival is counted.
  void mbarrier_arrived(Warp& warp, int lane, const Mbarrier& barrier);
  /// A phase has ended; barrier.phase is the next one already.
  void mbarrier_advanced(const Mbarrier& barrier);
  /// A test or wait has found the phase over.
  void mbarrier_passed(Warp& warp, int lane, const Mbarrier& barrier);
  /// griddepcontrol.wait has returned.
  void dependency_waited(Warp& warp, Lanes lanes);

  // Asynchronous operations. The ticket stands for the lane that issued the operation, as it was then.
  Ticket copy_issued(Warp& warp, const Instruction& instruction, int lane, Completion completion,
                     std::uint32_t mbarrier = 0);
  /// The operation reads its source, or is about to write its destination, at this moment. `reduces`: as an atomic.
  void copy_reads(Ticket ticket, Location from, std::uint32_t bytes);
  void copy_writes(Ticket ticket, Location to, std::uint32_t bytes, bool reduces = false);
  /// Bytes moved, for what is defined; `from` null: they were filled.
  void copy_moved(Ticket ticket, Location to, const Location* from, std::uint32_t bytes);
  /// Nothing more happens under this ticket.
  void copy_done(Ticket ticket);
  /// All threads have exited and nothing is in flight.
  void finished();
  void group_committed(Warp& warp, Lanes lanes, Completion completion);
  /// wait_group: at most `pending` of the newest groups are not complete; `only_read`: their sources have been read.
  void group_waited(Warp& warp, Lanes lanes, Completion completion, std::uint64_t pending, bool only_read);
  /// cp.async.wait_all waits also for what is in no group.
  void all_waited(Warp& warp, Lanes lanes);
  /// cp.async.mbarrier.arrive: the arrival that the lane's earlier cp.async will make, when it is issued. (When it is
  /// made, mbarrier_arrived is not called.)
  void copies_will_arrive(Warp& warp, int lane, const Mbarrier& barrier);

 private:
  /// Who issued an asynchronous operation.
  struct Issuer {
    const Instruction* instruction = nullptr;
    int warp = 0;
    int lane = 0;
  };

  const Traits& traits(const Instruction& instruction) const;

  Block& block_;
  GridObserver& grid_;
  std::unique_ptr<RaceObserver> races_;  // when the order of accesses is followed
  std::unique_ptr<Definedness> defined_;
  std::unique_ptr<TrafficObserver> traffic_;
  std::vector<Issuer> issuers_;  // by ticket
  std::vector<Ticket> free_tickets_;
};

}  // namespace moesaic::emulator
