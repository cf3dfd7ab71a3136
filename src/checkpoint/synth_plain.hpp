#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/synth.hpp"

namespace moesaic::checkpoint {

/// A tensor that is small and never quantized, with its bytes. Only the sources of synth include this header.
struct Plain {
  std::string name;
  std::string_view dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;
};

/// Router, norms and gate of the shared expert of one layer, under names that begin with `prefix`.
std::vector<Plain> make_plain(const Synth& synth, int layer, const std::string& prefix);

}  // namespace moesaic::checkpoint
