#pragma once

#include "kernels/params.hpp"
#include "spec/panels.hpp"

/// Packs weights into panels, once, when they are loaded:
///   panels[e, k / 128, n, swizzled k % 128] = rows[e, n, k], and 0 for k beyond K      grid: 16 bytes a thread
namespace moesaic::kernels {

__device__ inline void moe_pack(const MoePackParams& p) {
  const int panels = panel_count(p.k);
  const int chunks = panels * kPanelBytes / 16;  // of one channel
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kRowThreads + threadIdx.x;
  const std::int64_t channel = at / chunks;
  if (channel >= static_cast<std::int64_t>(p.experts) * p.n) return;
  const auto k = static_cast<int>(at % chunks) * 16;
  const auto expert = static_cast<int>(channel / p.n);
  const auto n = static_cast<int>(channel % p.n);
  uint4 codes{};
  if (k < p.k) codes = *reinterpret_cast<const uint4*>(p.rows + channel * p.k + k);
  *reinterpret_cast<uint4*>(p.panels + panel_offset(p.n, panels, expert, n, k)) = codes;
}

}  // namespace moesaic::kernels
