#include <gtest/gtest.h>

#include <cmath>

#include "spec/device.hpp"
#include "spec/formats.hpp"
#include "spec/layer.hpp"

namespace moesaic {
namespace {

/// The code whose value is nearest to `value`, ties to the even code, by trying them all.
template <class Decode>
std::uint32_t nearest_by_search(float value, std::uint32_t codes, Decode decode) {
  std::uint32_t best = 0;
  double best_distance = INFINITY;
  for (std::uint32_t code = 0; code < codes; ++code) {
    const double distance = std::abs(static_cast<double>(decode(code)) - static_cast<double>(value));
    if (distance < best_distance || (distance == best_distance && code % 2 == 0)) {
      best = code;
      best_distance = distance;
    }
  }
  return best;
}

TEST(Formats, E4m3RoundTripsEveryCode) {
  for (int code = 0; code < 256; ++code) {
    const auto byte = static_cast<std::uint8_t>(code);
    if ((byte & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(decode_e4m3(byte)));
      EXPECT_EQ(encode_e4m3(decode_e4m3(byte)), 0x7f);
    } else {
      EXPECT_EQ(encode_e4m3(decode_e4m3(byte)), byte);
    }
  }
}

TEST(Formats, E4m3RoundsToNearestEvenAtEveryBoundary) {
  for (std::uint32_t code = 0; code < 0x7e; ++code) {
    const float low = decode_e4m3(static_cast<std::uint8_t>(code));
    const float high = decode_e4m3(static_cast<std::uint8_t>(code + 1));
    const float middle = (low + high) / 2;
    for (const float value : {std::nextafter(middle, low), middle, std::nextafter(middle, high)}) {
      const auto want =
          nearest_by_search(value, 0x7f, [](std::uint32_t c) { return decode_e4m3(static_cast<std::uint8_t>(c)); });
      EXPECT_EQ(encode_e4m3(value), want) << value;
      EXPECT_EQ(encode_e4m3(-value), want | 0x80) << value;
    }
  }
}

TEST(Formats, E4m3Saturates) {
  EXPECT_EQ(encode_e4m3(449.0F), 0x7e);
  EXPECT_EQ(encode_e4m3(1e30F), 0x7e);
  EXPECT_EQ(encode_e4m3(INFINITY), 0x7e);
  EXPECT_EQ(encode_e4m3(-INFINITY), 0xfe);
  EXPECT_EQ(encode_e4m3(NAN), 0x7f);
  EXPECT_EQ(decode_e4m3(0x7e), kE4m3Max);
}

TEST(Formats, SixteenBitFormatsRoundTripAndRoundAtBoundaries) {
  for (std::uint32_t code = 0; code < 0x7bff; ++code) {
    const auto half = static_cast<std::uint16_t>(code);
    ASSERT_EQ(encode_f16(decode_f16(half)), half);
    const float next = decode_f16(static_cast<std::uint16_t>(code + 1));
    const float middle = (decode_f16(half) + next) / 2;
    ASSERT_EQ(encode_f16(middle), code % 2 == 0 ? code : code + 1);
    ASSERT_EQ(encode_f16(std::nextafter(middle, 1e9F)), code + 1);
    ASSERT_EQ(encode_f16(std::nextafter(middle, -1e9F)), code);
  }
  for (std::uint32_t code = 0; code < 0x7f7f; ++code) {
    const auto bf = static_cast<std::uint16_t>(code);
    ASSERT_EQ(encode_bf16(decode_bf16(bf)), bf);
    const float middle = std::bit_cast<float>((code << 16) | 0x8000U);
    ASSERT_EQ(encode_bf16(middle), code % 2 == 0 ? code : code + 1);
  }
  EXPECT_EQ(encode_f16(INFINITY), 0x7c00);
  EXPECT_EQ(encode_f16(65519.0F), 0x7bff);
  EXPECT_EQ(encode_f16(65520.0F), 0x7c00);
  EXPECT_EQ(encode_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(encode_f16(NAN), 0x7fff);
  EXPECT_EQ(encode_bf16(NAN), 0x7fff);
}

TEST(Devices, AreFoundByName) {
  ASSERT_NE(find_device("gb10"), nullptr);
  EXPECT_EQ(find_device("gb10")->capability(), 121);
  EXPECT_EQ(find_device("gb11"), nullptr);
}

}  // namespace
}  // namespace moesaic
