#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "spec/formats.hpp"

namespace moesaic::reference {

/// The values of e4m3 codes, by a table.
inline std::vector<float> decode(std::span<const std::uint8_t> codes) {
  static const auto kValues = [] {
    std::array<float, 256> values{};
    for (std::size_t code = 0; code < 256; ++code) values[code] = decode_e4m3(static_cast<std::uint8_t>(code));
    return values;
  }();
  std::vector<float> values(codes.size());
  std::transform(codes.begin(), codes.end(), values.begin(), [](std::uint8_t code) { return kValues[code]; });
  return values;
}

}  // namespace moesaic::reference
