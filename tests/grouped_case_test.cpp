// The judge of the CUTLASS collectives' results finds what it must.
#include "cutlass/grouped_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "reference/tensor_core.hpp"
#include "spec/formats.hpp"

namespace moesaic::test {
namespace {

constexpr int kN = 24;
constexpr int kK = 272;

/// The result in f32 by plain sums, without the products of k in [skip0, skip1) of row `skip_row`.
std::vector<float> plain_result(const GroupedCase& grouped, int skip_row = -1, int skip0 = 0, int skip1 = 0) {
  std::vector<float> out(static_cast<std::size_t>(grouped.all_rows()) * kN);
  int row = 0;
  for (int expert = 0; expert < grouped.experts(); ++expert) {
    for (int r = 0; r < grouped.rows[expert]; ++r, ++row) {
      for (int c = 0; c < kN; ++c) {
        double sum = 0;
        for (int k = 0; k < kK; ++k) {
          if (row == skip_row && k >= skip0 && k < skip1) continue;
          sum += decode_e4m3(grouped.a[row * kK + k]) * decode_e4m3(grouped.b[(expert * kN + c) * kK + k]);
        }
        const float w = grouped.b_scales[grouped.per_channel ? expert * kN + c : expert];
        const float x = grouped.a_scales[grouped.per_token ? row : 0];
        out[row * kN + c] = static_cast<float>(sum * w * x) + (grouped.biased ? grouped.bias[expert * kN + c] : 0.0F);
      }
    }
  }
  return out;
}

std::string judge_as(const GroupedCase& grouped, const std::vector<float>& out, OutFormat format) {
  if (format == OutFormat::f32) return judge(grouped, out.data(), format);
  std::vector<std::uint16_t> codes;
  codes.reserve(out.size());
  for (const float value : out) codes.push_back(format == OutFormat::bf16 ? encode_bf16(value) : encode_f16(value));
  return judge(grouped, codes.data(), format);
}

class GroupedCaseTest : public testing::TestWithParam<OutFormat> {};

TEST_P(GroupedCaseTest, AcceptsARightResult) {
  for (const bool vectors : {true, false}) {
    const GroupedCase grouped = grouped_case({0, 3, 1, 17}, kN, kK, vectors, vectors, vectors, 11);
    EXPECT_EQ(judge_as(grouped, plain_result(grouped), GetParam()), "");
  }
}

TEST_P(GroupedCaseTest, FindsADroppedSliceOfOneRow) {
  const GroupedCase grouped = grouped_case({0, 3, 1, 17}, kN, kK, true, true, false, 11);
  EXPECT_NE(judge_as(grouped, plain_result(grouped, 3, 64, 96), GetParam()), "");
}

TEST_P(GroupedCaseTest, FindsTwoTokensScalesSwapped) {
  const GroupedCase grouped = grouped_case({0, 3, 1, 17}, kN, kK, true, true, false, 11);
  GroupedCase swapped = grouped;
  std::swap(swapped.a_scales[5], swapped.a_scales[6]);
  EXPECT_NE(judge_as(grouped, plain_result(swapped), GetParam()), "");
}

TEST_P(GroupedCaseTest, FindsANan) {
  const GroupedCase grouped = grouped_case({2}, kN, kK, true, true, false, 11);
  std::vector<float> out = plain_result(grouped);
  out[kN + 1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(judge_as(grouped, out, GetParam()), "");
}

INSTANTIATE_TEST_SUITE_P(Formats, GroupedCaseTest, testing::Values(OutFormat::bf16, OutFormat::f16, OutFormat::f32));

/// One element's chain of multiplies, alone.
float chain(const std::uint8_t* x, const std::uint8_t* w) {
  std::array<float, 16 * 8> sums{};
  for (int k0 = 0; k0 < kK; k0 += 32) {
    std::array<std::uint8_t, 16 * 32> a{};
    std::array<std::uint8_t, 8 * 32> b{};
    const auto count = static_cast<std::size_t>(std::min(32, kK - k0));
    std::memcpy(a.data(), x + k0, count);
    std::memcpy(b.data(), w + k0, count);
    reference::mma_narrow_sm120(reference::Narrow::kE4m3, reference::Narrow::kE4m3, 32, a.data(), b.data(), sums.data(),
                                sums.data());
  }
  return sums[0];
}

TEST(GroupedCaseBits, AcceptsTheChainAndFindsOneBit) {
  const GroupedCase grouped = grouped_case({2, 18}, kN, kK, true, true, false, 11);
  std::vector<std::uint32_t> bits;
  for (int row = 0; row < grouped.all_rows(); ++row) {
    const int expert = row < 2 ? 0 : 1;
    for (int c = 0; c < kN; ++c) {
      const float sum = chain(&grouped.a[row * kK], &grouped.b[(expert * kN + c) * kK]);
      bits.push_back(std::bit_cast<std::uint32_t>(sum * grouped.b_scales[expert * kN + c] * grouped.a_scales[row]));
    }
  }
  EXPECT_EQ(judge_bits(grouped, bits.data(), OutFormat::f32), "");
  bits[19 * kN + 23] ^= 1;
  EXPECT_NE(judge_bits(grouped, bits.data(), OutFormat::f32), "");
}

}  // namespace
}  // namespace moesaic::test
