// The cpu engine against the reference, on fresh random inputs whose seed is printed.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "engine/engine.hpp"
#include "engine/quantize.hpp"
#include "engine/router.hpp"
#include "random_operands.hpp"
#include "reference/layer.hpp"
#include "spec/error.hpp"

namespace moesaic {
namespace {

using engine::Keep;
using engine::make_cpu_engine;

class CpuEngine : public testing::Test {
 protected:
  CpuEngine() { RecordProperty("seed", std::to_string(seed_)); }
  std::string seed() const { return "seed " + std::to_string(seed_); }

  /// Runs the layer and judges it, stage by stage and end to end.
  Trace expect_right(const Layer& layer, const Tokens& tokens) {
    Trace trace = make_cpu_engine(layer, 2)->run(tokens, Keep::trace);
    const reference::Judgement judgement = reference::judge(layer, tokens, trace);
    EXPECT_TRUE(judgement.passed()) << seed() << "\n" << judgement.text();
    EXPECT_EQ(judgement.stages.size(), 10U) << judgement.text();
    const reference::Stage whole =
        reference::judge_output(reference::layer_interval(layer, tokens, trace.routing), trace.output);
    EXPECT_TRUE(whole.passed()) << seed() << "\n" << whole.text();
    EXPECT_EQ(whole.compared, static_cast<std::int64_t>(tokens.count) * tokens.hidden);
    return trace;
  }

  std::uint64_t seed_ = std::random_device{}();
  test::Random random_{seed_};
};

TEST_F(CpuEngine, AgreesWithTheReference) {
  const Layer layer = test::random_layer(random_, {.experts = 16, .top_k = 4, .hidden = 512, .width = 704});
  expect_right(layer, test::random_tokens(random_, 16, 512));
}

TEST_F(CpuEngine, AgreesWithoutRenormalization) {
  Layer layer = test::random_layer(random_, {.experts = 8, .top_k = 3, .hidden = 96, .width = 80});
  layer.router.renormalize = false;
  expect_right(layer, test::random_tokens(random_, 5, 96));
}

TEST_F(CpuEngine, ShapesThatNoStepDivides) {
  const Layer layer = test::random_layer(random_, {.experts = 3, .top_k = 2, .hidden = 72, .width = 40});
  expect_right(layer, test::random_tokens(random_, 7, 72));
}

TEST_F(CpuEngine, OneTokenLeavesExpertsEmpty) {
  const Layer layer = test::random_layer(random_, {.experts = 16, .top_k = 2, .hidden = 64, .width = 64});
  const Trace trace = expect_right(layer, test::random_tokens(random_, 1, 64));
  EXPECT_EQ(trace.routing.first.back(), 2);
}

TEST_F(CpuEngine, NoTokens) {
  const Layer layer = test::random_layer(random_, {.experts = 4, .top_k = 2, .hidden = 64, .width = 64});
  const Trace trace = expect_right(layer, test::random_tokens(random_, 0, 64));
  EXPECT_TRUE(trace.output.empty());
}

TEST_F(CpuEngine, AllTokensOnOneExpert) {
  Layer layer = test::random_layer(random_, {.experts = 4, .top_k = 1, .hidden = 64, .width = 64});
  Tokens tokens = test::random_tokens(random_, 9, 64);
  for (std::size_t i = 0; i < tokens.values.size(); i += 64) tokens.values[i] = encode_bf16(50.0F);
  for (std::size_t e = 0; e < 4; ++e) layer.router.weight[e * 64] = e == 2 ? 10.0F : 0.0F;
  const Trace trace = expect_right(layer, tokens);
  EXPECT_EQ(trace.routing.first, (std::vector<std::int32_t>{0, 0, 0, 9, 9}));
}

TEST_F(CpuEngine, ZeroTokenRoutesToTheLowestExpertsAndGivesZero) {
  const Layer layer = test::random_layer(random_, {.experts = 4, .top_k = 2, .hidden = 64, .width = 64});
  const Trace trace = expect_right(layer, Tokens{.count = 1, .hidden = 64, .values = std::vector<std::uint16_t>(64)});
  EXPECT_EQ(trace.routing.expert, (std::vector<std::int32_t>{0, 1}));
  EXPECT_TRUE(std::all_of(trace.output.begin(), trace.output.end(), [](float value) { return value == 0; }));
  EXPECT_EQ(trace.experts.x.scales[0], 1.0F / (448.0F * 512.0F));
}

TEST_F(CpuEngine, BitsDoNotDependOnThreads) {
  const Layer layer = test::random_layer(random_, {.experts = 4, .top_k = 2, .hidden = 128, .width = 96});
  const Tokens tokens = test::random_tokens(random_, 8, 128);
  const auto together = make_cpu_engine(layer, 2)->run(tokens, Keep::output).output;
  EXPECT_EQ(together, make_cpu_engine(layer, 1)->run(tokens, Keep::output).output) << seed();
}

TEST_F(CpuEngine, KeepsTheOutputAlone) {
  const Layer layer = test::random_layer(random_, {.experts = 4, .top_k = 2, .hidden = 64, .width = 64});
  const Tokens tokens = test::random_tokens(random_, 3, 64);
  const auto cpu = make_cpu_engine(layer, 2);
  const Trace kept = cpu->run(tokens, Keep::output);
  EXPECT_TRUE(kept.experts.x.codes.empty() && kept.experts.gate_up.empty() && kept.experts.h.empty() &&
              kept.experts.down.empty());
  const Trace all = cpu->run(tokens, Keep::trace);
  EXPECT_EQ(kept.output, all.output);
  EXPECT_EQ(kept.routing.row, all.routing.row);
  EXPECT_EQ(cpu->place(), "cpu (2 threads)");
}

/// The sentence of the Error that a run throws.
std::string complaint(const Layer& layer, const Tokens& tokens) {
  try {
    make_cpu_engine(layer, 1)->run(tokens, Keep::output);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(CpuEngine, RefusesWhatIsNoInput) {
  const Layer layer = test::random_layer(random_, {.experts = 4, .top_k = 2, .hidden = 64, .width = 64});
  EXPECT_EQ(complaint(layer, test::random_tokens(random_, 2, 32)),
            "the hidden states have width 32, but random takes 64");
  Tokens tokens = test::random_tokens(random_, 2, 64);
  tokens.values[64 + 3] = 0x7fc0;
  EXPECT_EQ(complaint(layer, tokens), "hidden state 3 of token 1 is nan; hidden states must be finite");
  tokens.values[64 + 3] = 0xff80;
  EXPECT_EQ(complaint(layer, tokens), "hidden state 3 of token 1 is -inf; hidden states must be finite");
  tokens.values.pop_back();
  EXPECT_EQ(complaint(layer, tokens), "there are 127 hidden values for 2 tokens of width 64; there should be 2 x 64");
}

TEST(Router, EqualLogitsGoToTheLowerIndex) {
  test::Random random(1);
  Layer layer = test::random_layer(random, {.experts = 6, .top_k = 3, .hidden = 64, .width = 16});
  for (std::size_t e = 1; e < 6; ++e)
    std::copy_n(layer.router.weight.begin(), 64, layer.router.weight.begin() + 64 * static_cast<int>(e));
  const Routing routing = engine::route(layer, test::random_tokens(random, 4, 64), 2);
  for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
    EXPECT_EQ(routing.expert[pair], static_cast<std::int32_t>(pair % 3));
    EXPECT_EQ(routing.weight[pair], 1.0F / 3.0F);
  }
}

TEST(Router, RowsAreSortedByExpertThenToken) {
  Layer layer;
  layer.shape = {.experts = 3, .top_k = 2, .hidden = 2, .width = 1};
  for (const float w : {1.0F, 0.0F, 0.0F, 1.0F, -1.0F, -1.0F}) layer.router.weight.push_back(w);
  Tokens tokens{.count = 2, .hidden = 2, .values = {}};
  for (const float x : {1.0F, 2.0F, 2.0F, -3.0F}) tokens.values.push_back(encode_bf16(x));
  const Routing routing = engine::route(layer, tokens);  // logits: 1 2 -3 and 2 -3 1
  EXPECT_EQ(routing.expert, (std::vector<std::int32_t>{1, 0, 0, 2}));
  EXPECT_EQ(routing.row, (std::vector<std::int32_t>{2, 0, 1, 3}));
  EXPECT_EQ(routing.first, (std::vector<std::int32_t>{0, 2, 3, 4}));
  EXPECT_FLOAT_EQ(routing.weight[0], static_cast<float>(1 / (1 + std::exp(-1.0))));
}

TEST(Quantize, RowsByHand) {
  const auto quantize = [](const std::vector<float>& values) {
    std::vector<std::uint16_t> row;
    row.reserve(values.size());
    for (const float value : values) row.push_back(encode_bf16(value));
    std::vector<std::uint8_t> codes(row.size());
    const float scale = engine::quantize_row(row.data(), static_cast<int>(row.size()), codes.data());
    return std::pair(scale, codes);
  };
  EXPECT_EQ(quantize({448, -224, 1, -0.0F}), std::pair(1.0F, std::vector<std::uint8_t>{0x7e, 0xf6, 0x38, 0x80}));
  EXPECT_EQ(quantize({-896, 2}), std::pair(2.0F, std::vector<std::uint8_t>{0xfe, 0x38}));
  // Below the floor of the scale nothing reaches 448: 2^-20 / floor = 2^-20 * 448 * 512 = 0.21875.
  EXPECT_EQ(quantize({0x1p-20F, 0}), std::pair(1.0F / (448.0F * 512.0F), std::vector<std::uint8_t>{0x26, 0x00}));
}

}  // namespace
}  // namespace moesaic
