// The cpu engine against the reference, on fresh random inputs whose seed is printed.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "engine/engine.hpp"
#include "engine/quantize.hpp"
#include "engine/router.hpp"
#include "layer_kinds.hpp"
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
    EXPECT_GE(judgement.stages.size(), 6U) << judgement.text();
    const reference::Stage whole =
        reference::judge_output(reference::layer_interval(layer, tokens, trace.routing, trace.step), trace.output);
    EXPECT_TRUE(whole.passed()) << seed() << "\n" << whole.text();
    EXPECT_EQ(whole.compared, static_cast<std::int64_t>(tokens.count) * tokens.hidden);
    return trace;
  }

  std::uint64_t seed_ = std::random_device{}();
  test::Random random_{seed_};
};

class EveryKind : public CpuEngine, public testing::WithParamInterface<test::LayerKind> {};

TEST_P(EveryKind, AgreesWithTheReference) {
  const Layer layer = test::random_layer(random_, GetParam(), {.experts = 8, .top_k = 3, .hidden = 288, .width = 352});
  expect_right(layer, test::random_tokens(random_, 7, 288));
}

TEST_P(EveryKind, EmptyExpertsAndExpertsWithOneRow) {
  const Layer layer = test::random_layer(random_, GetParam(), {.experts = 16, .top_k = 2, .hidden = 64, .width = 96});
  const Trace trace = expect_right(layer, test::random_tokens(random_, 1, 64));
  EXPECT_EQ(trace.routing.first.back(), 2);
  EXPECT_TRUE(expect_right(layer, test::random_tokens(random_, 0, 64)).output.empty());
}

TEST_P(EveryKind, AllTokensOnOneExpert) {
  Layer layer = test::random_layer(random_, GetParam(), {.experts = 4, .top_k = 1, .hidden = 64, .width = 64});
  Tokens tokens = test::random_tokens(random_, 9, 64);
  for (std::size_t i = 0; i < tokens.values.size(); i += 64) tokens.values[i] = encode_bf16(5.0F);
  for (std::size_t e = 0; e < 4; ++e) layer.router.weight[e * 64] = e == 2 ? 100.0F : 0.0F;
  layer.router.input_scale.assign(layer.router.input_scale.size(), 1.0F);
  layer.router.correction.assign(layer.router.correction.size(), 0.0F);
  EXPECT_EQ(expect_right(layer, tokens).routing.first, (std::vector<std::int32_t>{0, 0, 0, 9, 9}));
}

TEST_P(EveryKind, RealWidths) {
  const Layer narrow = test::random_layer(random_, GetParam(), {.experts = 2, .top_k = 1, .hidden = 64, .width = 704});
  expect_right(narrow, test::random_tokens(random_, 3, 64));
  const Layer wide = test::random_layer(random_, GetParam(), {.experts = 2, .top_k = 1, .hidden = 2880, .width = 64});
  expect_right(wide, test::random_tokens(random_, 3, 2880));
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryKind, testing::ValuesIn(test::layer_kinds()),
                         [](const auto& instance) { return instance.param.name; });

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

/// A row quantized by the engine.
Quantized quantized(InputScheme scheme, const std::vector<float>& values, float input_scale = 1) {
  std::vector<std::uint16_t> row;
  row.reserve(values.size());
  for (const float value : values) row.push_back(encode_bf16(value));
  Quantized out = engine::make_quantized(scheme, 1, static_cast<int>(row.size()));
  engine::quantize_row(scheme, row.data(), static_cast<int>(row.size()), input_scale, out, 0);
  return out;
}

using Codes = std::vector<std::uint8_t>;
using Scales = std::vector<float>;

TEST(Quantize, TokensByHand) {
  Quantized row = quantized(InputScheme::fp8_token, {448, -224, 1, -0.0F});
  EXPECT_EQ(row.scales, Scales{1.0F});
  EXPECT_EQ(row.codes, (Codes{0x7e, 0xf6, 0x38, 0x80}));
  row = quantized(InputScheme::fp8_token, {-896, 2});
  EXPECT_EQ(row.scales, Scales{2.0F});
  EXPECT_EQ(row.codes, (Codes{0xfe, 0x38}));
  // Below the floor of the scale nothing reaches 448: 2^-20 / floor = 2^-20 * 448 * 512 = 0.21875.
  row = quantized(InputScheme::fp8_token, {0x1p-20F, 0});
  EXPECT_EQ(row.scales, Scales{1.0F / (448.0F * 512.0F)});
  EXPECT_EQ(row.codes, (Codes{0x26, 0x00}));
}

TEST(Quantize, StaticScalesSaturateAndMultiplyByTheReciprocal) {
  Quantized row = quantized(InputScheme::fp8_static, {1, -2, 896, -1000}, 2.0F);
  EXPECT_EQ(row.scales, Scales{2.0F});
  EXPECT_EQ(row.codes, (Codes{0x30, 0xb8, 0x7e, 0xfe}));
  // 2.734375 / 1.75 is halfway between two codes and would go to the even one; times the reciprocal it is just above.
  EXPECT_EQ(quantized(InputScheme::fp8_static, {2.734375F}, 1.75F).codes, Codes{0x3d});
}

TEST(Quantize, GroupsOf128EachHaveTheirOwnScale) {
  std::vector<float> values(130);
  values[3] = -896;
  values[129] = 224;
  const Quantized row = quantized(InputScheme::fp8_group, values);
  EXPECT_EQ(row.scales, (Scales{2.0F, 0.5F}));
  EXPECT_EQ(row.codes[3], 0xfe);
  EXPECT_EQ(row.codes[129], 0x7e);
  EXPECT_EQ(quantized(InputScheme::fp8_group, {0, 0}).scales, Scales{1e-10F / 448.0F});
}

TEST(Quantize, MxfpScalesAreThePowerOfTwoAbove) {
  std::vector<float> values(64);
  values[0] = 448;     // 448 / 448: 2^0
  values[33] = 1.75F;  // 1.75 / 448 = 2^-8
  values[34] = -1;
  Quantized row = quantized(InputScheme::mxfp8, values);
  EXPECT_EQ(row.group_scales, (Codes{127, 119}));
  EXPECT_EQ(row.codes[0], 0x7e);
  EXPECT_EQ(row.codes[33], 0x7e);
  EXPECT_EQ(row.codes[34], 0xf8);  // -256
  EXPECT_TRUE(row.scales.empty());
  values[0] = 450;  // above: 2^1
  EXPECT_EQ(quantized(InputScheme::mxfp8, values).group_scales[0], 128);
  EXPECT_EQ(quantized(InputScheme::mxfp8, std::vector<float>(32)).group_scales, Codes{0});
}

TEST(Quantize, Nvfp4ByHand) {
  std::vector<float> values(32);
  values[0] = 6;
  values[1] = -3;
  values[2] = 0.5F;
  values[16] = -12;
  values[17] = 4;
  const Quantized row = quantized(InputScheme::nvfp4, values, 0.25F);
  // Scales: 4 * 6 / 6 = 4 and 4 * 12 / 6 = 8, in units of 1/4, so that codes count 1 and 2.
  EXPECT_EQ(row.group_scales, (Codes{encode_e4m3(4), encode_e4m3(8)}));
  EXPECT_EQ(row.codes.size(), 16U);
  EXPECT_EQ(row.codes[0], 0xd7);  // -3 and 6
  EXPECT_EQ(row.codes[1], 0x01);  // 0 and 0.5
  EXPECT_EQ(row.codes[8], 0x4f);  // 2 and -6
  const Quantized zero = quantized(InputScheme::nvfp4, {0, -0.0F}, 0.25F);
  EXPECT_EQ(zero.group_scales, Codes{0});
  EXPECT_EQ(zero.codes, Codes{0x80});
}

}  // namespace
}  // namespace moesaic
