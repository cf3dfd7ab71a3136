// Floors and predictions: their arithmetic, and that they bend the right way. What a prediction is worth, only
// measurements can tell (`moesaic explain --against`).

#include "engine/cost.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "spec/error.hpp"
#include "spec/split_mix.hpp"

namespace moesaic::engine {
namespace {

constexpr Config kDecode{.tile_f = 64, .tile_t = 8, .tile_k = 128, .stages = 5, .blocks_per_sm = 2};
constexpr Config kMid{.tile_f = 128, .tile_t = 32, .tile_k = 128, .stages = 2, .blocks_per_sm = 2};
constexpr Config kWide{
    .tile_f = 128, .tile_t = 128, .tile_k = 128, .stages = 3, .blocks_per_sm = 1, .warps_f = 2, .warps_t = 2};
constexpr Problem kQwen{.experts = 128, .n = 1536, .k = 2048};

const Device& card(const char* name) {
  return *find_device(name);
}

Cost cost_of(const Config& config, const Work& work, const Device& device) {
  EXPECT_EQ(valid(config, work.problem, device), "");
  return predict(config, work, expect_rows(work), device);
}

TEST(ExpectedRows, AreBinomial) {
  for (const int tokens : {1, 3, 16, 64, 1000, 65536}) {
    const Rows rows = expect_rows({.problem = kQwen, .tokens = tokens, .top_k = 8});
    EXPECT_NEAR(rows.experts(), 128 * (1 - std::pow(1 - 8.0 / 128, tokens)), 1e-6) << tokens;
    double all = 0;
    for (const Rows::Share& share : rows.shares) all += share.rows * share.experts;
    EXPECT_NEAR(all, 8.0 * tokens, 1e-6 * tokens) << tokens;
  }
  // One token: 8 experts with a row. Two: each expert has both with probability 1/256.
  const Rows two = expect_rows({.problem = kQwen, .tokens = 2, .top_k = 8});
  ASSERT_EQ(two.shares.size(), 2U);
  EXPECT_NEAR(two.shares[1].experts, 128.0 / 256, 1e-9);
}

TEST(ExpectedRows, TouchSoManyExperts) {
  for (const int tokens : {1, 2, 9, 40, 200}) {
    const Rows rows = expect_rows({.problem = kQwen, .tokens = tokens, .top_k = 8});
    double all = 0;
    double mean = 0;
    for (std::size_t i = 0; i < rows.touched.size(); ++i) {
      all += rows.touched[i];
      mean += rows.touched[i] * static_cast<double>(i);
    }
    EXPECT_NEAR(all, 1, 1e-6) << tokens;
    EXPECT_NEAR(mean, rows.experts(), 2e-3) << tokens;
  }
  // Two tokens, two experts each of three: the same pair with probability 1/3, else all three.
  const Rows two = expect_rows({.problem = {.experts = 3, .n = 64, .k = 64}, .tokens = 2, .top_k = 2});
  ASSERT_EQ(two.touched.size(), 4U);
  EXPECT_NEAR(two.touched[2], 1.0 / 3, 1e-12);
  EXPECT_NEAR(two.touched[3], 2.0 / 3, 1e-12);
}

TEST(ExpectedRows, AreAllRowsWhereThereIsNothingToChoose) {
  const Rows dense = expect_rows({.problem = {.experts = 1, .n = 64, .k = 64}, .tokens = 77, .top_k = 1});
  ASSERT_EQ(dense.shares.size(), 1U);
  EXPECT_EQ(dense.shares[0].rows, 77);
  EXPECT_EQ(dense.experts(), 1);
  EXPECT_EQ(expect_rows({.problem = kQwen, .tokens = 0, .top_k = 8}).experts(), 0);
}

TEST(ExpectedRows, WantATopKThatThereCanBe) {
  EXPECT_THROW(expect_rows({.problem = kQwen, .tokens = 1, .top_k = 129}), Error);
  EXPECT_THROW(expect_rows({.problem = kQwen, .tokens = 1, .top_k = 0}), Error);
  EXPECT_THROW(expect_rows({.problem = kQwen, .tokens = -1, .top_k = 8}), Error);
}

TEST(Floors, CountEachByteOnce) {
  const Floor one = find_floor({.problem = kQwen, .tokens = 1, .top_k = 8, .out_format = OutFormat::bf16});
  EXPECT_NEAR(one.experts, 8, 1e-9);
  EXPECT_NEAR(one.weight_bytes, 8.0 * 1536 * (2048 + 4), 1);
  EXPECT_EQ(one.token_bytes, 8.0 * (2048 + 4));
  EXPECT_EQ(one.out_bytes, 8.0 * 1536 * 2);
  EXPECT_EQ(one.operations, 2.0 * 8 * 1536 * 2048);
  // Bytes decide for one token, operations for many; GeForce's fastest form counts.
  EXPECT_NEAR(one.seconds(card("h200")), one.bytes() / 4570e9, 1e-12);
  const Floor many = find_floor({.problem = kQwen, .tokens = 65536, .top_k = 8, .out_format = OutFormat::bf16});
  EXPECT_NEAR(many.seconds(card("rtx5090")), many.operations / (2048.0 * 170 * 2407e6), 1e-9);
  EXPECT_EQ(one.seconds(Device{}), 0) << "no rates, no time";
}

TEST(Predictions, AreNeverBelowTheFloor) {
  SplitMix64 random(3);
  const auto below = [&](int limit) { return static_cast<int>(random.next() % static_cast<unsigned>(limit)); };
  for (int i = 0; i < 300; ++i) {
    const int experts = 1 << below(10);
    const Problem problem{experts, 8 * (1 + below(1000)), 16 * (1 + below(400))};
    const Work work{.problem = problem, .tokens = 1 << below(14), .top_k = 1 + below(std::min(experts, 10))};
    for (const Device& device : kDevices) {
      const double floor = find_floor(work).seconds(device);
      for (const Config& config : {kDecode, kMid, kWide}) {
        const Cost cost = cost_of(config, work, device);
        EXPECT_GE(cost.time_s, floor) << device.name << " " << variant_name(config) << " " << i;
        EXPECT_GE(cost.time_s,
                  std::max({cost.memory_s, cost.l2_s, cost.in_flight_s, cost.chain_s, cost.multiply_s}) * 0.999);
      }
    }
  }
}

TEST(Predictions, KnowWhatLimits) {
  const Work decode{.problem = kQwen, .tokens = 16, .top_k = 8};
  const Work prefill{.problem = kQwen, .tokens = 8192, .top_k = 8};
  for (const Device& device : kDevices) EXPECT_EQ(cost_of(kDecode, decode, device).limit(), "memory") << device.name;
  EXPECT_EQ(cost_of(kWide, prefill, card("rtx5090")).limit(), "multiply");
  EXPECT_EQ(cost_of(kWide, prefill, card("h200")).limit(), "multiply");
  // 402 MB of f32 results and as many of weights take a GB10's memory longer than the multiply takes.
  EXPECT_EQ(cost_of(kWide, prefill, card("gb10")).limit(), "memory");
}

TEST(Predictions, ADeeperRingAsksForMoreAtATime) {
  Config shallow = kDecode;
  shallow.stages = 2;
  const Work work{.problem = kQwen, .tokens = 16, .top_k = 8};
  EXPECT_GT(cost_of(shallow, work, card("h200")).in_flight_s, 2 * cost_of(kDecode, work, card("h200")).in_flight_s);
  EXPECT_GT(cost_of(shallow, work, card("h200")).time_s, cost_of(kDecode, work, card("h200")).time_s);
}

TEST(Predictions, ATileOfFewRowsComputesFew) {
  // 128 experts, nearly every one with at most 8 rows of a tile of 32.
  const Work few{.problem = kQwen, .tokens = 32, .top_k = 8};
  const Work full{.problem = kQwen, .tokens = 512, .top_k = 8};
  const double few_tile = cost_of(kMid, few, card("gb10")).multiply_s / cost_of(kMid, few, card("gb10")).waves;
  const double full_tile = cost_of(kMid, full, card("gb10")).multiply_s / cost_of(kMid, full, card("gb10")).waves;
  EXPECT_LT(few_tile, 0.6 * full_tile);
}

TEST(Predictions, ThePlainFormIsSlowerOnGeForceAlone) {
  Config plain = kWide;
  plain.multiply = Multiply::plain;
  const Work work{.problem = kQwen, .tokens = 8192, .top_k = 8};
  EXPECT_GT(cost_of(plain, work, card("rtx5090")).time_s, 1.3 * cost_of(kWide, work, card("rtx5090")).time_s);
  EXPECT_EQ(cost_of(plain, work, card("gb10")).time_s, cost_of(kWide, work, card("gb10")).time_s);
}

TEST(Predictions, NoRowsTakeTheStartAlone) {
  const Cost cost = cost_of(kDecode, {.problem = kQwen, .tokens = 0, .top_k = 8}, card("gb10"));
  EXPECT_EQ(cost.tiles, 0);
  EXPECT_EQ(cost.time_s, CostNumbers{}.start_us * 1e-6);
}

TEST(Rates, AnUnknownCardHasThoseOfItsKin) {
  Device half = card("rtx5090");
  half.full_name = "NVIDIA GeForce RTX 5070";
  half.sms = 85;
  half.memory_gb_per_s = half.read_gb_per_s = half.fast_flop_per_clock = 0;
  EXPECT_DOUBLE_EQ(with_rates(half).memory_gb_per_s, 1792.0 / 2);
  EXPECT_DOUBLE_EQ(with_rates(half).read_gb_per_s, 1577.0 / 2);
  EXPECT_EQ(with_rates(half).fast_flop_per_clock, 2048);
  // A known card cut to a few SMs keeps its memory.
  half.full_name = card("rtx5090").full_name;
  EXPECT_EQ(with_rates(half).memory_gb_per_s, 1792);
  half.full_name = "NVIDIA Next";
  half.major = 13;
  EXPECT_EQ(with_rates(half).read_gb_per_s, 0);
}

}  // namespace
}  // namespace moesaic::engine
