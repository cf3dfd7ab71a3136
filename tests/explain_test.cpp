// `moesaic list`, `moesaic explain`, and the variant and the tuned table that options and the environment ask for.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/exit_code.hpp"
#include "cli/places.hpp"
#include "cli/program.hpp"
#include "cli/regret.hpp"
#include "engine/kernel_set.hpp"
#include "mentions.hpp"
#include "temporary_directory.hpp"

namespace moesaic::cli {
namespace {

using Json = nlohmann::json;

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

Json json_of(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  const Result result = run(arguments);
  EXPECT_EQ(result.exit_code, kOk) << result.error;
  return Json::parse(result.out);
}

const std::vector<std::string> kQwen{"explain", "--model", "qwen3-30b-a3b"};

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// Set for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

int rank(const Config& config, int sign) {
  const bool usual = config.multiply == Multiply::fast && config.x_format == TokenFormat::e4m3;
  return usual ? sign * config.tile_t : 1000;
}

/// Variants of the default forms with the narrowest and with the widest tile of tokens.
std::string narrow() {
  const std::span<const Config> table = engine::KernelSet::variants();
  return variant_name(*std::ranges::min_element(table, {}, [](const Config& c) { return rank(c, 1); }));
}

std::string wide() {
  const std::span<const Config> table = engine::KernelSet::variants();
  return variant_name(*std::ranges::min_element(table, {}, [](const Config& c) { return rank(c, -1); }));
}

TEST(ListVerb, HasEveryVariantWithWhatItNeeds) {
  const Json variants = json_of({"list"}).at("variants");
  const std::span<const Config> table = engine::KernelSet::variants();
  ASSERT_EQ(variants.size(), table.size());
  const std::string text = run({"list"}).out;
  for (std::size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(variants[i].at("name"), variant_name(table[i]));
    EXPECT_EQ(variants[i].at("smem_bytes"), smem_bytes(table[i]));
    EXPECT_EQ(variants[i].at("registers_at_launch"), registers_at_launch(table[i]));
    ASSERT_EQ(variants[i].at("cards").size(), kDevices.size());
    for (const Json& card : variants[i].at("cards")) {
      EXPECT_EQ(card.at("why_not").get<std::string>().empty(), card.at("blocks_per_sm") == table[i].blocks_per_sm)
          << card;
    }
    EXPECT_TRUE(mentions(text, {variant_name(table[i])}));
  }
}

TEST(ListVerb, TellsOfOneCard) {
  const Json cards = json_of({"list", "--gpu", "h200"}).at("variants")[0].at("cards");
  ASSERT_EQ(cards.size(), 1U);
  EXPECT_EQ(cards[0].at("card"), "h200");
  EXPECT_TRUE(mentions(run({"list", "--gpu", "h20"}).error, {"did you mean h200?"}));
}

TEST(ExplainVerb, HasChoiceFloorAndEveryCandidateOnEveryCard) {
  for (const Device& device : kDevices) {
    const Json report = json_of(with(kQwen, {"--tokens", "1,4096", "--gpu", std::string(device.name)}));
    EXPECT_TRUE(mentions(report.at("times").get<std::string>(), {"prediction", "not a measurement"}));
    ASSERT_EQ(report.at("gemms").size(), 4U);
    for (const Json& gemm : report.at("gemms")) {
      const Json& candidates = gemm.at("candidates");
      ASSERT_EQ(candidates.size(), engine::KernelSet::variants().size());
      EXPECT_EQ(gemm.at("chosen").at("decided_by"), "cost model");
      EXPECT_EQ(gemm.at("chosen").at("variant"), candidates[0].at("variant"));
      double last = gemm.at("floor").at("us");
      EXPECT_GT(last, 0);
      bool rejected = false;
      for (const Json& candidate : candidates) {
        if (candidate.at("rejected").get<std::string>().empty()) {
          EXPECT_FALSE(rejected) << "those that can run come first";
          EXPECT_GE(candidate.at("predicted_us").get<double>(), last);
          last = candidate.at("predicted_us");
        } else {
          rejected = true;
        }
      }
      EXPECT_TRUE(rejected) << "e5m2 variants take no e4m3 tokens";
    }
    const Json& down = report.at("gemms")[1];
    EXPECT_EQ(down.at("gemm"), "down");
    EXPECT_EQ(down.at("n"), 2048);
    EXPECT_EQ(down.at("k"), 768);
  }
}

TEST(ExplainVerb, TextSaysTheSame) {
  const Result text = run(with(kQwen, {"--tokens", "16", "--gpu", "gb10"}));
  EXPECT_EQ(text.exit_code, kOk) << text.error;
  EXPECT_TRUE(mentions(text.out, {"gate_up, 16 tokens to 8 of 128 experts, n 1536, k 2048",
                                  "decided  the cost model predicts", "weights of 82.42 experts",
                                  "a prediction of the cost model", "rejected moe_fp8_gemm/", "tuned    no table"}));
}

TEST(ExplainVerb, TakesSizesAndForms) {
  const Json report =
      json_of({"explain", "--experts", "8", "--top-k", "2", "--hidden", "4096", "--width", "14336", "--tokens", "64",
               "--gpu", "rtx5090", "--layout", "panels", "--x-format", "e5m2", "--out", "bf16"});
  const Json& gemm = report.at("gemms")[0];
  EXPECT_EQ(gemm.at("n"), 28672);
  EXPECT_EQ(gemm.at("layout"), "panels");
  EXPECT_EQ(gemm.at("floor").at("out_bytes"), 128.0 * 28672 * 2);
  EXPECT_TRUE(mentions(gemm.at("chosen").at("variant").get<std::string>(), {".e5m2"}));
}

TEST(ExplainVerb, ACapabilityThatNobodyHasSeenGetsAnAnswer) {
  const TemporaryDirectory directory;
  for (const auto& [major, minor] : {std::pair{13, 0}, {12, 9}, {10, 0}, {8, 9}}) {
    const Json card{
        {"based_on", "gb10"}, {"name", "next"}, {"full_name", "NVIDIA Next"}, {"major", major}, {"minor", minor}};
    const std::string file = directory / "card.json";
    write_file(file, card.dump());
    const std::string words = "compute capability " + std::to_string(major) + "." + std::to_string(minor) +
                              " is unknown here; this build has code for 9.0, 12.0 and 12.1";
    const Json gemm = json_of(with(kQwen, {"--tokens", "1", "--gpu", file})).at("gemms")[0];
    EXPECT_TRUE(gemm.at("chosen").is_null());
    EXPECT_EQ(gemm.at("why_none"), words);
    EXPECT_TRUE(mentions(run(with(kQwen, {"--tokens", "1", "--gpu", file})).out, {"chosen   none: " + words}));
  }
  write_file(directory / "card.json", R"({"based_on": "gb10", "major": 11, "minor": 10})");
  EXPECT_TRUE(mentions(run(with(kQwen, {"--gpu", directory / "card.json"})).error, {"minor must be a digit"}));
}

TEST(ExplainVerb, WhatIsNotKnownIsRefusedWithTheNearest) {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& words) {
    const Result result = run(arguments);
    EXPECT_EQ(result.exit_code, kBadInput);
    EXPECT_TRUE(mentions(result.error, {words}));
  };
  refused({"explain", "--model", "mixtral-8x7", "--gpu", "gb10"}, "did you mean mixtral-8x7b?");
  refused(with(kQwen, {"--gpu", "rtx509"}), "did you mean rtx5090?");
  refused(with(kQwen, {"--gpu", "gb10", "--layout", "panel"}), "did you mean panels?");
  refused(with(kQwen, {"--gpu", "gb10", "--experts", "8"}), "--model says the sizes");
  refused({"explain", "--experts", "8", "--gpu", "gb10"}, "--experts, --top-k, --hidden and --width");
  refused(kQwen, "say --gpu");
  refused(with(kQwen, {"--gpu", "gb10", "--variant", narrow() + "x"}), "did you mean " + narrow() + "?");
  refused(with(kQwen, {"--gpu", "gb10", "--tuned", "/nowhere.json"}), "/nowhere.json: the file cannot be read");
}

TEST(Wishes, AForcedVariantIsTakenOrIsAnErrorAndTheOptionWins) {
  const auto chosen = [](const std::vector<std::string>& more) {
    return json_of(with(kQwen, with({"--tokens", "1", "--gpu", "gb10"}, more))).at("gemms")[0].at("chosen");
  };
  EXPECT_EQ(chosen({"--variant", wide()}).at("variant"), wide());
  EXPECT_EQ(chosen({"--variant", wide()}).at("reason"), "it was asked for by --variant");
  const Variable variable("MOESAIC_VARIANT", narrow());
  EXPECT_EQ(chosen({}).at("variant"), narrow());
  EXPECT_EQ(chosen({}).at("reason"), "it was asked for by MOESAIC_VARIANT");
  EXPECT_EQ(chosen({"--variant", wide()}).at("variant"), wide());
  EXPECT_EQ(chosen({"--variant", wide()}).at("reason"),
            "it was asked for by --variant, which wins over MOESAIC_VARIANT=" + narrow());
  const Result e5m2 = run(with(kQwen, {"--tokens", "1", "--gpu", "gb10", "--x-format", "e5m2"}));
  EXPECT_EQ(e5m2.exit_code, kBadInput);
  EXPECT_TRUE(mentions(e5m2.error, {narrow() + " was asked for by MOESAIC_VARIANT and cannot run: multiplies tokens"}));
}

TEST(Wishes, TheTunedTableSpeaksAndIsNamed) {
  const TemporaryDirectory directory;
  const std::string file = directory / "tuned.json";
  const Json entry{{"card", "NVIDIA GB10"}, {"experts", 128},   {"n", 1536}, {"k", 2048}, {"top_k", 8},
                   {"tokens", {1, 8}},      {"variant", wide()}};
  write_file(file, Json{{"entries", {entry}}}.dump());
  const Variable variable("MOESAIC_TUNED", file);
  const Json report = json_of(with(kQwen, {"--tokens", "8,9", "--gpu", "gb10"}));
  EXPECT_EQ(report.at("tuned"), file);
  EXPECT_EQ(report.at("gemms")[0].at("chosen").at("decided_by"), "tuned table");
  EXPECT_EQ(report.at("gemms")[0].at("chosen").at("variant"), wide());
  EXPECT_EQ(report.at("gemms")[1].at("chosen").at("decided_by"), "cost model") << "the down projection has no entry";
  EXPECT_EQ(report.at("gemms")[2].at("chosen").at("decided_by"), "cost model") << "9 tokens have no entry";
}

TEST(Wishes, RunTakesThemAndTells) {
  const TemporaryDirectory directory;
  const std::string path = directory / "model";
  const std::vector<std::string> shape{"--experts", "4", "--top-k", "2", "--hidden", "64", "--width", "48"};
  ASSERT_EQ(run(with(with({"synth"}, shape), {path})).exit_code, kOk);
  const std::vector<std::string> on_gb10{"run", path, "--tokens", "1", "--device", "emulated:gb10"};
  const Json forced = json_of(with(on_gb10, {"--variant", wide()})).at("device");
  EXPECT_EQ(forced.at("kernels"), Json({wide()})) << "it really ran";
  EXPECT_EQ(forced.at("choices")[0], wide() + ": it was asked for by --variant");
  const Json free = json_of(on_gb10).at("device");
  EXPECT_TRUE(mentions(free.at("choices")[0].get<std::string>(), {"the cost model predicts"}));

  const Variable variable("MOESAIC_VARIANT", wide());
  const Result cpu = run({"run", path, "--tokens", "1", "--device", "cpu"});
  EXPECT_EQ(cpu.exit_code, kBadInput);
  EXPECT_TRUE(mentions(cpu.error, {wide() + " was asked for by MOESAIC_VARIANT and cannot run: the place is cpu "
                                            "(asked for with --device), which has no variants"}));
}

TEST(Places, AutoLeavesAGpuThatCannotRunTheLayerAndSaysWhy) {
  device::BestPlace best;
  best.place.kind = device::Place::Kind::gpu;
  best.reason = "a GPU is here";
  Layer layer;
  layer.gate_up.scheme = layer.down.scheme = {WeightScheme::fp8_channel, InputScheme::fp8_token};
  layer.gate_up.experts = layer.down.experts = 4;
  layer.gate_up.rows = layer.gate_up.cols = layer.down.rows = layer.down.cols = 64;
  EXPECT_EQ(settle(best, layer, *find_device("gb10")).place.kind, device::Place::Kind::gpu);
  EXPECT_EQ(settle(best, layer, *find_device("gb10")).reason, "a GPU is here");
  layer.down.scheme.weights = WeightScheme::nvfp4;
  const ChosenPlace left = settle(best, layer, *find_device("gb10"));
  EXPECT_EQ(left.place.kind, device::Place::Kind::cpu);
  EXPECT_TRUE(mentions(left.reason, {"NVIDIA GB10 is here and cannot run this layer", "NVFP4 weights"}));
}

/// A report as `moesaic bench gemm --json` writes it: one point, two variants.
Json bench_report(double us_of_narrow, double us_of_wide) {
  const auto result = [](const std::string& name, double us) {
    return Json{
        {"engine", "moesaic"}, {"variant", name}, {"layout", "rows"}, {"dependence", "full"}, {"median_us", us}};
  };
  return {{"bench", "gemm"},
          {"device", {{"name", "NVIDIA H200"}}},
          {"proxy", nullptr},
          {"limits", {{"stream_tb_per_s", 4.5}, {"fp8_tera_ops", 400.0}, {"s8_tera_ops", 1200.0}}},
          {"points",
           {{{"model", "qwen3-30b-a3b"},
             {"gemm", "gate_up"},
             {"experts", 128},
             {"top_k", 8},
             {"n", 1536},
             {"k", 2048},
             {"tokens", 4096},
             {"out", "bf16"},
             {"results",
              {result(narrow(), us_of_narrow), result(wide(), us_of_wide), result("moe_fp8_gemm/f8", 1.0),
               Json{{"engine", "triton"}, {"variant", narrow()}, {"median_us", 1.0}}}}}}}};
}

TEST(ExplainVerb, HoldsTheModelAgainstMeasurements) {
  const TemporaryDirectory directory;
  const std::string file = directory / "bench.json";
  // For 4096 tokens the model takes wide tiles of tokens, whatever was measured.
  write_file(file, bench_report(100, 110).dump());
  const Json report = json_of({"explain", "--against", file});
  EXPECT_EQ(report.at("not_in_build"), 1);
  ASSERT_EQ(report.at("points").size(), 1U);
  const Json& point = report.at("points")[0];
  EXPECT_EQ(point.at("chosen"), wide());
  EXPECT_EQ(point.at("best"), narrow());
  EXPECT_NEAR(point.at("regret").get<double>(), 0.1, 1e-9);
  EXPECT_EQ(run({"explain", "--against", file, "--within", "11"}).exit_code, kOk);
  const Result worse = run({"explain", "--against", file, "--within", "5"});
  EXPECT_EQ(worse.exit_code, kCheckFailed);
  EXPECT_TRUE(mentions(worse.out, {"worst    10.0 % of 1 points", "4500 GB/s, 400 TFLOPS"}));
  write_file(file, bench_report(120, 110).dump());
  EXPECT_EQ(json_of({"explain", "--against", file}).at("worst"), 0.0);
}

TEST(ExplainVerb, AProxysLimitsAndFilesThatAreNoReports) {
  const TemporaryDirectory directory;
  const std::string file = directory / "bench.json";
  Json report = bench_report(100, 110);
  report["proxy"] = "s8.fatbin";
  write_file(file, report.dump());
  EXPECT_NEAR(measure_regret(file, std::nullopt, engine::KernelSet::variants()).device.fast_flop_per_clock,
              1200e12 / (132.0 * 1980e6), 1);
  report["points"][0].erase("tokens");
  for (const std::string& text : {std::string("[]"), std::string(R"({"bench": "cpu"})"), report.dump()}) {
    write_file(file, text);
    const Result result = run({"explain", "--against", file});
    EXPECT_EQ(result.exit_code, kBadInput);
    EXPECT_TRUE(mentions(result.error, {"--against " + file}));
  }
}

}  // namespace
}  // namespace moesaic::cli
