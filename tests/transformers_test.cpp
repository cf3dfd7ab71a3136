// Checkpoints that other people's tools wrote, and what transformers' own MoE blocks compute from them in float32
// (fixtures/checkpoints/make.py): the tight form of the comparison, each computation against its own interval.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/npy.hpp"
#include "checkpoint/synth.hpp"
#include "cli/exit_code.hpp"
#include "cli/program.hpp"
#include "engine/engine.hpp"
#include "reference/layer.hpp"
#include "temporary_directory.hpp"

namespace moesaic {
namespace {

const std::filesystem::path kFixtures = std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/checkpoints";

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFixtures)) {
    if (std::filesystem::exists(entry.path() / "about.json")) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

class Transformers : public testing::TestWithParam<std::string> {
 protected:
  std::filesystem::path directory_ = kFixtures / GetParam();
  int index_ = nlohmann::json::parse(std::ifstream(directory_ / "about.json")).at("layer");
  Layer layer_ = checkpoint::load_layer(checkpoint::open(directory_ / "model"), index_);
  Tokens tokens_ = checkpoint::read_tokens(directory_ / "hidden.npy");
};

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Fixtures, Transformers, testing::ValuesIn(fixtures()), test_name);

/// gate and up exchanged: what a wrong reading of the layout would give.
void exchange_gate_and_up(Experts& experts) {
  const std::size_t half = static_cast<std::size_t>(experts.rows) / 2;
  const auto exchange = [&](auto& values) {
    const auto of_expert = static_cast<std::ptrdiff_t>(values.size() / static_cast<std::size_t>(experts.experts));
    for (auto begin = values.begin(); begin != values.end(); begin += of_expert) {
      std::rotate(begin, begin + of_expert / 2, begin + of_expert);
    }
  };
  ASSERT_EQ(half * 2, static_cast<std::size_t>(experts.rows));
  exchange(experts.codes);
  exchange(experts.scales);
  exchange(experts.group_scales);
  exchange(experts.bias);
}

TEST_P(Transformers, BlockInFloatLiesWithinTheRoundoffOfTheWeightsThatWereRead) {
  const auto theirs = checkpoint::read_npy(directory_ / "output.npy");
  const Routing routing = reference::route(layer_, tokens_);
  const reference::Stage stage =
      reference::judge_output(reference::unquantized_interval(layer_, tokens_, routing), theirs.values);
  EXPECT_TRUE(stage.passed()) << stage.text();
  EXPECT_EQ(stage.compared, static_cast<std::int64_t>(theirs.values.size()));
  EXPECT_GE(stage.compared, 12 * 64);

  exchange_gate_and_up(layer_.gate_up);
  EXPECT_FALSE(
      reference::judge_output(reference::unquantized_interval(layer_, tokens_, routing), theirs.values).passed())
      << "the interval is narrow";
}

TEST_P(Transformers, CpuEngineIsRightOnIt) {
  const Trace trace = engine::make_cpu_engine(layer_)->run(tokens_, engine::Keep::trace);
  const reference::Judgement judgement = reference::judge(layer_, tokens_, trace);
  EXPECT_TRUE(judgement.passed()) << judgement.text();
  const auto interval = reference::layer_interval(layer_, tokens_, trace.routing);
  const reference::Stage stage = reference::judge_output(interval, trace.output);
  EXPECT_TRUE(stage.passed()) << stage.text();
}

/// `moesaic run`, from the files to the file.
TEST_P(Transformers, RunVerbAgreesWithTheBlockInFloat) {
  const TemporaryDirectory made;
  const std::string model = directory_ / "model";
  const std::string tokens = directory_ / "hidden.npy";
  const std::string out = made / "output.npy";
  const std::string layer = std::to_string(index_);
  const std::array<const char*, 12> arguments{"moesaic",     "run",      model.c_str(),  "--layer",
                                              layer.c_str(), "--tokens", tokens.c_str(), "--check",
                                              "--device",    "cpu",      "--out",        out.c_str()};
  testing::internal::CaptureStdout();
  EXPECT_EQ(cli::run_program(static_cast<int>(arguments.size()), arguments.data()), cli::kOk);
  testing::internal::GetCapturedStdout();

  const Routing routing = reference::route(layer_, tokens_);
  const reference::Interval both = reference::hull(reference::layer_interval(layer_, tokens_, routing),
                                                   reference::unquantized_interval(layer_, tokens_, routing));
  for (const auto& file : {std::filesystem::path(out), directory_ / "output.npy"}) {
    const reference::Stage stage = reference::judge_output(both, checkpoint::read_npy(file).values);
    EXPECT_TRUE(stage.passed()) << file << ": " << stage.text();
  }
}

TEST(TransformersFixtures, AreAllThere) {
  EXPECT_EQ(fixtures().size(), 46U);
}

/// What compressed-tensors makes of fixtures/checkpoints/activations/hidden.npy.
class CompressedTensors : public testing::Test {
 protected:
  const std::filesystem::path directory_ = kFixtures / "activations";

  /// The activations of the first GEMM of a made-up layer in that scheme.
  Trace run(checkpoint::Published scheme, const Tokens& tokens) {
    TemporaryDirectory made;
    const Shape shape{.experts = 2, .top_k = 1, .hidden = tokens.hidden, .width = 16};
    checkpoint::synthesize({.scheme = scheme, .shape = shape}, made / "model");
    const Layer layer = checkpoint::load_layer(checkpoint::open(made / "model"), 0);
    return engine::make_cpu_engine(layer)->run(tokens, engine::Keep::trace);
  }

  void compare(const std::string& name, checkpoint::Published scheme) {
    const Tokens tokens = checkpoint::read_tokens(directory_ / "hidden.npy");
    const auto scales = checkpoint::read_npy(directory_ / (name + "_scales.npy")).values;
    const auto values = checkpoint::read_npy(directory_ / (name + "_codes.npy")).values;
    const Trace trace = run(scheme, tokens);
    const auto count = static_cast<std::size_t>(tokens.count);
    const auto hidden = static_cast<std::size_t>(tokens.hidden);
    const std::size_t groups = scales.size() / count;
    ASSERT_EQ(trace.experts.x.scales.size(), scales.size());
    for (std::size_t token = 0; token < count; ++token) {
      const auto row = static_cast<std::size_t>(trace.routing.row[token]);
      for (std::size_t g = 0; g < groups; ++g) {
        EXPECT_EQ(trace.experts.x.scales[row * groups + g], scales[token * groups + g]);
      }
      for (std::size_t k = 0; k < hidden; ++k) {
        EXPECT_EQ(decode_e4m3(trace.experts.x.codes[row * hidden + k]), values[token * hidden + k]);
      }
    }
  }
};

TEST_F(CompressedTensors, QuantizesTokensToTheSameScalesAndCodes) {
  compare("token", checkpoint::Published::fp8_dynamic);
}

TEST_F(CompressedTensors, QuantizesGroupsOf128ToTheSameScalesAndCodes) {
  compare("group", checkpoint::Published::fp8_block_compressed);
}

}  // namespace
}  // namespace moesaic
