#include "emulator/fault.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace moesaic::emulator {
namespace {

std::string sentence(Fault::Kind kind, const Fault::Place& place, const std::string& what_happened) {
  std::string text = fmt::format("kernel {}", place.kernel);
  if (place.line != 0) text += fmt::format(", PTX line {} `{}`", place.line, place.instruction);
  if (!place.source.empty()) text += fmt::format(" ({})", place.source);
  if (place.warp >= 0) {
    text += fmt::format(", block {}, warp {}, lanes {:#010x}", place.block, place.warp, place.lanes);
  } else if (kind != Fault::Kind::launch && kind != Fault::Kind::resources && kind != Fault::Kind::unsupported) {
    text += fmt::format(", block {}", place.block);
  }
  text += ": " + what_happened;
  if (place.seed != 0) text += fmt::format("\n  (seed {} with one host thread replays this)", place.seed);
  return text;
}

}  // namespace

Fault::Fault(Kind kind_of_fault, Place where, const std::string& what_happened)
    : Error(sentence(kind_of_fault, where, what_happened)), kind(kind_of_fault), place(std::move(where)) {}

std::string_view name_of(Fault::Kind kind) {
  static constexpr std::array<std::string_view, 10> kNames{"out_of_bounds", "misaligned", "deadlock", "livelock",
                                                           "unsupported",   "invalid",    "trap",     "assertion",
                                                           "launch",        "resources"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace moesaic::emulator
