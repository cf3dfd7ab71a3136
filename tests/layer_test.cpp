// The whole layer, on the cpu, on emulated cards and on a real one where there is one, judged by the reference.

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/gpu.hpp"
#include "layer_cases.hpp"
#include "layer_kinds.hpp"
#include "reference/layer.hpp"
#include "spec/error.hpp"

namespace moesaic {
namespace {

using namespace test;  // NOLINT: its names are this file's vocabulary

std::vector<std::string> place_names() {
  std::vector<std::string> names{"cpu", "emulated:gb10", "emulated:h200"};
  if (const device::BestPlace best = device::best_place(); best.place.kind == device::Place::Kind::gpu) {
    names.push_back(best.place.name());
  }
  return names;
}

std::unique_ptr<engine::Engine> make_engine(const Layer& layer, const std::string& name, std::uint64_t seed,
                                            const std::string& variant = {}) {
  device::Place place = device::parse_place(name);
  if (place.kind == device::Place::Kind::cpu) return engine::make_cpu_engine(layer);
  place.seed = seed;
  place.sms = 3;
  place.checks = "all";
  return engine::make_gpu_engine(layer, place, {variant});
}

std::string test_name(std::string name) {
  for (char& c : name) {
    if (c == ':') c = '_';
  }
  return name;
}

class LayerTest : public testing::TestWithParam<std::string> {};

TEST_P(LayerTest, AgreesWithTheReferenceStageByStageAndEndToEnd) {
  for (const LayerCase& c : layer_cases()) {
    SCOPED_TRACE(c.name);
    const LayerInput input = make_input(c);
    for (const std::uint64_t seed : {1U, 2U}) {
      const auto engine = make_engine(input.layer, GetParam(), seed);
      const Trace trace = engine->run(input.tokens, engine::Keep::trace);
      const reference::Judgement judgement = reference::judge(input.layer, input.tokens, trace);
      EXPECT_TRUE(judgement.passed()) << "seed " << seed << "\n" << judgement.text();
      EXPECT_EQ(trace.output.size(), input.tokens.values.size());

      const auto interval = reference::layer_interval(input.layer, input.tokens, trace.routing);
      const reference::Stage output = reference::judge_output(interval, trace.output);
      EXPECT_TRUE(output.passed()) << output.text();
      if (c.one_expert_first) {
        EXPECT_EQ(trace.routing.first[3], 0);
        EXPECT_EQ(trace.routing.first[4], c.tokens);
      }
    }
  }
}

/// FP8 weights with FP8 inputs, dynamic and static scales: what Mixtral and Qwen3-MoE are published in.
TEST_P(LayerTest, StaticAndDynamicInputScales) {
  for (const InputScheme inputs : {InputScheme::fp8_token, InputScheme::fp8_static}) {
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(fmt::format("{} seed {}", inputs == InputScheme::fp8_static ? "static" : "dynamic", seed));
    Random random(seed);
    Layer layer = random_layer(random, LayerKind{"fp8", {WeightScheme::fp8_channel, inputs}}, {6, 2, 128, 176});
    layer.router.renormalize = inputs == InputScheme::fp8_static;
    const Tokens tokens = random_tokens(random, 9, 128);
    const Trace trace = make_engine(layer, GetParam(), 1)->run(tokens, engine::Keep::trace);
    const reference::Judgement judgement = reference::judge(layer, tokens, trace);
    EXPECT_TRUE(judgement.passed()) << judgement.text();
    const auto interval = reference::layer_interval(layer, tokens, trace.routing);
    EXPECT_TRUE(reference::judge_output(interval, trace.output).passed());
    if (inputs == InputScheme::fp8_static) {
      // Another expert's input scale is found.
      Layer other = layer;
      std::rotate(other.down.input_scales.begin(), other.down.input_scales.begin() + 1, other.down.input_scales.end());
      EXPECT_FALSE(reference::judge(other, tokens, trace).passed());
    }
  }
}

/// Routers of every scoring around experts that there are kernels for.
TEST_P(LayerTest, RoutersOfEveryScoring) {
  const auto chosen_softmax = [](Random& random, Layer& layer) {
    layer.router.scoring = Scoring::chosen_softmax;
    layer.router.bias = random_floats(random, layer.shape.experts, 0, 1);
  };
  const Scheme scheme{WeightScheme::fp8_channel, InputScheme::fp8_token};
  for (const LayerKind& kind :
       {LayerKind{"sigmoid", scheme, as_deepseek}, LayerKind{"chosen_softmax", scheme, chosen_softmax}}) {
    SCOPED_TRACE(kind.name);
    Random random(3);
    const Layer layer = random_layer(random, kind, {8, 2, 128, 80});
    const Tokens tokens = random_tokens(random, 6, 128);
    const Trace trace = make_engine(layer, GetParam(), 1)->run(tokens, engine::Keep::trace);
    const reference::Judgement judgement = reference::judge(layer, tokens, trace);
    EXPECT_TRUE(judgement.passed()) << judgement.text();
    if (GetParam() != "cpu") {
      EXPECT_EQ(judgement.stages.front().name, "logits");
    }
  }
}

TEST_P(LayerTest, KeepsTheOutputAloneWhenAsked) {
  const LayerInput input = make_input(layer_cases()[2]);
  const auto engine = make_engine(input.layer, GetParam(), 1);
  const Trace all = engine->run(input.tokens, engine::Keep::trace);
  const Trace some = engine->run(input.tokens, engine::Keep::output);
  EXPECT_EQ(digest(some.output), digest(all.output));
  EXPECT_TRUE(some.experts.gate_up.empty());
}

TEST_P(LayerTest, RefusesTokensOfAnotherWidth) {
  const LayerInput input = make_input(layer_cases()[2]);
  const auto engine = make_engine(input.layer, GetParam(), 1);
  EXPECT_THROW(static_cast<void>(engine->run(Tokens{1, 8, std::vector<std::uint16_t>(8)}, engine::Keep::output)),
               Error);
}

INSTANTIATE_TEST_SUITE_P(Places, LayerTest, testing::ValuesIn(place_names()),
                         [](const auto& instance) { return test_name(instance.param); });

/// Making the engine fails with a sentence that has these words.
void expect_refused(const Layer& layer, const std::string& place, const std::string& variant,
                    const std::string& words) {
  try {
    make_engine(layer, place, 1, variant);
    FAIL() << "the engine was made";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

class VariantTest : public testing::TestWithParam<std::string> {};

TEST_P(VariantTest, AForcedVariantRunsAndChangesNoBit) {
  const LayerInput input = make_input(layer_cases()[1]);
  const auto want = digests(make_engine(input.layer, GetParam(), 1)->run(input.tokens, engine::Keep::trace));
  for (const char* variant : {"moe_fp8_gemm/f64t8k128.s5.c2.w4x1", "moe_fp8_gemm/f128t64k128.s2.c2.w4x1"}) {
    const auto engine = make_engine(input.layer, GetParam(), 1, variant);
    EXPECT_EQ(digests(engine->run(input.tokens, engine::Keep::trace)), want) << variant;
    EXPECT_EQ(engine->kernels(), std::vector<std::string>{variant});
  }
}

TEST_P(VariantTest, AForcedVariantThatIsNotThereIsAnError) {
  const LayerInput input = make_input(layer_cases()[2]);
  expect_refused(input.layer, GetParam(), "moe_fp8_gemm/f8t8k8.s1.c1", "it has moe_fp8_gemm/f32t8k128.s4.c4.w2x1");
}

TEST_P(VariantTest, SizesThatNoVariantTakesAreRefusedAtOnce) {
  const LayerInput input = make_input({.name = "", .shape = {4, 2, 128, 40}, .tokens = 1, .seed = 1});
  expect_refused(input.layer, GetParam(), "", "k 40 is not a positive multiple of 16");
}

TEST_P(VariantTest, LayersWithoutKernelsAreRefusedWithTheReason) {
  for (const LayerKind& kind : layer_kinds()) {
    Random random(1);
    const Layer layer = random_layer(random, kind, {4, 2, 64, 64});
    const bool has_kernels = kind.name == "mixtral_fp8_static" || kind.name == "mixtral_fp8_token";
    EXPECT_EQ(engine::why_not_gpu(layer).empty(), has_kernels) << kind.name;
    if (!has_kernels) expect_refused(layer, GetParam(), "", kind.name + ": there are no GPU kernels for ");
  }
}

INSTANTIATE_TEST_SUITE_P(Cards, VariantTest, testing::Values("emulated:gb10", "emulated:h200"),
                         [](const auto& instance) { return test_name(instance.param); });

TEST(Emulated, OneCardAtATime) {
  const LayerInput input = make_input(layer_cases()[2]);
  const auto engine = make_engine(input.layer, "emulated:gb10", 1);
  expect_refused(input.layer, "emulated:h200", "", "another emulated card is in use");
  EXPECT_EQ(engine->run(input.tokens, engine::Keep::output).output.size(), input.tokens.values.size());
}

TEST(Silicon, AnEmulatedH200GivesTheBitsOfARealOne) {
  std::ifstream file(MOESAIC_SOURCE_DIR "/tests/fixtures/silicon/layers.json");
  ASSERT_TRUE(file) << "tests/fixtures/silicon/layers.json is missing";
  const nlohmann::json fixture = nlohmann::json::parse(file);
  ASSERT_EQ(fixture.at("place"), "gpu:0 (NVIDIA H200)");
  ASSERT_EQ(fixture.at("cases").size(), layer_cases().size());
  for (const LayerCase& c : layer_cases()) {
    const LayerInput input = make_input(c);
    const auto engine = make_engine(input.layer, "emulated:h200", 7);
    for (const auto& [field, digest] : digests(engine->run(input.tokens, engine::Keep::trace))) {
      const std::string recorded = fixture.at("cases").at(c.name).at(field);
      EXPECT_EQ(fmt::format("{:016x}", digest), recorded) << c.name << " " << field;
    }
  }
}

}  // namespace
}  // namespace moesaic
