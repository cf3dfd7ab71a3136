#pragma once

#include <cstdint>
#include <string_view>

/// Quantization schemes as data: how the numbers of a matrix, and of the activations that meet it, are stored.
namespace moesaic {

/// Side of the square blocks, and length of the activation groups, of block FP8.
inline constexpr int kBlockSide = 128;
/// Values that share one ue4m3 scale in NVFP4.
inline constexpr int kNvfp4Group = 16;
/// Values that share one ue8m0 scale in the OCP microscaling formats (MXFP4, MXFP8).
inline constexpr int kMxGroup = 32;

/// How the weights of a matrix are stored. w is the value that a code means.
enum class WeightScheme : std::uint8_t {
  bf16,         ///< w = bf16
  fp8_channel,  ///< w = e4m3 * scales[n]: one per output channel; a scale per tensor is the same one in every channel
  fp8_block,    ///< w = e4m3 * scales[n / 128, k / 128]
  nvfp4,        ///< w = e2m1 * ue4m3[n, k / 16] * scales[n]: the global scale, as a factor
  mxfp4,        ///< w = e2m1 * ue8m0[n, k / 32]
};

/// How the activations are stored that enter a GEMM. x is the value that a code means.
enum class InputScheme : std::uint8_t {
  bf16,        ///< x = bf16: not quantized
  fp8_static,  ///< x = e4m3 * input_scales[e]: from the checkpoint
  fp8_token,   ///< x = e4m3 * scale of the row, found when it runs
  fp8_group,   ///< x = e4m3 * scale of each 128 values of a row, found when it runs
  nvfp4,       ///< x = e2m1 * ue4m3 of each 16 values, found when it runs, * input_scales[e] from the checkpoint
  mxfp8,       ///< x = e4m3 * ue8m0 of each 32 values, found when it runs
};

/// Both together, for one GEMM.
struct Scheme {
  WeightScheme weights = WeightScheme::bf16;
  InputScheme inputs = InputScheme::bf16;

  bool operator==(const Scheme&) const = default;
};

/// Bits of one stored weight.
constexpr int weight_bits(WeightScheme scheme) {
  switch (scheme) {
    case WeightScheme::bf16:
      return 16;
    case WeightScheme::fp8_channel:
    case WeightScheme::fp8_block:
      return 8;
    case WeightScheme::nvfp4:
    case WeightScheme::mxfp4:
      return 4;
  }
  return 0;
}

/// Whether input_scales come with the checkpoint.
constexpr bool has_static_scale(InputScheme scheme) {
  return scheme == InputScheme::fp8_static || scheme == InputScheme::nvfp4;
}

}  // namespace moesaic
