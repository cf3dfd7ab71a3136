#include "cli/report.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/nearest.hpp"
#include "cli/size_words.hpp"
#include "mentions.hpp"

namespace moesaic::cli {
namespace {

RunReport report_with(double got) {
  RunReport report;
  report.directory = "dir\xff";
  report.architecture = "Qwen3-MoE";
  report.place = "cpu";
  report.tokens_per_expert = {0, 2, 1};
  reference::Stage exact("routing");
  exact.compare(0, 0, 1, 1, 0);
  reference::Stage near("down");
  near.compare(3, 4, got, 2, 0.5);
  report.check = reference::Judgement{{exact, near}};
  return report;
}

TEST(SizeWords, TheUnitFitsTheSize) {
  EXPECT_EQ(size_words(0), "0 B");
  EXPECT_EQ(size_words(999), "999 B");
  EXPECT_EQ(size_words(41'234), "41.23 kB");
  EXPECT_EQ(size_words(603'790'000), "603.8 MB");
  EXPECT_EQ(size_words(999'949'000), "999.9 MB");
  EXPECT_EQ(size_words(999'950'000), "1 GB");
  EXPECT_EQ(size_words(24'000'000'000), "24 GB");
  EXPECT_EQ(size_words(~std::uint64_t{0}), "1.845e+07 TB");
}

TEST(Report, AFailedCheckIsSaidAndIsAnExitCode) {
  for (const double wrong : {2.75, static_cast<double>(NAN)}) {
    const RunReport report = report_with(wrong);
    EXPECT_EQ(exit_code(report), kCheckFailed);
    EXPECT_TRUE(mentions(as_text(report, false), {"FAILED at the stage down", "1 of 1 values", "row 3 column 4"}));
    const auto json = nlohmann::json::parse(as_json(report));
    EXPECT_EQ(json["check"]["passed"], false);
    EXPECT_EQ(json["check"]["stages"][1]["outside"], 1);
  }
}

TEST(Report, APassedCheckNamesTheLargestError) {
  const RunReport report = report_with(2.125);
  EXPECT_EQ(exit_code(report), kOk);
  EXPECT_TRUE(mentions(as_text(report, false), {"passed: every stage", "0.250 of its bound (stage down)", "exact"}));
  EXPECT_EQ(nlohmann::json::parse(as_json(report))["check"]["stages"][1]["error_of_bound"], 0.25);
}

TEST(Report, WithoutACheckNothingIsClaimed) {
  RunReport report = report_with(2);
  report.check.reset();
  EXPECT_EQ(exit_code(report), kOk);
  EXPECT_TRUE(mentions(as_text(report, false), {"not done"}));
  EXPECT_TRUE(nlohmann::json::parse(as_json(report))["check"].is_null());
}

TEST(Report, TimeIsOfRealPlacesOnly) {
  RunReport report = report_with(2);
  EXPECT_TRUE(mentions(as_text(report, false), {"not shown"}));
  EXPECT_TRUE(nlohmann::json::parse(as_json(report))["time_s"].is_null());
  report.time_s = 0.25;
  EXPECT_TRUE(mentions(as_text(report, false), {"250 ms", "not a benchmark"}));
  EXPECT_EQ(nlohmann::json::parse(as_json(report))["time_s"], 0.25);
}

TEST(Report, ColourOnlyWhenAskedFor) {
  EXPECT_EQ(as_text(report_with(2), false).find('\x1b'), std::string::npos);
  EXPECT_NE(as_text(report_with(2), true).find('\x1b'), std::string::npos);
}

TEST(Nearest, IsSuggestedWhenItIsNear) {
  const std::vector<std::string> known{"synth", "run", "emulated:gb10"};
  EXPECT_EQ(did_you_mean("rnu", known), "; did you mean run?");
  EXPECT_EQ(did_you_mean("emulated:gb1", known), "; did you mean emulated:gb10?");
  EXPECT_EQ(did_you_mean("something", known), "");
  EXPECT_EQ(did_you_mean("x", {}), "");
}

}  // namespace
}  // namespace moesaic::cli
