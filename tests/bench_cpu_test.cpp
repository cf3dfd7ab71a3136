// moesaic bench --device cpu on a small made-up layer.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/exit_code.hpp"
#include "cli/program.hpp"
#include "mentions.hpp"

namespace moesaic::cli {
namespace {

int run(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), {"moesaic", "bench"});
  return run_program(static_cast<int>(arguments.size()), arguments.data());
}

TEST(BenchCpu, TellsTheEnginesTimeBesideSgemmAndTheFloor) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = run({"--device", "cpu", "--model", "qwen3-small", "--tokens", "3", "--pairs", "2", "--json"});
  const nlohmann::json json = nlohmann::json::parse(testing::internal::GetCapturedStdout());
  EXPECT_EQ(code, kOk);
  EXPECT_TRUE(mentions(testing::internal::GetCapturedStderr(), {"loading model.layers.0.mlp: ", " MB of memory"}));
  EXPECT_EQ(json.at("tokens"), 3);
  EXPECT_EQ(json.at("pairs"), 2);
  for (const char* subject : {"engine", "sgemm"}) {
    const nlohmann::json& times = json.at(subject);
    EXPECT_GT(times.at("min_s"), 0);
    EXPECT_LE(times.at("min_s"), times.at("median_s"));
    EXPECT_LE(times.at("median_s"), times.at("max_s"));
  }
  EXPECT_GT(json.at("ratio"), 0);
  // 3 tokens of 4 experts each: from 4 to 12 experts of 3 x 512 x 704 bytes and 1920 scales.
  EXPECT_GE(json.at("floor").at("bytes"), 4 * 3 * 512 * 704);
  EXPECT_LE(json.at("floor").at("bytes"), 12 * (3 * 512 * 704 + 4 * 1920));
  EXPECT_GT(json.at("floor").at("stream_bytes_per_s"), 1e8);
}

TEST(BenchCpu, AsksWhatToMeasure) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({}), kBadInput);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("--device cpu or --emulator"), std::string::npos);
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({"--device", "emulated:gb10"}), kBadInput);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("bench measures cpu"), std::string::npos);
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({"--device", "cpuu"}), kBadInput);
  EXPECT_TRUE(mentions(testing::internal::GetCapturedStderr(), {"--device cpuu", "did you mean cpu?"}));
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({"--device", "cpu", "--emulator"}), kBadInput);
  EXPECT_TRUE(mentions(testing::internal::GetCapturedStderr(), {"--device", "excludes", "--emulator"}));
}

}  // namespace
}  // namespace moesaic::cli
