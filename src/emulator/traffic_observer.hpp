#pragma once

#include <cstdint>
#include <vector>

#include "emulator/instruction_traits.hpp"
#include "emulator/observer.hpp"

namespace moesaic::emulator {

class GridObserver;

/// Counts what a block moves: bytes by space, multiplies by form, and how often shared memory has to be asked.
///
/// CUDA C++ Programming Guide, "Shared Memory" (of compute capability 5.x and after): 32 banks give 4 bytes each at a
/// time, a word to any number of lanes. Accesses of 8 bytes are served for halves of a warp, of 16 bytes (rows of
/// ldmatrix and stmatrix too) for quarters. Each part takes as many wavefronts as its busiest bank has words to give.
class TrafficObserver {
 public:
  explicit TrafficObserver(Block& block);

  // As in Observer.
  void begin() { touches_.clear(); }
  void touch(ptx::Space space, std::uint64_t address, std::uint32_t bytes, int lane, bool writes, bool reads);
  void end(const Instruction& instruction, const Traits& traits, Lanes active);
  void copy_reads(Location from, std::uint32_t bytes);
  void copy_writes(Location to, std::uint32_t bytes);

 private:
  struct Touch {
    std::uint64_t address = 0;
    std::uint32_t bytes = 0;
    int lane = 0;
  };

  void count_wavefronts(const Instruction& instruction);

  Block& block_;
  const Checks& checks_;
  std::vector<Touch> touches_;  // of shared memory, by the instruction that runs
};

}  // namespace moesaic::emulator
