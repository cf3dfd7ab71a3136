#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "spec/device.hpp"

/// Places to run, as the option --device names them.
namespace moesaic::device {

struct Place {
  enum class Kind { cpu, gpu, emulated };
  Kind kind = Kind::cpu;
  int ordinal = 0;               ///< of a gpu
  const Device* card = nullptr;  ///< the emulated card
  int sms = 0;                   ///< an emulated card cut to so many SMs; 0: all it has
  std::uint64_t seed = 1;        ///< of an emulated card's interleavings
  std::string checks = "none";   ///< of an emulated card: "all", or names with commas (emulator/checks.hpp)

  /// As the user writes it: "cpu", "gpu:0", "emulated:gb10".
  std::string name() const;
};

/// Reads "cpu", "gpu", "gpu:N" or "emulated:CARD". Throws Error that names what is known.
Place parse_place(std::string_view text);

/// The place that --device auto stands for, and why, as the sentence that the user reads.
struct BestPlace {
  Place place;
  std::string reason;
};
BestPlace best_place();

}  // namespace moesaic::device
