#include "engine/selection.hpp"

#include <gtest/gtest.h>

#include <array>

#include "mentions.hpp"
#include "spec/error.hpp"
#include "temporary_directory.hpp"

namespace moesaic::engine {
namespace {

constexpr Config kNarrow{.tile_f = 64, .tile_t = 8, .tile_k = 128, .stages = 5, .blocks_per_sm = 2};
constexpr Config kWide{
    .tile_f = 128, .tile_t = 128, .tile_k = 128, .stages = 3, .blocks_per_sm = 1, .warps_f = 2, .warps_t = 2};
constexpr Config kTooDeep{.tile_f = 64, .tile_t = 8, .tile_k = 128, .stages = 6, .blocks_per_sm = 2};
constexpr std::array kVariants{kWide, kTooDeep, kNarrow};
constexpr Problem kQwen{.experts = 128, .n = 1536, .k = 2048};
const Device& gb10 = *find_device("gb10");

Work work_of(int tokens) {
  return {.problem = kQwen, .tokens = tokens, .top_k = 8};
}

std::string chosen(int tokens, const Wishes& wishes = {}) {
  return variant_name(choose(kVariants, work_of(tokens), gb10, wishes).config);
}

TEST(Selection, DecodeTakesNarrowTilesAndPrefillWideOnes) {
  for (const int tokens : {1, 4}) EXPECT_EQ(chosen(tokens), variant_name(kNarrow)) << tokens;
  for (const int tokens : {1024, 4096}) EXPECT_EQ(chosen(tokens), variant_name(kWide)) << tokens;
  EXPECT_NE(chosen(0), "") << "no rows still get a variant";
}

TEST(Selection, KeepsEveryCandidateWithItsReasonOrCost) {
  const Choice choice = choose(kVariants, work_of(1), gb10);
  ASSERT_EQ(choice.candidates.size(), kVariants.size());
  EXPECT_NE(choice.candidates[1].rejected.find("NVIDIA GB10 leaves 50176"), std::string::npos);
  EXPECT_EQ(choice.candidates[2].rejected, "");
  for (const Candidate& candidate : choice.candidates) {
    if (!candidate.rejected.empty()) continue;
    EXPECT_GE(candidate.cost.time_s, choice.chosen().cost.time_s);
    EXPECT_GT(candidate.cost.tiles, 0);
  }
  EXPECT_EQ(choice.decided_by, DecidedBy::cost_model);
  EXPECT_NE(choice.reason.find("the least of 2 that can run"), std::string::npos) << choice.reason;
}

/// What choosing says when it cannot.
std::string refusal(std::span<const Config> variants, const Wishes& wishes, const Device& device = gb10) {
  try {
    static_cast<void>(choose(variants, work_of(1), device, wishes));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Selection, AForcedVariantRunsOrIsAnError) {
  const Wishes wide{.variant = variant_name(kWide), .wished_by = "--variant"};
  EXPECT_EQ(chosen(1, wide), variant_name(kWide));
  const Choice choice = choose(kVariants, work_of(1), gb10, wide);
  EXPECT_EQ(choice.decided_by, DecidedBy::user);
  EXPECT_EQ(choice.reason, "it was asked for by --variant");
  EXPECT_TRUE(mentions(refusal(kVariants, {.variant = variant_name(kTooDeep), .wished_by = "MOESAIC_VARIANT"}),
                       {"was asked for by MOESAIC_VARIANT and cannot run: needs 56320"}));
  EXPECT_TRUE(
      mentions(refusal(kVariants, {.variant = "moe_fp8_gemm/f1"}),
               {"moe_fp8_gemm/f1 was asked for by the caller and is not in this build; it has moe_fp8_gemm/f128"}));
}

TEST(Selection, NothingValidIsAnErrorWithTheReasons) {
  EXPECT_TRUE(mentions(refusal(std::array{kTooDeep}, {}), {"moe_fp8_gemm/f64t8k128.s6.c2.w4x1: needs 56320"}));
}

TEST(Selection, ACapabilityWithoutCodeIsSaidOnce) {
  for (const auto& [major, minor] : {std::pair{13, 0}, {12, 9}, {12, 2}, {10, 0}, {8, 9}, {9, 1}}) {
    Device device = gb10;
    device.major = major;
    device.minor = minor;
    const std::string capability = std::to_string(major) + "." + std::to_string(minor);
    EXPECT_EQ(refusal(kVariants, {}, device), "no variant of the grouped GEMM can run here: compute capability " +
                                                  capability +
                                                  " is unknown here; this build has code for 9.0, 12.0 and 12.1");
    EXPECT_TRUE(mentions(refusal(kVariants, {.variant = variant_name(kWide)}, device), {capability}));
  }
}

/// A tuned table of these entries.
class Tuned : public testing::Test {
 protected:
  TunedTable table(const std::string& entries) {
    write_file(directory_ / "tuned.json", R"({"entries": [)" + entries + "]}");
    return TunedTable::read(directory_ / "tuned.json", kVariants);
  }

  std::string refused(const std::string& entries) {
    try {
      table(entries);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryDirectory directory_;
};

std::string entry(const std::string& tokens, const Config& config, const std::string& more = "") {
  return R"({"card": "NVIDIA GB10", "experts": 128, "n": 1536, "k": 2048, "top_k": 8, "tokens": )" + tokens +
         R"(, "variant": ")" + variant_name(config) + "\"" + more + "}";
}

TEST_F(Tuned, SpeaksBeforeTheCostModelWhereItHasAnEntry) {
  const Wishes wishes{.tuned = table(entry("[2, 8]", kWide) + "," + entry("[9, 9]", kNarrow))};
  EXPECT_EQ(chosen(1, wishes), variant_name(kNarrow));
  for (const int tokens : {2, 8}) EXPECT_EQ(chosen(tokens, wishes), variant_name(kWide)) << tokens;
  const Choice choice = choose(kVariants, work_of(4), gb10, wishes);
  EXPECT_EQ(choice.decided_by, DecidedBy::tuned_table);
  EXPECT_TRUE(mentions(choice.reason, {"tuned.json has it for 2 to 8 tokens on NVIDIA GB10"}));
  EXPECT_EQ(choose(kVariants, work_of(1), gb10, wishes).decided_by, DecidedBy::cost_model);
}

TEST_F(Tuned, SpeaksOfItsOwnCardAndProblemAlone) {
  const Wishes wishes{.tuned = table(entry("[1, 1]", kWide))};
  const auto decided_by = [&](const Work& work, const char* card) {
    return choose(kVariants, work, *find_device(card), wishes).decided_by;
  };
  EXPECT_EQ(decided_by(work_of(1), "gb10"), DecidedBy::tuned_table);
  EXPECT_EQ(decided_by(work_of(1), "rtx5090"), DecidedBy::cost_model);
  for (const auto change : {+[](Work& w) { w.problem.n += 8; }, +[](Work& w) { w.problem.k += 16; },
                            +[](Work& w) { w.problem.experts += 1; }, +[](Work& w) { w.top_k -= 1; },
                            +[](Work& w) { w.problem.layout = WeightLayout::panels; }}) {
    Work work = work_of(1);
    change(work);
    EXPECT_EQ(decided_by(work, "gb10"), DecidedBy::cost_model);
  }
}

TEST_F(Tuned, AForcedVariantWinsOverIt) {
  const Wishes wishes{.variant = variant_name(kNarrow), .tuned = table(entry("[1, 8]", kWide))};
  EXPECT_EQ(choose(kVariants, work_of(4), gb10, wishes).decided_by, DecidedBy::user);
}

TEST_F(Tuned, AnEntryThatCannotRunIsAnError) {
  const Wishes wishes{.tuned = table(entry("[1, 8]", kTooDeep))};
  EXPECT_TRUE(mentions(refusal(kVariants, wishes), {"tuned.json and cannot run: needs 56320"}));
}

TEST_F(Tuned, WhatItCannotBeIsRefused) {
  EXPECT_TRUE(mentions(refused(entry("[1, 8]", Config{kWide.tile_f, 8, 128, 9, 1})), {"is not in this build"}));
  EXPECT_TRUE(mentions(refused(entry("[1, 8]", kWide) + "," + entry("[8, 9]", kWide)), {"entry 1 speaks of tokens"}));
  EXPECT_TRUE(mentions(refused(entry("[8, 1]", kWide)), {"begin after they end"}));
  EXPECT_TRUE(mentions(refused(entry("8", kWide)), {"[LEAST, MOST]"}));
  EXPECT_TRUE(mentions(refused(entry("[-1, 8]", kWide)), {"whole and not negative"}));
  EXPECT_TRUE(mentions(refused(entry("[1, 8]", kWide, R"(, "tile": 3)")), {"no field tile is known"}));
  EXPECT_TRUE(mentions(refused(entry("[1, 8]", kWide, R"(, "layout": "tiles")")), {"layout tiles is unknown"}));
  EXPECT_TRUE(mentions(refused(R"({"card": "NVIDIA GB10", "tokens": [1, 2]})"), {"experts is missing"}));
  EXPECT_TRUE(mentions(refused("3"), {"entry 0 is no object"}));
  EXPECT_THROW(TunedTable::read(directory_ / "none.json", kVariants), Error);
  write_file(directory_ / "list.json", "[]");
  EXPECT_THROW(TunedTable::read(directory_ / "list.json", kVariants), Error);
}

}  // namespace
}  // namespace moesaic::engine
