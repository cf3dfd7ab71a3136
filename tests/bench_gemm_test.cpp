// The host's half of `moesaic bench gemm`: routings, the least that a launch costs, statistics, JSON, and the whole of
// it on an emulated card.
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bench/report.hpp"
#include "bench/statistics.hpp"
#include "bench/workload.hpp"
#include "mentions.hpp"
#include "spec/card_limits.hpp"
#include "temporary_directory.hpp"

namespace moesaic::bench {
namespace {

Workload small() {
  Workload workload;
  workload.model = "small";
  workload.gemm = "down";
  workload.experts = 4;
  workload.top_k = 2;
  workload.n = 64;
  workload.k = 128;
  workload.tokens = 3;
  return workload;
}

TEST(BenchRouting, EveryTokenHasDistinctExperts) {
  // With top_k = experts each expert has every token, and with one token no expert has two rows.
  const std::vector<std::int32_t> all = random_routing(5, 5, 7, 1);
  EXPECT_EQ(all, (std::vector<std::int32_t>{0, 7, 14, 21, 28, 35}));
  const std::vector<std::int32_t> one = random_routing(128, 8, 1, 1);
  EXPECT_EQ(one.back(), 8);
  EXPECT_EQ(touched_experts(one), 8);
}

TEST(BenchRouting, IsUniformAndNewForEachSeed) {
  constexpr int kExperts = 16;
  constexpr int kTokens = 8000;
  const std::vector<std::int32_t> first = random_routing(kExperts, 4, kTokens, 3);
  EXPECT_EQ(first, random_routing(kExperts, 4, kTokens, 3));
  EXPECT_NE(first, random_routing(kExperts, 4, kTokens, 4));
  for (std::size_t expert = 0; expert < kExperts; ++expert) {
    // A quarter of the tokens, within five standard deviations: sqrt(8000 * 1/4 * 3/4) = 39.
    EXPECT_NEAR(first[expert + 1] - first[expert], kTokens / 4.0, 5 * 39) << expert;
  }
}

TEST(BenchRouting, IsTheOneThatTheComparisonDraws) {
  // bench/bench_test.py holds the same.
  Workload workload;
  workload.experts = 6;
  workload.top_k = 2;
  workload.tokens = 5;
  EXPECT_EQ(launch_routing(workload, 1, 0), (std::vector<std::int32_t>{0, 1, 1, 3, 4, 7, 10}));
  EXPECT_EQ(launch_routing(workload, 1, 3), (std::vector<std::int32_t>{0, 1, 3, 3, 5, 7, 10}));
}

TEST(BenchCost, CountsTouchedExpertsRowsAndResults) {
  const std::vector<std::int32_t> first{0, 4, 4, 6, 6};
  const Cost bf16 = cost(small(), first, OutFormat::bf16);
  EXPECT_EQ(bf16.bytes, 2 * 64 * 128 + 6 * 128 + 6 * 64 * 2);
  EXPECT_EQ(bf16.operations, 2.0 * 6 * 64 * 128);
  EXPECT_EQ(cost(small(), first, OutFormat::f32).bytes - bf16.bytes, 6 * 64 * 2);
}

TEST(BenchCost, TheFloorIsTheLargerTime) {
  const Cost both{.bytes = 8e6, .operations = 6e8};
  const Floor floor = floor_of(both, 4.0, 200.0);
  EXPECT_DOUBLE_EQ(floor.bytes_us, 2.0);
  EXPECT_DOUBLE_EQ(floor.operations_us, 3.0);
  EXPECT_DOUBLE_EQ(floor.us(), 3.0);
  EXPECT_DOUBLE_EQ(floor_of(both, 4.0, 0).us(), 2.0);
}

TEST(BenchSets, TouchSeveralTimesTheL2) {
  EXPECT_EQ(sets_needed(25e6, 60'000'000, 64), 12);
  EXPECT_EQ(sets_needed(1e9, 60'000'000, 64), 2);
  EXPECT_EQ(sets_needed(1e3, 60'000'000, 9), 9);
}

TEST(BenchStatistics, QuantilesAreInterpolated) {
  const Summary summary = summarize({5, 1, 4, 2, 3});
  EXPECT_DOUBLE_EQ(summary.median, 3);
  EXPECT_DOUBLE_EQ(summary.min, 1);
  EXPECT_DOUBLE_EQ(summary.p10, 1.4);
  EXPECT_DOUBLE_EQ(summary.p90, 4.6);
  EXPECT_DOUBLE_EQ(summarize({1, 2}).median, 1.5);
  EXPECT_DOUBLE_EQ(summarize({7}).p90, 7);
  EXPECT_EQ(summarize({}).median, 0);
}

TEST(BenchLimits, PaddingLeavesRoomForExactlySoManyBlocks) {
  const Device& h200 = *find_device("h200");
  for (const int blocks : {1, 2, 3, 4}) {
    const int bytes = smem_bytes_for(h200, blocks) + h200.smem_reserved_bytes;
    EXPECT_EQ(h200.smem_per_sm_bytes / bytes, blocks);
  }
  const Device held = held_to_12x(h200);
  EXPECT_EQ(held.smem_per_block_bytes, find_device("gb10")->smem_per_block_bytes);
  EXPECT_EQ(held.capability(), 90);
}

Session a_session() {
  Session session;
  session.device = *find_device("h200");
  session.date = "2026-01-31T12:00:00Z";
  session.limits = {.streams = {{1, 4.0}}, .stream_tb_per_s = 4.0, .fp8_tera_ops = 500, .s8_tera_ops = 1000};
  return session;
}

Point a_point() {
  Point point;
  point.workload = small();
  point.cost = {.bytes = 8e6, .operations = 6e8};
  Timed& timed = point.timed.emplace_back();
  timed.candidate.config = Config{64, 8, 128, 5, 2};
  timed.samples_us = {4, 5, 3};
  timed.blocks_per_sm = 2;
  point.rejected.push_back({"other", "does not fit"});
  return point;
}

TEST(BenchReport, JsonHasTheFloorAndEverySample) {
  const nlohmann::json json = as_json(a_session(), {a_point()});
  EXPECT_EQ(json.at("limits").at("stream_tb_per_s"), 4.0);
  const nlohmann::json& point = json.at("points").at(0);
  EXPECT_EQ(point.at("floor_us"), 2.0);
  EXPECT_EQ(point.at("rejected").at(0).at("reason"), "does not fit");
  const nlohmann::json& result = point.at("results").at(0);
  EXPECT_EQ(result.at("median_us"), 4.0);
  EXPECT_EQ(result.at("of_floor"), 0.5);
  EXPECT_EQ(result.at("samples_us"), (std::vector<double>{4, 5, 3}));
}

TEST(BenchReport, TheLargerStreamingLimitCountsAndAProxyHasTheOtherCeiling) {
  Session session = a_session();
  session.given_stream_tb_per_s = 8;
  EXPECT_EQ(session.stream_tb_per_s(), 8);
  session.given_stream_tb_per_s = 2;
  EXPECT_EQ(session.stream_tb_per_s(), 4);
  EXPECT_EQ(session.tera_ops(), 500);
  session.proxy = "s8_proxy.fatbin";
  EXPECT_EQ(session.tera_ops(), 1000);
}

TEST(BenchReport, TextNamesTheCardTheFloorAndTheVariant) {
  const Session session = a_session();
  EXPECT_TRUE(mentions(as_text(session), {"NVIDIA H200", "4.000", "500 TFLOPS"}));
  EXPECT_TRUE(mentions(as_text(session, a_point(), 8),
                       {"floor 2.00 us by bytes", "4.00 us", "50.0 %", "moe_fp8_gemm/f64t8k128.s5.c2"}));
}

/// The first and the last compiled variant that every card of ours has code for, as --variant takes them.
std::string two_variants() {
  std::vector<std::string> names;
  for (const Config& config : engine::KernelSet::variants()) {
    const bool everywhere = config.multiply == Multiply::fast && config.x_format == TokenFormat::e4m3;
    if (everywhere) names.push_back(variant_name(config));
  }
  return names.front() + "," + names.back();
}

/// The built program on an emulated card: every candidate runs, nothing is timed.
TEST(BenchGemm, RunsOnAnEmulatedCardAndTakesNoTime) {
  const TemporaryDirectory directory;
  const std::string json = (directory / "bench.json").string();
  const std::string command =
      std::string(MOESAIC_PROGRAM) +
      " bench gemm --device emulated:h200 --shape 4,2,128,64 --gemm down --tokens 3"
      " --layout rows,panels --dependence full,early --launches 2 --rounds 1 --as-12x --variant " +
      two_variants() + " --json " + json + " >" + (directory / "stdout").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  const nlohmann::json report = nlohmann::json::parse(read_file(json));
  EXPECT_FALSE(report.contains("limits"));
  ASSERT_EQ(report.at("points").size(), 1u);
  for (const nlohmann::json& point : report.at("points")) {
    EXPECT_FALSE(point.contains("floor_us"));
    EXPECT_EQ(point.at("results").size(), 8u);
    for (const nlohmann::json& result : point.at("results")) {
      EXPECT_FALSE(result.contains("median_us"));
      EXPECT_GE(result.at("blocks_per_sm"), 1);
    }
  }
}

}  // namespace
}  // namespace moesaic::bench
