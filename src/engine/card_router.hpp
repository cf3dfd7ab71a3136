#pragma once

#include "device/gpu.hpp"
#include "spec/layer.hpp"

/// A router and its decisions on a card: Router and Routing of spec/layer.hpp, for kernels/moe_route.cuh.
namespace moesaic::engine {

struct CardRouter {
  CardRouter(const device::Gpu& gpu, const Layer& layer);

  Shape shape;
  Scoring scoring;
  bool renormalize;
  int groups;
  int top_groups;
  float scale;
  bool bf16;              ///< the weights are: they were exact in it; else f32
  device::Buffer weight;  ///< [E, hidden]
  device::Buffer bias;    ///< [E] f32, or empty; so the next two
  device::Buffer correction;
  device::Buffer expert_scale;
};

/// What the router's kernel writes for `token_count` tokens.
struct CardRouting {
  CardRouting(const device::Gpu& gpu, const Shape& shape, int token_count);

  /// The routing, when the launches that made it have ended.
  Routing download(const device::Gpu& gpu) const;
  /// [tokens, experts].
  std::vector<float> download_logits(const device::Gpu& gpu) const;

  int tokens;
  int experts;
  int top_k;
  device::Buffer expert;    ///< [T, top_k] i32
  device::Buffer weight;    ///< [T, top_k] f32
  device::Buffer row;       ///< [T, top_k] i32
  device::Buffer first;     ///< [E + 1] i32
  device::Buffer logits;    ///< [T, E] f32
  device::Buffer finished;  ///< [T + 2] u32: counters, zeros between launches
};

}  // namespace moesaic::engine
