#include <gtest/gtest.h>

#include <cmath>

#include <string>

#include "spec/config.hpp"
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

constexpr Config kDecode{.tile_f = 64, .tile_t = 8, .tile_k = 128, .stages = 5, .blocks_per_sm = 2};

TEST(Configs, HaveOneName) {
  EXPECT_EQ(variant_name(kDecode), "moe_fp8_gemm/f64t8k128.s5.c2.w4x1");
  Config other = kDecode;
  other.multiply = Multiply::plain;
  other.x_format = TokenFormat::e5m2;
  EXPECT_EQ(variant_name(other), "moe_fp8_gemm/f64t8k128.s5.c2.w4x1.plain.e5m2");
}

TEST(Configs, CountTheBytesOfTheirSharedMemory) {
  EXPECT_EQ(smem_bytes(kDecode), sizeof(Smem<kDecode>));
  EXPECT_EQ(smem_bytes(kDecode), 47104U);  // 5 * (72 * 128 + 2 * 8 + 16), up to a multiple of 1024
}

TEST(Configs, EachBlockLosesWhatTheSystemTakes) {
  const Device& gb10 = *find_device("gb10");
  EXPECT_EQ(smem_share_bytes(gb10, 1), 101376U);
  EXPECT_EQ(smem_share_bytes(gb10, 2), 50176U);
  // 50 KB would fit twice into 100 KB, were it not for the 1 KB of each block that the system takes.
  constexpr Config kHalf{.tile_f = 128, .tile_t = 64, .tile_k = 128, .stages = 2, .blocks_per_sm = 2};
  EXPECT_EQ(smem_bytes(kHalf), 50176U);
  EXPECT_TRUE(fits(kHalf, gb10));
  Device greedy = gb10;
  greedy.smem_reserved_bytes += 1;
  EXPECT_FALSE(fits(kHalf, greedy));
  Config deep = kDecode;
  deep.stages = 6;
  EXPECT_FALSE(fits(deep, gb10));
  deep.blocks_per_sm = 1;
  EXPECT_TRUE(fits(deep, gb10));
}

TEST(Configs, AreIllegalForAReason) {
  const auto why = [](auto change) {
    Config config = kDecode;
    change(config);
    const char* reason = why_illegal(config);
    return std::string(reason == nullptr ? "" : reason);
  };
  EXPECT_EQ(why([](Config&) {}), "");
  EXPECT_NE(why([](Config& c) { c.tile_k = 96; }).find("tile_k is not 64, 128 or 256"), std::string::npos);
  EXPECT_NE(why([](Config& c) { c.warps_t = 3; }).find("not 1 to 8 mma warps"), std::string::npos);
  EXPECT_NE(why([](Config& c) { c.tile_f = 96; }).find("tile_f is not a multiple of 16 times warps_f"),
            std::string::npos);
  EXPECT_NE(why([](Config& c) { c.tile_f = 320; }).find("tile_f is above 256"), std::string::npos);
  EXPECT_NE(why([](Config& c) { c.tile_t = 20; }).find("tile_t is not a multiple of 8 times warps_t"),
            std::string::npos);
  EXPECT_NE(why([](Config& c) { c.stages = 1; }).find("fewer than 2 stages"), std::string::npos);
  EXPECT_NE(why([](Config& c) { c.blocks_per_sm = 0; }).find("blocks_per_sm is below 1"), std::string::npos);
}

TEST(Configs, AreInvalidForAReason) {
  const Device& gb10 = *find_device("gb10");
  const Problem problem{.experts = 8, .n = 1408, .k = 704};
  for (const Device& device : kDevices) EXPECT_EQ(valid(kDecode, problem, device), "") << device.name;
  EXPECT_NE(valid(kDecode, {8, 1408, 700}, gb10).find("k 700 is not a positive multiple of 16"), std::string::npos);
  EXPECT_NE(valid(kDecode, {8, 1404, 704}, gb10).find("n 1404 is not a positive multiple of 8"), std::string::npos);
  Device later = gb10;
  later.major = 13;
  EXPECT_NE(valid(kDecode, problem, later).find("compute capability 13.1 is unknown here"), std::string::npos);
  Config deep = kDecode;
  deep.stages = 6;
  EXPECT_EQ(valid(deep, problem, gb10),
            "needs 56320 bytes of shared memory in each of 2 blocks per SM; NVIDIA GB10 leaves 50176");
  Config odd = kDecode;
  odd.x_format = TokenFormat::e5m2;
  EXPECT_EQ(valid(odd, problem, gb10), "multiplies tokens in e5m2, not in e4m3");
  Config plain = kDecode;
  plain.multiply = Multiply::plain;
  EXPECT_EQ(valid(plain, problem, gb10), "");
  EXPECT_NE(valid(plain, problem, *find_device("h200")).find("is an instruction of compute capability 12.x"),
            std::string::npos);
}

TEST(Configs, NameTheResourceThatIsShort) {
  const Problem problem{.experts = 8, .n = 1408, .k = 704};
  Device small = *find_device("gb10");
  ASSERT_EQ(valid(kDecode, problem, small), "");
  small.registers_per_sm = 32768;  // of 6 warps twice, 168 a thread
  EXPECT_EQ(valid(kDecode, problem, small),
            "needs 32256 registers in each of 2 blocks per SM; NVIDIA GB10 leaves 16384");
  small.registers_per_sm = 65536;
  small.threads_per_sm = 256;
  EXPECT_EQ(valid(kDecode, problem, small), "needs 192 threads in each of 2 blocks per SM; NVIDIA GB10 leaves 128");
  small.threads_per_sm = 1536;
  small.blocks_per_sm = 1;
  EXPECT_EQ(valid(kDecode, problem, small), "counts on 2 blocks per SM; NVIDIA GB10 holds 1");
  small.smem_per_sm_bytes = 1024;
  EXPECT_EQ(valid(kDecode, problem, small),
            "needs 47104 bytes of shared memory in each of 2 blocks per SM; NVIDIA GB10 leaves 0");
}

}  // namespace
}  // namespace moesaic
