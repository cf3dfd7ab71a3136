#pragma once

#include <cstddef>
#include <cstdint>

#include "spec/config.hpp"

/// Prepacked weights: [experts, ceil(K / 128), N, 128]. A panel holds 128 k of every channel of an expert, and a
/// channel's 16-byte chunks stand where the 128-byte swizzle of shared memory wants them, so that any tile that starts
/// at a multiple of 8 channels is one contiguous copy, whatever its height. k beyond K is zero.
namespace moesaic {

/// Panels of one expert.
constexpr int panel_count(int k) {
  return ceil_div(k, kPanelBytes);
}

/// Bytes of all panels.
constexpr std::size_t panels_bytes(int experts, int n, int k) {
  return static_cast<std::size_t>(experts) * static_cast<std::size_t>(panel_count(k)) * static_cast<std::size_t>(n) *
         kPanelBytes;
}

/// Where the 16 bytes that start at k (a multiple of 16) of channel n of an expert lie. Of 8 channels after each other,
/// the chunk's index is xored with the channel's (PTX ISA, "Swizzling modes").
constexpr std::size_t panel_offset(int channels, int panels, int expert, int n, int k) {
  const int chunk = (k % kPanelBytes / 16) ^ (n % 8);
  const auto panel =
      static_cast<std::size_t>(expert) * static_cast<std::size_t>(panels) + static_cast<std::size_t>(k / kPanelBytes);
  return (panel * static_cast<std::size_t>(channels) + static_cast<std::size_t>(n)) * kPanelBytes +
         static_cast<std::size_t>(chunk) * 16;
}

}  // namespace moesaic
