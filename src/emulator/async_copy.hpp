#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "emulator/observer.hpp"
#include "emulator/reduction.hpp"
#include "emulator/tensor_map.hpp"

namespace moesaic::emulator {

/// What a tensor copy moves: boxes of one map, which lie one behind the other in shared memory.
struct Boxes {
  TensorMap map;
  std::array<std::array<std::int32_t, kMaxTensorRank>, 4> starts{};  ///< coordinates of the first elements
  std::size_t count = 1;                                             ///< 4 for gather4
};

/// An asynchronous operation from its issue to its end. It reads its source at one moment and writes its destination at
/// a later one, both drawn at random.
struct Copy {
  enum class Route : std::uint8_t {
    load,   ///< from `global` to `shared`
    store,  ///< from `shared` to `global`
    move,   ///< from `shared_source` to `shared`
    value,  ///< from registers (`data`) to `shared`
  };
  Route route = Route::load;
  std::uint64_t global = 0;
  std::uint32_t shared = 0;
  std::uint32_t shared_source = 0;
  std::uint32_t bytes = 0;
  std::uint32_t source_bytes = ~0U;      ///< what lies beyond is zero (cp.async)
  std::uint16_t byte_mask = 0xffff;      ///< of each 16 bytes, which are written
  const Reduction* reduction = nullptr;  ///< of each element with what the destination has; null: it is replaced
  std::unique_ptr<const Boxes> boxes{};  ///< of tensor copies; `global` and `bytes` are unused then
  Completion completion = Completion::mbarrier;
  std::uint32_t mbarrier = 0;  ///< shared address of the mbarrier that counts the bytes
  const Instruction* instruction = nullptr;
  int warp = 0;
  int lane = 0;
  Ticket ticket = 0;              ///< by which the observer knows it
  std::vector<std::byte> data{};  ///< what was read

  // For AsyncCopies.
  std::uint64_t read_step = 0;
  std::uint64_t write_step = 0;
  bool has_read = false;
  std::uint64_t sequence = 0;  ///< order of issue in the block
  std::uint64_t group = 0;     ///< of its thread and completion
  std::uint64_t phase = 0;     ///< of the mbarrier when the copy was issued

  /// Bytes that count as transactions.
  std::uint32_t total_bytes() const;
};

/// The asynchronous operations of a block that are in flight, and the groups in which threads wait for them.
class AsyncCopies {
 public:
  explicit AsyncCopies(Block& block) : block_(block) {}

  bool empty() const { return copies_.empty() && arrivals_.empty(); }
  /// The step at which something next happens; none is due while empty().
  std::uint64_t next_step() const { return next_step_; }

  /// Takes an operation into flight.
  void issue(Copy copy);
  /// An arrival at an mbarrier when all cp.async that the lane has issued so far are complete.
  void arrive_after_copies(const Instruction& instruction, int warp, int lane, std::uint32_t mbarrier);

  /// Closes the current groups of these lanes.
  void commit(int warp, Lanes lanes, Completion completion);
  /// Whether of each lane's groups all but the newest `pending` are complete, or with `only_read` have been read.
  bool groups_done(int warp, Lanes lanes, Completion completion, std::uint64_t pending, bool only_read) const;
  /// Whether all cp.async of these lanes are complete, committed or not.
  bool all_done(int warp, Lanes lanes) const;

  /// Does what is due. Throws Fault.
  void run(std::uint64_t step);

  /// A phase of an mbarrier has ended. Throws Fault when a copy that was issued in it is still under way: its bytes
  /// were not expected.
  void check_phase_end(std::uint32_t mbarrier, std::uint64_t phase) const;
  /// Bytes under way that an mbarrier will count.
  std::uint64_t bytes_under_way(std::uint32_t mbarrier) const;
  /// All threads have exited. When the last operation is done, throws Fault if one of them had yet to access the
  /// block's shared memory at that time.
  void note_exit();

 private:
  struct Arrival {
    std::uint64_t sequence = 0;
    std::uint32_t mbarrier = 0;
    const Instruction* instruction = nullptr;
    int warp = 0;
    int lane = 0;
  };

  /// An operation that outlived the threads.
  struct Late {
    const Instruction* instruction = nullptr;
    int warp = 0;
    int lane = 0;
    std::string what{};
  };

  void read(Copy& copy);
  void write(const Copy& copy);
  void finish(const Copy& copy);
  void arrive(const Arrival& arrival);
  bool is_ready(const Arrival& arrival) const;
  void schedule();
  std::uint64_t& groups(int warp, int lane, Completion completion);
  std::byte* global(const Copy& copy, std::uint64_t address, std::uint32_t bytes) const;
  template <typename Visit>
  void for_each_part(const Copy& copy, Visit&& visit) const;

  Block& block_;
  std::vector<Copy> copies_;
  std::vector<Arrival> arrivals_;
  std::vector<std::array<std::uint64_t, 2>> groups_;  // closed by each thread: bulk groups, groups of cp.async
  Late late_;
  std::uint64_t issued_ = 0;
  std::uint64_t next_step_ = ~std::uint64_t{0};
};

}  // namespace moesaic::emulator
