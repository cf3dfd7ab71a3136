#include "engine/selection.hpp"

#include <gtest/gtest.h>

#include <array>

#include "spec/error.hpp"

namespace moesaic::engine {
namespace {

constexpr Config kNarrow{.tile_f = 64, .tile_t = 8, .tile_k = 128, .stages = 5, .blocks_per_sm = 2};
constexpr Config kWide{.tile_f = 128, .tile_t = 64, .tile_k = 128, .stages = 2, .blocks_per_sm = 2};
constexpr Config kTooDeep{.tile_f = 64, .tile_t = 8, .tile_k = 128, .stages = 6, .blocks_per_sm = 2};
constexpr std::array kVariants{kWide, kTooDeep, kNarrow};
constexpr Problem kQwen{.experts = 128, .n = 1536, .k = 2048};

Choice choose_for(int tokens, std::string_view forced = "") {
  return choose(kVariants, kQwen, tokens, 8, *find_device("gb10"), forced);
}

std::string chosen(int tokens) {
  return variant_name(choose_for(tokens).config);
}

TEST(Selection, DecodeTakesNarrowTilesAndPrefillWideOnes) {
  for (const int tokens : {0, 1, 4, 64, 128}) EXPECT_EQ(chosen(tokens), variant_name(kNarrow)) << tokens;
  for (const int tokens : {512, 1024, 4096}) EXPECT_EQ(chosen(tokens), variant_name(kWide)) << tokens;
}

TEST(Selection, KeepsEveryCandidateWithItsReasonOrCost) {
  const Choice choice = choose_for(1);
  ASSERT_EQ(choice.candidates.size(), kVariants.size());
  EXPECT_NE(choice.candidates[1].rejected.find("NVIDIA GB10 leaves 50176"), std::string::npos);
  EXPECT_EQ(choice.candidates[2].rejected, "");
  // 8 experts, each with one token tile: 1536 rows of weights, and 8 tokens for each of 24 feature tiles.
  EXPECT_EQ(choice.candidates[2].cost_bytes, 8.0 * (1536 + 24 * 8) * 2048);
  EXPECT_NE(choice.reason, "");
}

/// What choosing says when it cannot.
std::string refusal(std::span<const Config> variants, std::string_view forced) {
  try {
    static_cast<void>(choose(variants, kQwen, 1, 8, *find_device("gb10"), forced));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Selection, AForcedVariantRunsOrIsAnError) {
  EXPECT_EQ(variant_name(choose_for(1, variant_name(kWide)).config), variant_name(kWide));
  EXPECT_NE(refusal(kVariants, variant_name(kTooDeep)).find("was asked for and cannot run: needs 56320"),
            std::string::npos);
  EXPECT_NE(refusal(kVariants, "moe_fp8_gemm/f1").find("is not in this build; it has moe_fp8_gemm/f128t64"),
            std::string::npos);
}

TEST(Selection, NothingValidIsAnErrorWithTheReasons) {
  EXPECT_NE(refusal(std::array{kTooDeep}, "").find("moe_fp8_gemm/f64t8k128.s6.c2: needs 56320"), std::string::npos);
}

}  // namespace
}  // namespace moesaic::engine
