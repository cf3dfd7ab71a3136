#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/synth.hpp"

namespace moesaic::checkpoint {

/// A tensor that is never quantized. Only the sources of synth include this header.
struct Plain {
  std::string name;
  std::string_view dtype;
  std::vector<std::uint64_t> shape;
  std::function<std::vector<std::byte>()> make;  ///< its bytes; may be called as long as the Synth lives
};

/// Router, norms and gate of the shared expert of one layer, under names that begin with `prefix`.
std::vector<Plain> plain_tensors(const Synth& synth, int layer, const std::string& prefix);

}  // namespace moesaic::checkpoint
