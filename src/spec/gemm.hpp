#pragma once

#include <cstdint>

/// The forms that the operands of the grouped GEMM may have, as data.
///
///   out[r, n] = x_scale(r) * w_scale(e, n) * sum_k X[r, k] * W[e, n, k] (+ bias[e, n])      for the rows r of expert e
namespace moesaic {

/// How the weights [E, N, K] lie in memory.
enum class WeightLayout : std::uint8_t {
  rows,    ///< row-major, as checkpoints have them: nothing is copied
  panels,  ///< [E, ceil(K / 128), N, 128], swizzled as shared memory wants it: a tile is one contiguous copy
           ///< (panels.hpp)
};

/// The format of the tokens' codes.
enum class TokenFormat : std::uint8_t { e4m3, e5m2 };

/// The instruction that multiplies.
enum class Multiply : std::uint8_t {
  /// The fastest exact form of the target. 12.x: kind::mxf8f6f4.block_scale with unit scales, which runs at full rate
  /// on
  /// GeForce where the plain one runs at half. 9.0: both operands widened to f16, then the f16 multiply.
  fast,
  plain,  ///< kind::f8f6f4, 12.x alone: which of the two is faster on GB10 and RTX PRO is for a tuner on the card to
          ///< say
};

/// The format of the result.
enum class OutFormat : std::uint8_t { f32, bf16, f16 };

constexpr int out_bytes(OutFormat format) {
  return format == OutFormat::f32 ? 4 : 2;
}

/// What varies a scale of the tokens' rows, or of the weights.
enum class ScalePer : std::uint8_t {
  scalar,  ///< one for all
  expert,  ///< [E]
  vector,  ///< tokens: [R], one for each row; weights: [E, N], one for each channel
};

/// What a GEMM may read before the kernel in front of it in the stream has finished (programmatic dependent launch).
enum class Dependence : std::uint8_t {
  full,    ///< launched the ordinary way: nothing overlaps
  strict,  ///< starts early, and reads nothing before the wait
  early,   ///< reads the routing and weights before the wait: the kernel in front must not write the routing, and must
           ///< have waited for the one that did
};

}  // namespace moesaic
