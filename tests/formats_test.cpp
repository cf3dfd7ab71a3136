// The formats of 8 bits and less: every code, every rounding boundary, and the CUDA headers' own conversions, compiled
// for the host.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "spec/formats.hpp"
#include "spec/split_mix.hpp"

namespace moesaic {
namespace {

/// A signed format that rounds to nearest even and saturates.
struct Small {
  std::string name;
  float (*decode)(std::uint8_t);
  std::uint8_t (*encode)(float);
  std::uint8_t (*cuda)(float);
  std::uint8_t sign;     ///< the sign bit
  std::uint8_t largest;  ///< code of the largest finite value
  std::uint8_t nan;      ///< what NaN becomes
};

std::vector<Small> small_formats() {
  return {
      {"e4m3", decode_e4m3, encode_e4m3, [](float x) { return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3); },
       0x80, 0x7e, 0x7f},
      {"e5m2", decode_e5m2, encode_e5m2, [](float x) { return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E5M2); },
       0x80, 0x7b, 0x7f},
      {"e2m1", decode_e2m1, encode_e2m1, [](float x) { return __nv_cvt_float_to_fp4(x, __NV_E2M1, cudaRoundNearest); },
       0x08, 0x07, 0x07},
  };
}

/// Values at, just below and just above: each code's value, the middle between neighbours, the edges of float.
std::vector<float> boundaries(const Small& format) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> at{0, kInfinity, std::numeric_limits<float>::max(), std::numeric_limits<float>::denorm_min()};
  for (int code = 0; code <= format.largest; ++code) {
    const float value = format.decode(static_cast<std::uint8_t>(code));
    at.push_back(value);
    at.push_back((value + (code == format.largest ? 2 * value : format.decode(static_cast<std::uint8_t>(code + 1)))) /
                 2);
  }
  std::vector<float> values;
  for (const float value : at) {
    for (const float near : {std::nextafter(value, -kInfinity), value, std::nextafter(value, kInfinity)}) {
      values.push_back(near);
      values.push_back(-near);
    }
  }
  return values;
}

/// The code nearest to the value or, past the largest, to the largest; ties to the even one, by trying them all.
std::uint8_t nearest_by_search(const Small& format, float value) {
  const auto size = static_cast<double>(std::min(std::abs(value), format.decode(format.largest)));
  std::uint8_t best = format.largest;
  double distance = std::abs(static_cast<double>(format.decode(best)) - size);
  for (std::uint8_t code = 0; code < format.largest; ++code) {
    const double here = std::abs(static_cast<double>(format.decode(code)) - size);
    if (here < distance || (here == distance && code % 2 == 0)) {
      best = code;
      distance = here;
    }
  }
  return static_cast<std::uint8_t>(best | (std::signbit(value) ? format.sign : 0));
}

TEST(SmallFormats, EveryCodeRoundTrips) {
  for (const Small& format : small_formats()) {
    for (int code = 0; code <= format.largest; ++code) {
      const auto positive = static_cast<std::uint8_t>(code);
      const auto negative = static_cast<std::uint8_t>(code | format.sign);
      EXPECT_EQ(format.encode(format.decode(positive)), positive) << format.name;
      EXPECT_EQ(format.encode(format.decode(negative)), negative) << format.name;
    }
  }
}

TEST(SmallFormats, RoundToNearestEvenAtEveryBoundaryAndSaturate) {
  for (const Small& format : small_formats()) {
    for (const float value : boundaries(format)) {
      EXPECT_EQ(format.encode(value), nearest_by_search(format, value)) << format.name << " " << value;
    }
    EXPECT_EQ(format.encode(std::numeric_limits<float>::quiet_NaN()), format.nan) << format.name;
    EXPECT_EQ(format.encode(-std::numeric_limits<float>::quiet_NaN()), format.nan) << format.name;
  }
}

TEST(SmallFormats, EncodeAsTheCudaHeadersDo) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SplitMix64 random(seed);
  for (const Small& format : small_formats()) {
    for (const float value : boundaries(format)) ASSERT_EQ(format.encode(value), format.cuda(value)) << format.name;
    for (int i = 0; i < 1 << 18; ++i) {
      const auto bits = static_cast<std::uint32_t>(random.next());
      const float anything = std::bit_cast<float>(bits);
      const float within = std::bit_cast<float>((bits & 0x87ffffffU) | 0x38000000U);  // 2^-15 up to 2
      for (const float value : {anything, within, within * 256}) {
        ASSERT_EQ(format.encode(value), format.cuda(value)) << format.name << " " << value;
      }
    }
  }
}

/// Equal bits, or both NaN.
bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

float from_half(__half_raw raw) {
  return __half2float(__half(raw));
}

TEST(SmallFormats, DecodeAsTheCudaHeadersDo) {
  for (int i = 0; i < 256; ++i) {
    const auto code = static_cast<std::uint8_t>(i);
    EXPECT_TRUE(same(decode_e4m3(code), from_half(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3)))) << i;
    EXPECT_TRUE(same(decode_e5m2(code), from_half(__nv_cvt_fp8_to_halfraw(code, __NV_E5M2)))) << i;
    EXPECT_TRUE(same(decode_ue8m0(code), __bfloat162float(__nv_bfloat16(__nv_cvt_e8m0_to_bf16raw(code))))) << i;
  }
  for (std::uint8_t code = 0; code < 16; ++code) {
    EXPECT_TRUE(same(decode_e2m1(code), from_half(__nv_cvt_fp4_to_halfraw(code, __NV_E2M1))));
  }
}

TEST(SmallFormats, ScalesOfNvfp4AreE4m3WithoutSign) {
  for (int i = 0; i < 0x7f; ++i) {
    const auto code = static_cast<std::uint8_t>(i);
    EXPECT_EQ(decode_ue4m3(code), decode_e4m3(code));
    EXPECT_EQ(encode_ue4m3(decode_ue4m3(code)), code);
    EXPECT_EQ(encode_ue4m3(std::nextafter(decode_ue4m3(code), 0.0F)), code) << "next to a code";
  }
  EXPECT_EQ(encode_ue4m3(-3), 0);
  EXPECT_EQ(encode_ue4m3(-0.0F), 0);
  EXPECT_EQ(encode_ue4m3(1e9F), 0x7e);
  EXPECT_EQ(encode_ue4m3(std::numeric_limits<float>::quiet_NaN()), 0x7f);
  EXPECT_TRUE(std::isnan(decode_ue4m3(0x7f)));
}

TEST(Ue8m0, IsAPowerOfTwo) {
  for (int code = 0; code < 255; ++code) {
    EXPECT_EQ(decode_ue8m0(static_cast<std::uint8_t>(code)), std::ldexp(1.0F, code - 127));
  }
  EXPECT_TRUE(std::isnan(decode_ue8m0(0xff)));
}

std::uint8_t cuda_ue8m0(float x, cudaRoundMode rounding) {
  return __nv_cvt_float_to_e8m0(x, __NV_SATFINITE, rounding);
}

void expect_as_cuda(float value) {
  ASSERT_EQ(encode_ue8m0_up(value), cuda_ue8m0(value, cudaRoundPosInf)) << value;
  if (!std::signbit(value)) {  // the header's host code keeps the exponent's bits next to a sign bit that it drops
    ASSERT_EQ(encode_ue8m0_toward_zero(value), cuda_ue8m0(value, cudaRoundZero)) << value;
  }
}

TEST(Ue8m0, RoundsUpAndTowardZeroAtEveryPower) {
  for (int code = 0; code < 255; ++code) {
    const float power = std::ldexp(1.0F, code - 127);
    const auto here = static_cast<std::uint8_t>(code);
    const auto above = static_cast<std::uint8_t>(code == 254 ? code : code + 1);
    const auto below = static_cast<std::uint8_t>(code == 0 ? code : code - 1);
    const float more = std::nextafter(power, std::numeric_limits<float>::infinity());
    const float less = std::nextafter(power, 0.0F);
    EXPECT_EQ(encode_ue8m0_up(power), here);
    EXPECT_EQ(encode_ue8m0_up(more), above);
    EXPECT_EQ(encode_ue8m0_up(less), here);
    EXPECT_EQ(encode_ue8m0_toward_zero(power), here);
    EXPECT_EQ(encode_ue8m0_toward_zero(more), here);
    EXPECT_EQ(encode_ue8m0_toward_zero(less), below);
    for (const float value : {power, more, less}) expect_as_cuda(value);
  }
  EXPECT_EQ(encode_ue8m0_up(0), 0);
  EXPECT_EQ(encode_ue8m0_up(std::numeric_limits<float>::max()), 0xfe);
  EXPECT_EQ(encode_ue8m0_up(std::numeric_limits<float>::infinity()), 0xfe);
  EXPECT_EQ(encode_ue8m0_up(std::numeric_limits<float>::quiet_NaN()), 0xff);
  EXPECT_EQ(encode_ue8m0_toward_zero(std::numeric_limits<float>::quiet_NaN()), 0xff);
}

TEST(Ue8m0, EncodesAsTheCudaHeadersDo) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SplitMix64 random(seed);
  for (int i = 0; i < 1 << 18; ++i) expect_as_cuda(std::bit_cast<float>(static_cast<std::uint32_t>(random.next())));
}

TEST(SixteenBits, AreAsTheCudaHeadersHaveThem) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SplitMix64 random(seed);
  for (std::uint32_t i = 0; i < 1 << 16; ++i) {
    const auto code = static_cast<std::uint16_t>(i);
    ASSERT_TRUE(same(decode_f16(code), from_half(__half_raw{code}))) << i;
    ASSERT_TRUE(same(decode_bf16(code), __bfloat162float(__nv_bfloat16(__nv_bfloat16_raw{code})))) << i;
  }
  for (int i = 0; i < 1 << 18; ++i) {
    const auto bits = static_cast<std::uint32_t>(random.next());
    const float anything = std::bit_cast<float>(bits);
    const float within = std::bit_cast<float>((bits & 0x8fffffffU) | 0x30000000U);  // 2^-31 up to 2
    for (const float value : {anything, within, within * 65536, std::bit_cast<float>(bits & 0xffff8000U)}) {
      ASSERT_EQ(encode_f16(value), __half_raw(__float2half_rn(value)).x) << value;
      ASSERT_EQ(encode_bf16(value), __nv_bfloat16_raw(__float2bfloat16_rn(value)).x) << value;
    }
  }
}

}  // namespace
}  // namespace moesaic
