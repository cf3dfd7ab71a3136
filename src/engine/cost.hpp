#pragma once

#include <string_view>
#include <vector>

#include "spec/config.hpp"

/// What a grouped GEMM must move and compute at least, and how long a variant is thought to take for it. Predictions,
/// from the sizes and the card's description alone: no routing is known when a variant is chosen.
namespace moesaic::engine {

/// A grouped GEMM as far as a choice may know it: `tokens` tokens go to `top_k` experts each.
struct Work {
  Problem problem;
  int tokens = 0;
  int top_k = 1;
  OutFormat out_format = OutFormat::f32;
};

/// How many experts get how many rows when every token chooses its experts at random: binomial. For one expert, the
/// dense GEMM, all rows.
struct Rows {
  struct Share {
    int rows = 0;        ///< more than 0
    double experts = 0;  ///< expected number of experts with so many
  };
  std::vector<Share> shares;
  std::vector<double> touched;  ///< touched[i]: probability that i experts have any

  /// Expected number of experts with any: E (1 - (1 - k/E)^T).
  double experts() const;
};

/// Throws Error when top_k is not between 1 and the number of experts, or tokens are negative.
Rows expect_rows(const Work& work);

/// What every variant must do. Each byte is counted once.
struct Floor {
  double experts = 0;       ///< that get rows
  double weight_bytes = 0;  ///< their weights and the weights' scales
  double token_bytes = 0;   ///< the rows' codes and scales
  double out_bytes = 0;
  double operations = 0;  ///< a product and its addition being two

  double bytes() const { return weight_bytes + token_bytes + out_bytes; }
  /// The larger of bytes over what the card reads and operations over its fastest multiply; 0 when no rates are known.
  double seconds(const Device& device) const;
};

/// `expected`: the rows that the work is expected to have.
Floor find_floor(const Work& work, const Rows& expected);
inline Floor find_floor(const Work& work) {
  return find_floor(work, expect_rows(work));
}

/// The model's own numbers, beside the rates of the card: fitted to what an H200 held to a 12.x card's limits took at
/// random points (docs/measurements.md), worth what `moesaic explain --against` says of them elsewhere.
struct CostNumbers {
  double start_us = 3.7;                   ///< from launch to the first bytes, and from the last sum to the end
  double latency_us = 0.83;                ///< in which every byte of a full ring arrives
  double shared_clocks_per_byte = 0.0086;  ///< in shared memory, that the multiply does not hide
  double tile_clocks = 630;                ///< between the last multiply of a tile and the first of the next
  double stage_clocks = 207;               ///< of an mma warp for a stage, whatever it multiplies
  double step_clocks = 5.5;                ///< more for each mma of the stage
};

/// What one variant is thought to take. The five times are of the card as a whole, each as if it were the only limit.
struct Cost {
  double tiles = 0;        ///< expected
  double waves = 0;        ///< tiles over the blocks that the card holds
  double memory_s = 0;     ///< bytes of the floor, through memory
  double in_flight_s = 0;  ///< the same bytes, as fast as the rings of all blocks can ask for them
  double l2_s = 0;         ///< bytes that the tiles copy to shared memory, each counted as often as it is copied
  double chain_s = 0;      ///< an mma warp, stage after stage, whatever the others do
  double multiply_s = 0;   ///< an SM: multiplies with their padding, shared memory, epilogues
  double time_s = 0;       ///< all together, wave after wave

  /// The largest of the five, in words.
  std::string_view limit() const;
};

/// For a variant that is valid for this problem on this device, whose rates must be known.
Cost predict(const Config& config, const Work& work, const Rows& rows, const Device& device,
             const CostNumbers& numbers = {});

}  // namespace moesaic::engine
