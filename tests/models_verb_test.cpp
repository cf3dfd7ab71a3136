// `moesaic models`, and what `moesaic synth` makes of the names that it lists.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "cli/exit_code.hpp"
#include "cli/program.hpp"
#include "temporary_directory.hpp"

namespace moesaic::cli {
namespace {

struct Result {
  int exit_code;
  std::string out;
  std::string error;
};

Result run(const std::vector<std::string>& arguments) {
  std::vector<const char*> pointers{"moesaic"};
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Result result{run_program(static_cast<int>(pointers.size()), pointers.data()), {}, {}};
  result.out = testing::internal::GetCapturedStdout();
  result.error = testing::internal::GetCapturedStderr();
  return result;
}

TEST(ModelsVerb, ListsShapesSchemesAndBytes) {
  const Result result = run({"models", "--json"});
  ASSERT_EQ(result.exit_code, kOk) << result.error;
  const auto models = nlohmann::json::parse(result.out).at("models");
  EXPECT_GE(models.size(), 14U);
  const auto found = std::ranges::find_if(models, [](const auto& model) { return model.at("name") == "gpt-oss-20b"; });
  ASSERT_NE(found, models.end());
  EXPECT_EQ(found->at("hidden"), 2880);
  EXPECT_EQ(found->at("top_k"), 4);
  std::vector<std::string> schemes;
  for (const auto& scheme : found->at("schemes")) schemes.push_back(scheme.at("name"));
  EXPECT_EQ(schemes, (std::vector<std::string>{"bf16", "fp8-dynamic", "nvfp4-modelopt", "mxfp4"}));
  // Router and its bias; e2m1 and a byte per 32 of 3 * 2880 * 2880 weights, biases of 2 * 2880 + 2880, for 32 experts.
  const std::int64_t expert = 3LL * 2880 * 2880 * 17 / 32 + 3LL * 2880 * 2;
  EXPECT_EQ(found->at("schemes")[3].at("bytes_per_layer"), 32 * expert + (32 * 2880 + 32) * 2);
}

TEST(ModelsVerb, TextNamesEveryModel) {
  const Result text = run({"models"});
  ASSERT_EQ(text.exit_code, kOk) << text.error;
  const auto models = nlohmann::json::parse(run({"models", "--json"}).out).at("models");
  for (const auto& model : models) EXPECT_NE(text.out.find(model.at("name").get<std::string>()), std::string::npos);
}

TEST(SynthVerb, ScalesAKnownModelDown) {
  const TemporaryDirectory directory;
  const std::string path = directory / "model";
  const Result result = run({"synth", "--model", "deepseek-v3", "--scheme", "fp8-block", "--experts", "16", "--hidden",
                             "128", "--width", "64", "--layers", "2", "--seed", "5", "--json", path});
  ASSERT_EQ(result.exit_code, kOk) << result.error;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report.at("architecture"), "DeepSeek-V3");
  EXPECT_EQ(report.at("scheme"), "fp8-block");
  const Layer layer = checkpoint::load_layer(checkpoint::open(path), 1);
  EXPECT_EQ(layer.shape.experts, 16);
  EXPECT_EQ(layer.shape.shared_width, 64);
  EXPECT_EQ(layer.router.groups, 8);
  EXPECT_EQ(layer.router.top_groups, 4);
  EXPECT_EQ(layer.gate_up.scheme, (Scheme{WeightScheme::fp8_block, InputScheme::fp8_group}));
}

TEST(SynthVerb, WhatIsNotKnownIsRefusedWithTheNearest) {
  const TemporaryDirectory directory;
  const std::string path = directory / "model";
  const auto refused = [&](const std::vector<std::string>& options, const std::string& sentence) {
    std::vector<std::string> arguments{"synth"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back(path);
    const Result result = run(arguments);
    EXPECT_EQ(result.exit_code, kBadInput);
    EXPECT_NE(result.error.find(sentence), std::string::npos) << result.error;
    EXPECT_FALSE(std::filesystem::exists(path));
  };
  refused({"--model", "mixtral-8x7"}, "did you mean mixtral-8x7b?");
  refused({"--scheme", "fp8-dynamc"}, "did you mean fp8-dynamic?");
  refused({"--model", "mixtral-8x7b", "--scheme", "nvfp4"},
          "Mixtral is not published as nvfp4; it is as bf16, fp8-dynamic, fp8-static, fp8-modelopt");
  refused({"--model", "gpt-oss-20b", "--scheme", "mxfp4", "--width", "48"}, "width 48 is not possible");
}

}  // namespace
}  // namespace moesaic::cli
