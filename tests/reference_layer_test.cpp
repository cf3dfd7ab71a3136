// The reference must find what is wrong: each stage of a run, judged from the stage before.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "plain_engine.hpp"
#include "reference/layer.hpp"

namespace moesaic {
namespace {

using reference::judge;
using reference::Judgement;
using reference::Stage;
using test::Plain;

class ReferenceLayer : public testing::Test {
 protected:
  std::uint64_t seed_ = std::random_device{}();
  testing::ScopedTrace print_seed_{__FILE__, __LINE__, "seed " + std::to_string(seed_)};
  test::Random random_{seed_};
  Layer layer_ = test::random_layer(random_, {.experts = 6, .top_k = 2, .hidden = 128, .width = 96});
  Tokens tokens_ = test::random_tokens(random_, 5, 128);
  Trace trace_ = Plain{}.run(layer_, tokens_);

  std::string first_failure() const { return first_failure(trace_); }
  std::string first_failure(const Trace& trace) const {
    const Judgement judgement = judge(layer_, tokens_, trace);
    const Stage* stage = judgement.first_failure();
    return stage == nullptr ? "" : stage->name;
  }

  Stage stage(const std::string& name) const {
    for (const Stage& stage : judge(layer_, tokens_, trace_).stages) {
      if (stage.name == name) return stage;
    }
    ADD_FAILURE() << "no stage " << name;
    return Stage(name);
  }
};

TEST_F(ReferenceLayer, AcceptsAPlainEngine) {
  const Judgement judgement = judge(layer_, tokens_, trace_);
  EXPECT_TRUE(judgement.passed()) << judgement.text();
  std::string names;
  for (const Stage& stage : judgement.stages) names += stage.name + " ";
  EXPECT_EQ(names, "routing weights x_scales x_codes gate_up h h_scales h_codes down output ");
}

TEST_F(ReferenceLayer, AcceptsAnEngineAsWrongAsItMayBe) {
  for (int i = 0; i < 5; ++i) {
    trace_ = Plain{.jitter = &random_}.run(layer_, tokens_);
    const Judgement judgement = judge(layer_, tokens_, trace_);
    EXPECT_TRUE(judgement.passed()) << judgement.text();
  }
}

TEST_F(ReferenceLayer, FindsASliceOfKThatIsMissingInOneRow) {
  const int row = random_.below(10);
  EXPECT_EQ(first_failure(Plain{.drop_gate_up = row}.run(layer_, tokens_)), "gate_up");
  EXPECT_EQ(first_failure(Plain{.drop_down = row}.run(layer_, tokens_)), "down");
  trace_ = Plain{.drop_down = row}.run(layer_, tokens_);
  EXPECT_EQ(stage("down").row, row);
  EXPECT_LE(stage("down").failed, layer_.shape.hidden);
  EXPECT_TRUE(stage("output").passed());  // it is judged from the engine's own rows
}

TEST_F(ReferenceLayer, FindsTwoTokensWithEachOthersScales) {
  // The first token is 16 times as large, so that the scales differ.
  for (std::size_t i = 0; i < 128; ++i) tokens_.values[i] = encode_bf16(16 * decode_bf16(tokens_.values[i]));
  trace_ = Plain{}.run(layer_, tokens_);
  EXPECT_EQ(first_failure(Plain{.swap_x = true}.run(layer_, tokens_)), "gate_up");
  EXPECT_EQ(first_failure(Plain{.swap_h = true}.run(layer_, tokens_)), "down");
  const auto a = static_cast<std::size_t>(trace_.routing.row.front());
  const auto b = static_cast<std::size_t>(trace_.routing.row.back());
  Trace swapped = trace_;
  std::swap(swapped.experts.x.scales[a], swapped.experts.x.scales[b]);
  EXPECT_EQ(first_failure(swapped), "x_scales");
  swapped = trace_;
  std::swap(swapped.experts.h_quantized.scales[a], swapped.experts.h_quantized.scales[b]);
  EXPECT_EQ(first_failure(swapped), "h_scales");
}

TEST_F(ReferenceLayer, FindsTwoTokensWithEachOthersWeights) {
  Trace swapped = trace_;
  std::swap(swapped.routing.weight.front(), swapped.routing.weight.back());
  EXPECT_EQ(first_failure(swapped), "weights");
  swapped = trace_;
  std::swap_ranges(swapped.output.begin(), swapped.output.begin() + 128, swapped.output.end() - 128);
  EXPECT_EQ(first_failure(swapped), "output");
}

TEST_F(ReferenceLayer, FindsASlotThatIsMissing) {
  const auto row = static_cast<std::size_t>(trace_.routing.row[2]);  // token 1, slot 0: at least half of the weight
  for (std::size_t i = 0; i < 128; ++i)
    trace_.output[128 + i] -= trace_.routing.weight[2] * trace_.experts.down[row * 128 + i];
  EXPECT_EQ(first_failure(), "output");
  EXPECT_EQ(stage("output").row, 1);
}

TEST_F(ReferenceLayer, HoldsScalesAndCodesToTheLastBit) {
  const auto at = static_cast<std::size_t>(random_.below(10 * 96));
  const auto expect_found = [&](const char* name, const std::function<void(Trace&)>& spoil) {
    Trace spoilt = trace_;
    spoil(spoilt);
    EXPECT_EQ(first_failure(spoilt), name);
  };
  expect_found("x_scales", [](Trace& t) { t.experts.x.scales[4] = std::nextafter(t.experts.x.scales[4], 1.0F); });
  expect_found("x_codes", [&](Trace& t) { t.experts.x.codes[at] ^= 1; });
  expect_found("h_scales", [](Trace& t) {
    t.experts.h_quantized.scales[4] = std::nextafter(t.experts.h_quantized.scales[4], 1.0F);
  });
  expect_found("h_codes", [&](Trace& t) { t.experts.h_quantized.codes[at] ^= 1; });
  expect_found("h_codes", [&](Trace& t) { t.experts.h_quantized.codes[at] ^= 0x80; });
}

TEST_F(ReferenceLayer, FailsOnNaN) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const auto expect_found = [&](const char* name, const std::function<void(Trace&)>& spoil) {
    Trace spoilt = trace_;
    spoil(spoilt);
    EXPECT_EQ(first_failure(spoilt), name);
  };
  expect_found("weights", [](Trace& t) { t.routing.weight[2] = kNaN; });
  expect_found("x_scales", [](Trace& t) { t.experts.x.scales[2] = kNaN; });
  expect_found("gate_up", [](Trace& t) { t.experts.gate_up[77] = kNaN; });
  expect_found("gate_up", [](Trace& t) { t.experts.gate_up[77] = std::numeric_limits<float>::infinity(); });
  expect_found("h", [](Trace& t) { t.experts.h[77] = 0x7fc0; });
  expect_found("h", [](Trace& t) { t.experts.h[77] = 0x7f80; });
  expect_found("h_scales", [](Trace& t) { t.experts.h_quantized.scales[2] = kNaN; });
  expect_found("down", [](Trace& t) { t.experts.down[77] = kNaN; });
  expect_found("output", [](Trace& t) { t.output[77] = kNaN; });
}

TEST_F(ReferenceLayer, FailsWhenEveryStageIsNaN) {
  // An engine that overflowed somewhere and agrees with itself afterwards.
  for (float& value : trace_.experts.gate_up) value = std::numeric_limits<float>::infinity();
  for (std::uint16_t& value : trace_.experts.h) value = 0x7f80;
  for (float& value : trace_.experts.h_quantized.scales) value = std::numeric_limits<float>::infinity();
  for (const char* name : {"gate_up", "h", "h_scales"}) EXPECT_FALSE(stage(name).passed()) << name;
  EXPECT_EQ(stage("h_scales").problem, "row 0 to be quantized is not finite in column 0");
}

/// The largest float at most `limit`.
float at_most(double limit) {
  const auto near = static_cast<float>(limit);
  return static_cast<double>(near) <= limit ? near : std::nextafter(near, -std::numeric_limits<float>::infinity());
}

TEST_F(ReferenceLayer, DrawsTheLineAtTheBound) {
  const auto expect_line = [&](const char* name, std::vector<float>& values) {
    const std::vector<float> right = values;
    const std::size_t at = values.size() / 3;
    values[at] = 1e9F;  // so that the stage tells what it wants there
    const Stage told = stage(name);
    ASSERT_EQ(told.got, 1e9);
    values[at] = at_most(told.want + told.bound);
    EXPECT_TRUE(stage(name).passed()) << stage(name).text();
    values[at] = std::nextafter(values[at], 1e9F);
    EXPECT_EQ(stage(name).failed, 1) << stage(name).text();
    values[at] = -at_most(-(told.want - told.bound));
    EXPECT_TRUE(stage(name).passed()) << stage(name).text();
    values[at] = std::nextafter(values[at], -1e9F);
    EXPECT_EQ(stage(name).failed, 1) << stage(name).text();
    values = right;
  };
  expect_line("weights", trace_.routing.weight);
  expect_line("output", trace_.output);
  expect_line("down", trace_.experts.down);
  expect_line("gate_up", trace_.experts.gate_up);
}

TEST_F(ReferenceLayer, HMayNotBeTheNextBf16) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{50}, std::size_t{333}}) {
    Trace spoilt = trace_;
    // Two steps: where the exact value lies on a rounding boundary, either neighbour is right.
    spoilt.experts.h[at] = static_cast<std::uint16_t>(spoilt.experts.h[at] + 2);
    EXPECT_EQ(first_failure(spoilt), "h");
    spoilt.experts.h[at] = static_cast<std::uint16_t>(spoilt.experts.h[at] - 4);
    EXPECT_EQ(first_failure(spoilt), "h");
  }
}

TEST_F(ReferenceLayer, SaysWhatIsMissing) {
  trace_.experts.h_quantized.codes.pop_back();
  const Judgement judgement = judge(layer_, tokens_, trace_);
  ASSERT_NE(judgement.first_failure(), nullptr);
  EXPECT_EQ(judgement.first_failure()->problem, "the trace holds 959 values of h_codes, not 960");
  EXPECT_EQ(judgement.stages.back().name, "h_codes");
}

TEST(ReferenceExact, WholeNumbersAreExact) {
  // One expert, one token; 448 in x and in h make both scales 1. gate = 64: silu(64) = 64 (1 - 1.6e-28).
  Layer layer;
  layer.shape = {.experts = 1, .top_k = 1, .hidden = 64, .width = 1};
  layer.router.weight.assign(64, 0);
  layer.gate_up = test::channel_experts(1, 2, 64, std::vector<std::uint8_t>(128), {0.5F, 0.25F});
  layer.down =
      test::channel_experts(1, 64, 1, std::vector<std::uint8_t>(64, encode_e4m3(-3)), std::vector<float>(64, 2.0F));
  Tokens tokens{1, 64, std::vector<std::uint16_t>(64)};
  tokens.values[0] = encode_bf16(448);
  tokens.values[40] = encode_bf16(-16);
  layer.gate_up.codes[0] = encode_e4m3(0.25F);  // gate: (112 + 16) / 2
  layer.gate_up.codes[40] = encode_e4m3(-1);
  layer.gate_up.codes[64 + 40] = encode_e4m3(-1.75F);  // up: 28 / 4
  const Trace trace = Plain{}.run(layer, tokens);
  EXPECT_EQ(trace.experts.gate_up, (std::vector<float>{64, 7}));
  EXPECT_EQ(trace.experts.h, std::vector<std::uint16_t>{encode_bf16(448)});
  EXPECT_EQ(trace.output, std::vector<float>(64, -2688.0F));
  const Judgement judgement = judge(layer, tokens, trace);
  EXPECT_TRUE(judgement.passed()) << judgement.text();
  for (const Stage& stage : judgement.stages) {
    EXPECT_EQ(stage.ratio, 0) << stage.text();
  }
}

class ReferenceRouting : public ReferenceLayer {
 protected:
  /// Gives slot `slot` of token 0 to another expert, consistently.
  void give(std::size_t slot, std::int32_t expert) {
    Routing& routing = trace_.routing;
    routing.expert[slot] = expert;
    sort();
  }
  void sort() {
    Routing& routing = trace_.routing;
    std::int32_t next = 0;
    for (std::int32_t e = 0; e < 6; ++e) {
      routing.first[static_cast<std::size_t>(e)] = next;
      for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
        if (routing.expert[pair] == e) routing.row[pair] = next++;
      }
    }
    routing.first[6] = next;
  }
  std::int32_t best_left_over() const {
    Layer wider = layer_;
    wider.shape.top_k = 3;
    return reference::route(wider, tokens_).expert[2];
  }
  std::string problem() const { return judge(layer_, tokens_, trace_).stages.front().problem; }
};

TEST_F(ReferenceRouting, SecondBestExpertForAnother) {
  give(1, best_left_over());
  EXPECT_EQ(first_failure(), "routing");
}

TEST_F(ReferenceRouting, SlotsInTheWrongOrder) {
  std::swap(trace_.routing.expert[0], trace_.routing.expert[1]);
  sort();
  EXPECT_EQ(first_failure(), "routing");
}

TEST_F(ReferenceRouting, EitherOfTwoExpertsAsCloseAsTheErrorOfLogits) {
  tokens_.values[5] = encode_bf16(1e-5F);
  const std::int32_t chosen = reference::route(layer_, tokens_).expert[1];
  const std::int32_t other = best_left_over();
  const auto row = [&](std::int32_t e) { return layer_.router.weight.begin() + static_cast<std::ptrdiff_t>(e) * 128; };
  std::copy_n(row(chosen), 128, row(other));
  *(row(chosen) + 5) = 0.125F;
  *(row(other) + 5) = 0.125F + 0x1p-10F;
  for (const std::int32_t e : {chosen, other}) {
    trace_.routing = reference::route(layer_, tokens_);
    EXPECT_EQ(trace_.routing.expert[1], other);
    give(1, e);
    EXPECT_TRUE(stage("routing").passed()) << stage("routing").text();
  }
}

TEST_F(ReferenceRouting, EqualRowsGoToTheLowerIndex) {
  const std::int32_t best = trace_.routing.expert[0];
  const std::int32_t twin = best == 0 ? 5 : best - 1;
  const auto row = [&](std::int32_t e) { return layer_.router.weight.begin() + static_cast<std::ptrdiff_t>(e) * 128; };
  std::copy_n(row(best), 128, row(twin));
  trace_.routing = reference::route(layer_, tokens_);
  EXPECT_TRUE(stage("routing").passed());
  EXPECT_EQ(trace_.routing.expert[0], std::min(best, twin));
  EXPECT_EQ(trace_.routing.expert[1], std::max(best, twin));
  std::swap(trace_.routing.expert[0], trace_.routing.expert[1]);
  sort();
  EXPECT_FALSE(stage("routing").passed());
}

TEST_F(ReferenceRouting, ASliceOfKMissingInOneLogit) {
  // Of all experts' k in [32, 64) only one's is not zero. It speaks for that expert; who drops it goes elsewhere.
  for (std::size_t i = 0; i < layer_.router.weight.size(); ++i) {
    if (i / 32 % 4 == 1) layer_.router.weight[i] = 0;
  }
  const Trace without = Plain{}.run(layer_, tokens_);
  const auto expert = static_cast<std::size_t>(best_left_over());
  for (std::size_t h = 32; h < 64; ++h) {
    layer_.router.weight[expert * 128 + h] = 99 * decode_bf16(tokens_.values[h]);
  }
  EXPECT_EQ(first_failure(without), "routing");
}

TEST_F(ReferenceRouting, WeightsThatAreNotDividedByTheirSum) {
  // Small logits, so that the chosen weights add up to well below 1.
  for (float& value : layer_.router.weight) value /= 16;
  trace_ = Plain{}.run(layer_, tokens_);
  EXPECT_EQ(first_failure(), "");
  layer_.router.renormalize = false;
  EXPECT_EQ(first_failure(), "weights");
}

TEST_F(ReferenceRouting, NoRoutingAtAll) {
  const Trace right = trace_;
  trace_.routing.expert[1] = 6;
  EXPECT_EQ(problem(), "the routing sends token 0 to expert 6 of 6");
  trace_ = right;
  trace_.routing.expert[1] = trace_.routing.expert[0];
  EXPECT_EQ(problem(), "the routing sends token 0 to expert " + std::to_string(right.routing.expert[0]) + " twice");
  trace_ = right;
  std::swap(trace_.routing.row[0], trace_.routing.row[9]);
  EXPECT_EQ(problem(), "the routing has rows that are not sorted by expert and, within an expert, by token");
  trace_ = right;
  ++trace_.routing.first[6];
  EXPECT_EQ(problem(), "the routing has a `first` that does not count the rows of each expert");
  trace_ = right;
  trace_.routing.tokens = 4;
  EXPECT_EQ(problem(), "the routing is for 4 tokens and top-2, not 5 and top-2");
  trace_ = right;
  trace_.routing.weight.pop_back();
  EXPECT_EQ(problem(), "the routing has 10 experts and 9 weights for 10 pairs of token and slot");
  EXPECT_EQ(judge(layer_, tokens_, trace_).stages.size(), 1U);
}

}  // namespace
}  // namespace moesaic
