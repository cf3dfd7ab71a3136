#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace moesaic::emulator {

/// What an observer saw go wrong in a kernel that ran on. (What ends a kernel is a Fault.)
struct Finding {
  enum class Kind : std::uint8_t {
    undefined,             ///< a value that nobody wrote decides an address, a branch, a barrier or visible memory
    race,                  ///< two accesses, at least one a write, that nothing orders
    proxy_race,            ///< ordered, but a proxy fence between the generic and the asynchronous access is missing
    tensormap_race,        ///< a tensor map is used that was changed and not fenced
    mbarrier_overwritten,  ///< other instructions than those of mbarriers touch one that lives, or it is made anew
    unfinished_copy,       ///< a block ends before anyone knows that a bulk copy is done with its shared memory
    early_read,            ///< before griddepcontrol.wait a kernel touches what a kernel in flight touches
  };

  /// One of the threads concerned, and what it executed.
  struct Party {
    std::uint32_t line = 0;   ///< of the PTX text
    std::string instruction;  ///< its text
    std::string source;       ///< "file:line", and where that was inlined, as .loc gives it, else empty
    std::string kernel;
    std::uint64_t grid = 0;   ///< number of the launch on its machine
    std::uint64_t block = 0;  ///< linear index in the grid
    int warp = -1;            ///< within the block
    std::uint32_t lanes = 0;
    std::string access;  ///< "reads", "writes", "asynchronously writes", ...; empty where there is no access
  };

  Kind kind = Kind::undefined;
  Party where;              ///< the later of two
  Party other;              ///< of races: the earlier; otherwise its line is 0
  std::string what;         ///< what happened, without the places
  std::uint64_t seed = 0;   ///< replays it, with one host thread
  std::uint64_t count = 1;  ///< how often, at the same two instructions

  /// The report as users read it.
  std::string sentence() const;
};

/// The name of a kind, as in the enumeration.
std::string_view name_of(Finding::Kind kind);

/// Collects findings of all blocks: one for each pair of instructions.
class Findings {
 public:
  void add(Finding finding);
  std::vector<Finding> list() const;
  std::vector<Finding> take();

 private:
  mutable std::mutex mutex_;
  std::vector<Finding> found_;
};

}  // namespace moesaic::emulator
