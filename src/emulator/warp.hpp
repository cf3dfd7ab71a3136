#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator/call_stack.hpp"
#include "emulator/observer.hpp"
#include "emulator/program.hpp"

namespace moesaic::emulator {

class Block;

/// For what a fragment waits.
enum class Wait : std::uint8_t {
  nothing,
  lanes,      ///< for other lanes of its warp to come to the same instruction, or to another bar.warp.sync
  barrier,    ///< at barrier Fragment::waits_on of the block
  registers,  ///< setmaxnreg.inc: for Fragment::waits_on registers of the block's pool
  grids,      ///< griddepcontrol.wait: for other grids to end
  copies,     ///< for asynchronous operations that its lanes have issued
  cluster,    ///< at barrier.cluster
  phase,      ///< for the phase of parity Fragment::parity of the mbarrier at Fragment::waits_on
};

/// What the threads of bar.red voted.
struct BarrierResult {
  std::uint32_t votes = 0;  ///< threads whose predicate held
  bool all = false;
};

/// Lanes of a warp that stand at the same instruction.
struct Fragment {
  std::uint32_t pc = 0;
  std::uint32_t frame = 0;  ///< in the warp's CallStack
  std::uint32_t depth = 0;  ///< of the frame
  Lanes lanes = 0;
  Wait wait = Wait::nothing;
  bool parity = false;
  bool released = false;    ///< the wait is over (a phase: without it); the instruction runs once more to finish
  bool yielded = false;     ///< others go first
  bool finished = false;    ///< the instruction has been run with that of others; see Warp::exchange
  std::uint32_t apart = 0;  ///< pc + 1 of an instruction at which it stays apart from others; see Warp::part
  std::uint32_t turn = 0;   ///< instructions since others last went first
  std::uint32_t waits_on = 0;
  std::uint32_t expected = 0;  ///< threads, at a barrier; 0: all of the block
  BarrierResult result{};      ///< of the barrier that released it
};

/// One warp: its registers and where its lanes are. Fragments are sorted by depth of calls, the deepest first, then by
/// pc; the first goes first, and those that meet become one.
class Warp {
 public:
  Warp(Block& block_of_warp, int index_in_block, Lanes lanes);

  Block& block;
  const int index;
  std::uint32_t thread_registers;  ///< that each thread has now, 0: not known
  Lanes carry = 0;                 ///< CC.CF of each lane

  /// Executes up to `steps` instructions, fewer when all fragments wait. Returns how many.
  std::uint32_t run(std::uint32_t steps);

  Lanes live() const { return live_; }
  bool done() const { return live_ == 0; }
  bool ready() const;
  std::vector<Fragment>& fragments() { return fragments_; }
  const std::vector<Fragment>& fragments() const { return fragments_; }

  // For handlers.
  const std::uint64_t* in(Slot slot) const {
    return slot >= 0 ? &registers_[static_cast<std::size_t>(slot) * kWarpLanes]
                     : &constants_[static_cast<std::size_t>(~slot) * kWarpLanes];
  }
  std::uint64_t* out(Slot slot) { return &registers_[static_cast<std::size_t>(slot) * kWarpLanes]; }
  Lanes predicate(Slot slot) const {
    const Lanes value = predicates_[static_cast<std::size_t>(slot >> 1)];
    return (slot & 1) != 0 ? ~value : value;
  }
  void set_predicate(Slot slot, Lanes active, Lanes value) {
    Lanes& target = predicates_[static_cast<std::size_t>(slot >> 1)];
    target = (target & ~active) | (value & active);
  }

  /// Stays at this instruction until `wanted` lanes (those that have not exited) are here together; true when they are.
  bool gather(Lanes active, Lanes wanted);
  /// Likewise, but the others may be at any instruction of the same row that wants the same lanes.
  bool meet(const Instruction& instruction, Lanes active, Lanes wanted);
  /// For instructions in which lanes give each other values, and whose operands may be other ones for each lane: when
  /// the last of the wanted lanes comes, the instruction is run for all of them. True when all are here together, and
  /// the handler is to go on; otherwise Flow::wait is to follow.
  bool exchange(const Instruction& instruction, Lanes active, Lanes wanted);
  /// Parts `group` from the other active lanes, which it does not meet at this instruction; Flow::wait is to follow.
  void part(Lanes group) { parted_ = group; }
  /// Stays at this instruction for the reason given; to be followed by Flow::wait.
  void wait_for(Wait reason, std::uint32_t what, bool parity = false);
  /// Stays at this instruction, at a barrier of the block for `expected` threads (0: all).
  void wait_at_barrier(std::uint32_t barrier, std::uint32_t expected);
  /// Whether the current fragment runs this instruction again because its wait is over; asking ends that state.
  bool take_release();
  /// What the barrier said that released the current fragment.
  BarrierResult release_result() const { return current_->result; }
  /// Ends the waits at a barrier.
  void release_barrier(std::uint32_t barrier, BarrierResult result);
  /// Lanes that wait at that barrier, and one of their fragments (or null).
  Lanes waiting_at(std::uint32_t barrier) const;
  const Fragment* find_waiting_at(std::uint32_t barrier) const;

  /// The host address of bytes that active lanes access, after all checks. `space` generic is resolved.
  std::byte* access(const Instruction& instruction, ptx::Space space, std::uint64_t address, std::uint32_t bytes,
                    int lane, Purpose purpose = Purpose::read);
  /// Likewise for bytes to be written: never parameters.
  std::byte* writable(const Instruction& instruction, ptx::Space space, std::uint64_t address, std::uint32_t bytes,
                      int lane, Purpose purpose = Purpose::write);
  /// Likewise for global memory, whatever the alignment. The observer is not told.
  std::byte* global(const Instruction& instruction, std::uint64_t address, std::uint32_t bytes, int lane);
  /// The address in its window that `address` means, when it must be in shared memory; checked like access() but for
  /// an alignment of its own. The observer is not told.
  std::uint32_t shared_address(const Instruction& instruction, ptx::Space space, std::uint64_t address,
                               std::uint32_t bytes, std::uint32_t alignment, int lane);

  // Calls.
  /// Sends the lanes to a function: their arguments are passed, and Flow::jump takes them there.
  void enter(const Instruction& instruction, const CallSite& site, std::uint32_t callee, Lanes lanes);
  /// Sends the lanes back to their caller, with their results, to be followed by Flow::jump; false in a kernel.
  bool leave(Lanes lanes);
  /// Where Flow::jump takes a lane, within its function.
  void jump(int lane, std::uint32_t pc) { destination_[static_cast<std::size_t>(lane)] = {pc, current_->frame}; }
  /// Memory of the current function's frame.
  std::byte* frame_memory(std::uint32_t offset, int lane);
  std::uint32_t frame_base() const { return calls_[current_->frame].base; }

  /// The instruction that runs.
  const Instruction& current() const { return code_[current_->pc]; }

  [[noreturn]] void fail(Fault::Kind kind, const Instruction& instruction, Lanes lanes, const std::string& what) const;

 private:
  std::size_t pick();
  std::uint32_t run_fragment(std::size_t chosen, std::uint32_t steps);
  bool settle(std::size_t chosen, const Instruction& instruction, Lanes active, Flow flow);
  void replace(std::size_t chosen);
  void place(const Fragment& fragment);
  void exit(std::size_t chosen, Lanes lanes);
  void scatter(std::size_t chosen, Lanes active);
  struct Exchange;
  void run_together(const Instruction& instruction, const std::vector<Fragment*>& group, Lanes active, Lanes all);
  void split(std::size_t chosen, Lanes active);
  void pass(const Argument& from, std::uint32_t from_base, const Argument& to, std::uint32_t to_base, Lanes lanes);
  void save_registers(CallFrame& frame, Lanes lanes);
  void restore_registers(const CallFrame& frame, Lanes lanes);
  std::byte* window(const Instruction& instruction, ptx::Space space, std::uint64_t offset, std::uint32_t bytes,
                    int lane);

  std::vector<std::uint64_t> registers_;
  std::vector<Lanes> predicates_;
  const std::uint64_t* constants_;
  const Instruction* code_;
  Observer* observer_;
  Lanes live_;
  std::vector<Fragment> fragments_;
  Fragment* current_ = nullptr;  // of the instruction that runs
  bool give_way_ = false;        // the other warps go next
  Lanes parted_ = 0;             // by part()
  GlobalMemory::Allocation recent_;
  CallStack calls_;
  struct Destination {
    std::uint32_t pc = 0;
    std::uint32_t frame = 0;
    bool operator==(const Destination&) const = default;
  };
  std::array<Destination, kWarpLanes> destination_{};  // of Flow::jump
};

}  // namespace moesaic::emulator
