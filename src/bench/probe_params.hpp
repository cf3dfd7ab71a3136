#pragma once

#include <cstdint>

/// The one argument of each of the bench's own kernels (probes.cu), and the shapes that host and card agree on.
namespace moesaic::bench {

/// Writes random e4m3 codes that are never NaN; as f32, s8 or e5m2 they would be just as harmless to time.
struct FillParams {
  std::uint64_t* words;
  std::int64_t count;  ///< of 8 codes each
  std::uint64_t seed;
};

/// Streams memory through a ring in shared memory and looks at none of it.
struct StreamProbeParams {
  const std::uint8_t* data;
  std::int64_t chunks;
  std::int32_t chunk_bytes;  ///< of each of kStreamStages stages
};

/// Multiplies what stands in shared memory, over and over.
struct MmaProbeParams {
  float* out;  ///< [blocks, kMmaProbeThreads]: so that the sums are needed
  std::int32_t iterations;
};

inline constexpr int kFillThreads = 256;
inline constexpr int kStreamThreads = 32;
inline constexpr int kStreamStages = 6;
/// What the stages of all blocks of an SM take together.
inline constexpr int kStreamBytesPerSm = 96 * 1024;

/// 8 warps of 64 x 64 over 256 features and 128 tokens; 128 k in each of two stages.
inline constexpr int kMmaProbeThreads = 256;
inline constexpr int kMmaProbeFeatures = 256;
inline constexpr int kMmaProbeTokens = 128;
inline constexpr int kMmaProbeDepth = 128;
inline constexpr int kMmaProbeStages = 2;
inline constexpr int kMmaProbeSmemBytes = kMmaProbeStages * (kMmaProbeFeatures + kMmaProbeTokens) * kMmaProbeDepth;

}  // namespace moesaic::bench
