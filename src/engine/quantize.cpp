#include "engine/quantize.hpp"

#include <algorithm>
#include <cmath>

#include "spec/formats.hpp"

namespace moesaic::engine {

float quantize_row(const std::uint16_t* values, int count, std::uint8_t* codes) {
  constexpr float kFloor = 1.0F / (kE4m3Max * 512.0F);
  float largest = 0;
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::abs(decode_bf16(values[i])));
  const float scale = std::max(largest / kE4m3Max, kFloor);
  for (int i = 0; i < count; ++i) codes[i] = encode_e4m3(decode_bf16(values[i]) / scale);
  return scale;
}

}  // namespace moesaic::engine
