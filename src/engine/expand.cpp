#include "engine/expand.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "spec/config.hpp"
#include "spec/formats.hpp"

namespace moesaic::engine {
namespace {

/// e4m3 without branches or tables, so that compilers make vector code of a loop: the significand as an integer times a
/// power of two.
inline float e4m3(std::uint8_t code) {
  const std::uint32_t c = code;
  const std::uint32_t exponent = (c >> 3) & 15U;
  const std::uint32_t subnormal = exponent == 0 ? 1U : 0U;
  const auto significand = static_cast<std::int32_t>((c & 7U) | (1U - subnormal) << 3);
  const float unit = std::bit_cast<float>((exponent + subnormal + 117U) << 23);  // 2^(exponent - 10)
  const auto magnitude = std::bit_cast<std::uint32_t>(static_cast<float>(significand) * unit);
  const std::uint32_t nan = (c & 0x7fU) == 0x7f ? 0x7fc00000U : 0U;
  return std::bit_cast<float>(magnitude | nan | (c & 0x80U) << 24);
}

inline void e4m3_loop(const std::uint8_t* codes, int count, float* out) {
  for (int i = 0; i < count; ++i) out[i] = e4m3(codes[i]);
}

#if defined(__x86_64__)
/// The same for processors with AVX2, which the compiler may not assume.
[[gnu::target("avx2")]] void e4m3_avx2(const std::uint8_t* codes, int count, float* out) {
  e4m3_loop(codes, count, out);
}
#endif

void expand_e4m3(const std::uint8_t* codes, int count, float* out) {
#if defined(__x86_64__)
  static const bool kAvx2 = __builtin_cpu_supports("avx2") != 0;
  if (kAvx2) return e4m3_avx2(codes, count, out);
#endif
  e4m3_loop(codes, count, out);
}

/// Two e2m1 in each byte, the first in the low bits. `count` is even but for a last byte that is half used.
void expand_e2m1(const std::uint8_t* codes, int count, float scale, float* out) {
  static const auto kPairs = [] {
    std::array<std::array<float, 2>, 256> pairs{};
    for (std::size_t byte = 0; byte < pairs.size(); ++byte) {
      pairs[byte] = {decode_e2m1(static_cast<std::uint8_t>(byte & 15)),
                     decode_e2m1(static_cast<std::uint8_t>(byte >> 4))};
    }
    return pairs;
  }();
  for (int i = 0; i + 1 < count; i += 2) {
    const auto& pair = kPairs[codes[i / 2]];
    out[i] = pair[0] * scale;
    out[i + 1] = pair[1] * scale;
  }
  if (count % 2 != 0) out[count - 1] = kPairs[codes[count / 2]][0] * scale;
}

void expand_bf16(const std::uint16_t* values, int count, float* out) {
  for (int i = 0; i < count; ++i) out[i] = decode_bf16(values[i]);
}

/// bf16 as they lie in a checkpoint, little-endian.
void expand_bf16_bytes(const std::uint8_t* bytes, int count, float* out) {
  for (int i = 0; i < count; ++i) {
    const std::uint32_t code = bytes[2 * i] | static_cast<std::uint32_t>(bytes[2 * i + 1]) << 8;
    out[i] = std::bit_cast<float>(code << 16);
  }
}

/// Calls expand(first value, length, index of the group) for each group of a row.
template <typename Expand>
void for_each_group(int group, int cols, const Expand& expand) {
  for (int k = 0; k < cols; k += group) expand(k, std::min(group, cols - k), static_cast<std::size_t>(k / group));
}

}  // namespace

void expand_weights(const Experts& experts, std::size_t channel, float* out) {
  const int count = experts.cols;
  const std::uint8_t* codes = experts.codes.data() + channel * experts.row_bytes();
  const auto scale_of = [&](int group, std::size_t index) {
    return experts.group_scales[channel * static_cast<std::size_t>(ceil_div(experts.cols, group)) + index];
  };
  switch (experts.scheme.weights) {
    case WeightScheme::bf16:
      return expand_bf16_bytes(codes, count, out);
    case WeightScheme::fp8_channel:
    case WeightScheme::fp8_block:
      return expand_e4m3(codes, count, out);
    case WeightScheme::nvfp4:
      return for_each_group(kNvfp4Group, count, [&](int k, int length, std::size_t index) {
        expand_e2m1(codes + k / 2, length, decode_ue4m3(scale_of(kNvfp4Group, index)), out + k);
      });
    case WeightScheme::mxfp4:
      return for_each_group(kMxGroup, count, [&](int k, int length, std::size_t index) {
        expand_e2m1(codes + k / 2, length, decode_ue8m0(scale_of(kMxGroup, index)), out + k);
      });
  }
}

void expand_inputs(InputScheme scheme, const Quantized& quantized, const std::uint16_t* values, std::size_t row,
                   int cols, float* out) {
  const auto count = static_cast<std::size_t>(cols);
  const auto scale_of = [&](int group, std::size_t index) {
    return quantized.group_scales[row * static_cast<std::size_t>(ceil_div(cols, group)) + index];
  };
  switch (scheme) {
    case InputScheme::bf16:
      return expand_bf16(values, cols, out);
    case InputScheme::fp8_static:
    case InputScheme::fp8_token:
    case InputScheme::fp8_group:
      return expand_e4m3(quantized.codes.data() + row * count, cols, out);
    case InputScheme::nvfp4: {
      const std::uint8_t* codes = quantized.codes.data() + row * static_cast<std::size_t>(ceil_div(cols, 2));
      return for_each_group(kNvfp4Group, cols, [&](int k, int length, std::size_t index) {
        expand_e2m1(codes + k / 2, length, decode_ue4m3(scale_of(kNvfp4Group, index)), out + k);
      });
    }
    case InputScheme::mxfp8: {
      expand_e4m3(quantized.codes.data() + row * count, cols, out);
      return for_each_group(kMxGroup, cols, [&](int k, int length, std::size_t index) {
        const float scale = decode_ue8m0(scale_of(kMxGroup, index));
        for (int i = k; i < k + length; ++i) out[i] *= scale;
      });
    }
  }
}

}  // namespace moesaic::engine
