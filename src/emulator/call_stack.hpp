#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "emulator/instruction.hpp"

namespace moesaic::emulator {

/// One function under way in a warp, for the lanes that came to it by the same calls.
struct CallFrame {
  std::uint32_t parent = 0;          ///< index of the caller's frame
  std::uint32_t site = 0;            ///< pc of the call
  std::uint32_t function = 0;        ///< in Program::functions
  std::uint32_t base = 0;            ///< of its variables, in local memory
  std::uint32_t depth = 0;           ///< calls that lead here
  Lanes lanes = 0;                   ///< in it, or in what it calls
  std::vector<std::uint64_t> saved;  ///< registers of a recursive function, as they were before: rows of 32
  std::vector<Lanes> saved_predicates;
};

/// The frames of a warp. Frame 0 is the kernel's. Lanes that call one function from one instruction and one frame share
/// a frame, so that they can run together.
class CallStack {
 public:
  CallStack() : frames_(1) {}

  const CallFrame& operator[](std::uint32_t frame) const { return frames_[frame]; }
  CallFrame& operator[](std::uint32_t frame) { return frames_[frame]; }

  /// The frame of a call by `lanes`, new or already there.
  std::uint32_t enter(std::uint32_t parent, std::uint32_t site, std::uint32_t function, std::uint32_t base,
                      Lanes lanes) {
    std::uint32_t free = 0;
    for (std::uint32_t i = 1; i < frames_.size(); ++i) {
      CallFrame& frame = frames_[i];
      if (frame.lanes == 0) {
        free = i;
      } else if (frame.parent == parent && frame.site == site && frame.function == function) {
        frame.lanes |= lanes;
        return i;
      }
    }
    if (free == 0) {
      free = static_cast<std::uint32_t>(frames_.size());
      frames_.emplace_back();
    }
    CallFrame& frame = frames_[free];
    frame.parent = parent;
    frame.site = site;
    frame.function = function;
    frame.base = base;
    frame.depth = frames_[parent].depth + 1;
    frame.lanes = lanes;
    return free;
  }

  void leave(std::uint32_t frame, Lanes lanes) { frames_[frame].lanes &= ~lanes; }
  void exit(Lanes lanes) {
    for (CallFrame& frame : frames_) frame.lanes &= ~lanes;
  }

 private:
  std::vector<CallFrame> frames_;
};

}  // namespace moesaic::emulator
