#pragma once

#include "kernels/exponential.cuh"
#include "kernels/moe_logits.cuh"

/// The experts of one token and their weights from its logits, by one warp. Lane l holds the scores of the experts
/// l, l + 32, ..., as integers that are ordered as the scores are; 0 stands for no expert and loses to every score.
/// Largest first, the lower index first among equals.
namespace moesaic::kernels {

inline constexpr int kPerLane = kMostRoutedExperts / kWarpThreads;
inline constexpr unsigned kAllLanes = 0xffffffffU;

/// An integer that is ordered as the float is, both zeros being equal.
__device__ inline std::uint32_t ordered(float x) {
  const std::uint32_t bits = __float_as_uint(__fadd_rn(x, 0.0F));  // -0 becomes +0
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
__device__ inline float of_ordered(std::uint32_t key) {
  return __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
}

/// The lowest index among those lanes whose key is the largest.
__device__ inline int index_of_best(std::uint32_t key, int index) {
  const std::uint32_t best = __reduce_max_sync(kAllLanes, key);
  return static_cast<int>(__reduce_min_sync(kAllLanes, key == best ? static_cast<unsigned>(index) : ~0U));
}

/// The expert whose key lane `lane` holds at `i`.
__device__ inline int expert_at(int lane, int i) {
  return lane + i * kWarpThreads;
}

/// In lane g: the score of group g, the sum of its two best; 0 in lanes without a group.
__device__ inline std::uint32_t group_score(const MoeRouteParams& p, const std::uint32_t (&keys)[kPerLane]) {
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  const int size = p.experts / p.groups;
  std::uint32_t mine = 0;
  for (int group = 0; group < p.groups; ++group) {
    std::uint32_t best = 0;  // of this lane's
    std::uint32_t second = 0;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int expert = expert_at(lane, i);
      if (expert < group * size || expert >= (group + 1) * size) continue;
      second = max(second, min(best, keys[i]));
      best = max(best, keys[i]);
    }
    const int owner = index_of_best(best, lane);
    const float largest = of_ordered(__shfl_sync(kAllLanes, best, owner));
    const std::uint32_t next = __reduce_max_sync(kAllLanes, lane == owner ? second : best);
    if (lane == group) mine = ordered(__fadd_rn(largest, size > 1 ? of_ordered(next) : 0.0F));
  }
  return mine;
}

/// Takes the experts of the groups that lose out of the choice.
__device__ inline void keep_best_groups(const MoeRouteParams& p, std::uint32_t (&keys)[kPerLane]) {
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  const int size = p.experts / p.groups;
  std::uint32_t score = group_score(p, keys);
  std::uint32_t staying = 0;  // bit g: group g
  for (int j = 0; j < p.top_groups; ++j) {
    const int group = index_of_best(score, lane);
    staying |= 1U << group;
    if (lane == group) score = 0;
  }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int expert = expert_at(lane, i);
    if (expert < p.experts && (staying >> (expert / size) & 1U) == 0) keys[i] = 0;
  }
}

/// What the choice goes by: the logit, or its sigmoid with the expert's correction.
__device__ inline float score_of(const MoeRouteParams& p, int expert, float logit) {
  if (p.scoring != Scoring::sigmoid) return logit;
  const float share = sigmoid(logit);
  return p.correction == nullptr ? share : __fadd_rn(share, p.correction[expert]);
}

/// In lane j < top_k: the j-th best expert; 0 in the others.
__device__ inline int chosen_expert(const MoeRouteParams& p, const float* logits) {
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  std::uint32_t keys[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int expert = expert_at(lane, i);
    keys[i] = expert < p.experts ? ordered(score_of(p, expert, logits[expert])) : 0;
  }
  if (p.scoring == Scoring::sigmoid && p.top_groups < p.groups) keep_best_groups(p, keys);
  int mine = 0;
  for (int j = 0; j < p.top_k; ++j) {
    std::uint32_t best = keys[0];
    int expert = lane;
#pragma unroll
    for (int i = 1; i < kPerLane; ++i) {
      if (keys[i] > best) expert = expert_at(lane, i);
      best = max(best, keys[i]);
    }
    const int chosen = index_of_best(best, expert);
    if (lane == j) mine = chosen;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (chosen == expert_at(lane, i)) keys[i] = 0;
    }
  }
  return mine;
}

/// What the shares of the chosen experts are divided by. `share` is that of the j-th in lane j, `largest` the largest
/// logit of a softmax.
__device__ inline float divisor(const MoeRouteParams& p, const float* logits, float share, float largest) {
  if (p.scoring == Scoring::softmax && !p.renormalize) {
    float sum = 0;
    for (int e = static_cast<int>(threadIdx.x % kWarpThreads); e < p.experts; e += kWarpThreads) {
      sum = __fadd_rn(sum, exp_nonpositive(__fsub_rn(logits[e], largest)));
    }
    return sum_of_lanes(sum);
  }
  if (p.scoring == Scoring::sigmoid && !p.renormalize) return 1;
  float sum = __shfl_sync(kAllLanes, share, 0);
  for (int j = 1; j < p.top_k; ++j) sum = __fadd_rn(sum, __shfl_sync(kAllLanes, share, j));
  return p.scoring == Scoring::sigmoid ? __fadd_rn(sum, 1e-20F) : sum;
}

__device__ inline void moe_choose(const MoeRouteParams& p, std::int64_t token) {
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
  const float* logits = p.logits + token * p.experts;
  const int expert = chosen_expert(p, logits);
  const float logit = logits[expert];
  const float largest = __shfl_sync(kAllLanes, logit, 0);  // of a softmax, whose scores are the logits
  const float share = p.scoring == Scoring::sigmoid ? sigmoid(logit) : exp_nonpositive(__fsub_rn(logit, largest));
  float weight = __fmul_rn(__fdiv_rn(share, divisor(p, logits, share, largest)), p.scale);
  if (p.expert_scale != nullptr) weight = __fmul_rn(weight, p.expert_scale[expert]);
  if (lane < p.top_k) {
    p.expert[token * p.top_k + lane] = expert;
    p.weight[token * p.top_k + lane] = weight;
  }
}

}  // namespace moesaic::kernels
