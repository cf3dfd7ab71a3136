#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "spec/error.hpp"

namespace moesaic::emulator {

/// A kernel did what the card forbids, or what the emulator does not know. what() is a sentence for the user; the other
/// members say where, as far as it is known.
struct Fault : Error {
  /// The kinds of fault, for tests and for a driver that turns them into error codes.
  enum class Kind {
    out_of_bounds,  ///< an address in no live allocation, or outside the block's shared, local or parameter window
    misaligned,     ///< an address that its instruction does not accept
    deadlock,       ///< all threads of a block wait, and nothing is in flight that could wake one
    livelock,       ///< Options::spin_limit steps of a block changed nothing
    unsupported,    ///< the kernel contains an instruction that the table does not have
    invalid,        ///< an operand, barrier or tensor map that is not legal
    trap,           ///< the kernel executed `trap` or `brkpt`
    assertion,      ///< an assertion in the kernel's source failed
    launch,         ///< the launch asks for what the kernel or the card does not have
    resources,      ///< the launch needs more registers than the card has
  };

  /// Where a fault happened.
  struct Place {
    std::string kernel{};
    std::uint32_t line = 0;     ///< of the PTX text, 0 when the fault belongs to no instruction
    std::string instruction{};  ///< its text, as in the PTX
    std::string source{};       ///< "file:line", and where that was inlined, as .loc gives it, else empty
    std::uint64_t block = 0;    ///< linear index in the grid
    int warp = -1;              ///< within the block
    std::uint32_t lanes = 0;    ///< mask of the lanes concerned
    std::uint64_t seed = 0;     ///< of the machine: it replays the fault with one host thread; 0: nothing has run
  };

  Fault(Kind kind_of_fault, Place where, const std::string& what_happened);

  Kind kind;
  Place place;
};

/// The name of a kind, as in the enumeration.
std::string_view name_of(Fault::Kind kind);

}  // namespace moesaic::emulator
