#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "spec/split_mix.hpp"

/// Made-up numbers that look like a model's. Only the sources of synth include this header.
namespace moesaic::checkpoint {

/// Distributions are built from + * / sqrt alone, which IEEE 754 rounds alike everywhere.
class Random : public SplitMix64 {
 public:
  explicit Random(std::uint64_t seed) : SplitMix64(seed) {}

  /// An independent stream for each name.
  Random(std::uint64_t seed, std::string_view name);

  double uniform();  ///< in [0, 1)
  double normal();   ///< close to a standard normal: four uniforms added (Irwin-Hall), each of 16 bits
  double heavy();    ///< a normal whose tail is heavy: one value in 32 is up to six times as large
};

/// What hidden states of every token have in common, by channel. Not part of any seed: made-up tokens suit every
/// made-up model of that width.
struct Channel {
  double gain;  ///< one channel in 64 stands out
  double mean;  ///< before the gain
};

std::vector<Channel> channels(int hidden);

/// A weight matrix [rows, cols] of values that bf16 holds.
struct Matrix {
  int rows = 0;
  int cols = 0;
  std::vector<float> values;
};

/// Heavy tails, rows of uneven size, and one input channel in 64 that stands out.
Matrix make_weights(Random random, int rows, int cols);

/// [experts, hidden] for `channels(hidden)`: a logit is about a standard normal times 1.5, plus the expert's
/// popularity. `normalized`: the router sees x / rms(x) * hidden^-1/2.
Matrix make_router(Random random, int experts, int hidden, bool normalized);

/// [1, size]: normals around `mean`.
Matrix make_vector(Random random, int size, double mean, double deviation);

}  // namespace moesaic::checkpoint
