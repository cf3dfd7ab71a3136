// The reference must accept what is right and find what is wrong in every kind of layer: for each bound a slice of k
// that one row misses, and scales that are exchanged.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "layer_kinds.hpp"
#include "plain_engine.hpp"
#include "reference/layer.hpp"

namespace moesaic {
namespace {

using reference::judge;
using reference::Judgement;
using reference::Stage;
using test::Plain;

class EveryKind : public testing::TestWithParam<test::LayerKind> {
 protected:
  EveryKind() {
    // The first token is a quarter as large, so that rows have different scales.
    for (std::size_t i = 0; i < 128; ++i) tokens_.values[i] = encode_bf16(decode_bf16(tokens_.values[i]) / 4);
  }

  std::string first_failure(const Trace& trace) const {
    const Judgement judgement = judge(layer_, tokens_, trace);
    const Stage* stage = judgement.first_failure();
    return stage == nullptr ? "" : stage->name;
  }
  bool holds(const Trace& trace) const {
    return reference::judge_output(reference::layer_interval(layer_, tokens_, trace.routing), trace.output).passed();
  }
  /// The routed row of the first token's best expert, whose weight is the largest.
  int heavy_row(const Trace& trace) const { return trace.routing.row[0]; }

  std::uint64_t seed_ = std::random_device{}();
  testing::ScopedTrace print_seed_{__FILE__, __LINE__, "seed " + std::to_string(seed_)};
  test::Random random_{seed_};
  Layer layer_ = test::random_layer(random_, GetParam(), {.experts = 8, .top_k = 2, .hidden = 128, .width = 160});
  Tokens tokens_ = test::random_tokens(random_, 6, 128);
};

TEST_P(EveryKind, AcceptsAPlainEngine) {
  const Trace trace = Plain{}.run(layer_, tokens_);
  const Judgement judgement = judge(layer_, tokens_, trace);
  EXPECT_TRUE(judgement.passed()) << judgement.text();
  EXPECT_TRUE(holds(trace));
  std::string names;
  for (const Stage& stage : judgement.stages) {
    names += stage.name + " ";
    EXPECT_GT(stage.compared, 0) << stage.name;
  }
  EXPECT_TRUE(names.starts_with("routing weights ")) << names;
  EXPECT_NE(names.find(" gate_up h "), std::string::npos) << names;
  EXPECT_TRUE(names.ends_with(" output ")) << names;
  const bool quantized = GetParam().scheme.inputs != InputScheme::bf16;
  EXPECT_EQ(names.find(" x_codes gate_up ") != std::string::npos, quantized) << names;
  EXPECT_EQ(names.find(" h_codes down ") != std::string::npos, quantized) << names;
  EXPECT_EQ(names.find(" shared_gate_up shared_h ") != std::string::npos, GetParam().shared) << names;
  EXPECT_EQ(names.find(" experts_input shared_input ") != std::string::npos, layer_.norms.has_value()) << names;
}

TEST_P(EveryKind, AcceptsAnEngineAsWrongAsItMayBe) {
  const Trace trace = Plain{.jitter = &random_}.run(layer_, tokens_);
  const Judgement judgement = judge(layer_, tokens_, trace);
  EXPECT_TRUE(judgement.passed()) << judgement.text();
  EXPECT_TRUE(holds(trace));
}

TEST_P(EveryKind, FindsASliceOfKThatIsMissingInOneRow) {
  const Trace right = Plain{}.run(layer_, tokens_);
  const int row = heavy_row(right);
  const Trace no_gate_up = Plain{.drop_gate_up = row}.run(layer_, tokens_);
  EXPECT_EQ(first_failure(no_gate_up), "gate_up");
  EXPECT_FALSE(holds(no_gate_up));
  const Trace no_down = Plain{.drop_down = row}.run(layer_, tokens_);
  EXPECT_EQ(first_failure(no_down), "down");
  EXPECT_FALSE(holds(no_down));
}

TEST_P(EveryKind, FindsScalesThatAreExchanged) {
  const Trace wrong_x = Plain{.swap_x = true}.run(layer_, tokens_);
  EXPECT_EQ(first_failure(wrong_x), "gate_up");
  EXPECT_FALSE(holds(wrong_x));
  const Trace wrong_h = Plain{.swap_h = true}.run(layer_, tokens_);
  EXPECT_EQ(first_failure(wrong_h), "down");
  EXPECT_FALSE(holds(wrong_h));
}

TEST_P(EveryKind, FindsASharedExpertThatIsMissing) {
  if (!GetParam().shared) return;
  Trace trace = Plain{}.run(layer_, tokens_);
  Layer without = layer_;
  without.shape.shared_width = 0;
  without.norms.reset();
  trace.output = Plain{}.run(without, tokens_).output;
  EXPECT_EQ(first_failure(trace), "output");
  EXPECT_FALSE(holds(trace));
}

TEST_P(EveryKind, FindsMistakesInTheSharedExpert) {
  if (!GetParam().shared) return;
  const Trace right = Plain{}.run(layer_, tokens_);
  Trace wrong = right;
  wrong.shared.down[300] *= 1.01F;
  EXPECT_EQ(first_failure(wrong), "shared_down");
  wrong = right;
  wrong.shared.gate_up[200] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(first_failure(wrong), "shared_gate_up");
  if (!layer_.shared_gate.empty()) {
    wrong = right;
    std::swap(wrong.shared_weight[0], wrong.shared_weight[1]);
    EXPECT_EQ(first_failure(wrong), "shared_weight");
  }
}

TEST_P(EveryKind, FindsNormsOfAnotherToken) {
  if (!layer_.norms) return;
  const Trace right = Plain{}.run(layer_, tokens_);
  Trace wrong = right;
  std::swap_ranges(wrong.experts_input.begin(), wrong.experts_input.begin() + 128, wrong.experts_input.begin() + 128);
  EXPECT_EQ(first_failure(wrong), "experts_input");
  wrong = right;
  wrong.shared_input[7] ^= 2;
  EXPECT_EQ(first_failure(wrong), "shared_input");
  std::swap(layer_.norms->after, layer_.norms->after_dense);
  EXPECT_EQ(first_failure(right), "output");
  EXPECT_FALSE(holds(right));
}

TEST_P(EveryKind, HoldsScalesAndCodesToTheLastBit) {
  const Trace right = Plain{}.run(layer_, tokens_);
  const auto expect_found = [&](const std::string& name, const std::function<void(Trace&)>& spoil) {
    Trace wrong = right;
    spoil(wrong);
    EXPECT_EQ(first_failure(wrong), name);
  };
  if (!right.experts.x.codes.empty()) {
    expect_found("x_codes", [](Trace& t) { t.experts.x.codes[77] ^= 1; });
    expect_found("h_codes", [](Trace& t) { t.experts.h_quantized.codes[77] ^= 0x80; });
  }
  if (!right.experts.x.scales.empty()) {
    expect_found("x_scales", [](Trace& t) { t.experts.x.scales[3] = std::nextafter(t.experts.x.scales[3], 1.0F); });
    expect_found("h_scales", [](Trace& t) { t.experts.h_quantized.scales[3] *= 2; });
  }
  if (!right.experts.x.group_scales.empty()) {
    expect_found("x_group_scales", [](Trace& t) { t.experts.x.group_scales[3] ^= 1; });
    expect_found("h_group_scales", [](Trace& t) { t.experts.h_quantized.group_scales[3] ^= 1; });
  }
}

TEST_P(EveryKind, FindsBiasesOfAnotherExpert) {
  if (layer_.gate_up.bias.empty()) return;
  const Trace right = Plain{}.run(layer_, tokens_);
  const auto last = [](Experts& w) { return w.bias.end() - w.rows; };
  std::rotate(layer_.down.bias.begin(), last(layer_.down), layer_.down.bias.end());
  EXPECT_EQ(first_failure(right), "down");
  EXPECT_FALSE(holds(right));
  std::rotate(layer_.gate_up.bias.begin(), last(layer_.gate_up), layer_.gate_up.bias.end());
  EXPECT_EQ(first_failure(right), "gate_up");
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryKind, testing::ValuesIn(test::layer_kinds()),
                         [](const auto& instance) { return instance.param.name; });

/// Routers: the routing of a layer judged by a layer that routes otherwise.
class ReferenceRouters : public testing::Test {
 protected:
  Layer make(void (*finish)(test::Random&, Layer&)) {
    return test::random_layer(random_, {"", {WeightScheme::bf16, InputScheme::bf16}, finish},
                              {.experts = 16, .top_k = 4, .hidden = 64, .width = 32});
  }
  std::string failure(const Layer& layer, const Routing& routing) const {
    for (const Stage& stage : reference::judge_routing(layer, tokens_, routing)) {
      if (!stage.passed()) return stage.name;
    }
    return "";
  }

  std::uint64_t seed_ = std::random_device{}();
  testing::ScopedTrace print_seed_{__FILE__, __LINE__, "seed " + std::to_string(seed_)};
  test::Random random_{seed_};
  Tokens tokens_ = test::random_tokens(random_, 24, 64);
};

TEST_F(ReferenceRouters, FindACorrectionThatIsSwapped) {
  const Layer layer = make(test::as_deepseek);
  const Routing right = reference::route(layer, tokens_);
  EXPECT_EQ(failure(layer, right), "");
  Layer wrong = layer;
  wrong.router.correction[3] = 0.9F;  // decides
  wrong.router.correction[4] = -0.9F;
  EXPECT_EQ(failure(wrong, right), "routing");
  std::swap(wrong.router.correction[3], wrong.router.correction[4]);
  EXPECT_EQ(failure(wrong, reference::route(layer, tokens_)), "routing");
}

TEST_F(ReferenceRouters, FindACorrectionThatCountsForTheWeights) {
  const Layer layer = make(test::as_deepseek);
  Routing routing = reference::route(layer, tokens_);
  for (std::size_t pair = 0; pair < routing.weight.size(); ++pair) {
    routing.weight[pair] += layer.router.correction[static_cast<std::size_t>(routing.expert[pair])] * 0.1F;
  }
  EXPECT_EQ(failure(layer, routing), "weights");
}

TEST_F(ReferenceRouters, FindTheWrongGroups) {
  Layer layer = make(test::as_deepseek);
  ASSERT_EQ(layer.router.groups, 4);
  Layer all_groups = layer;
  all_groups.router.top_groups = 4;
  EXPECT_EQ(failure(layer, reference::route(all_groups, tokens_)), "routing");
  EXPECT_EQ(failure(all_groups, reference::route(layer, tokens_)), "routing");
  Layer one_group = layer;
  one_group.router.top_groups = 1;
  EXPECT_EQ(failure(layer, reference::route(one_group, tokens_)), "routing");
  // A group goes by its best two experts: the one with the best expert of all may lose.
  layer.router.correction = std::vector<float>(16, 0);
  layer.router.correction[0] = 1;
  for (const std::size_t e : {1U, 2U, 3U}) layer.router.correction[e] = -5;
  const Routing routing = reference::route(layer, tokens_);
  for (const std::int32_t e : routing.expert) EXPECT_GE(e, 4);
  EXPECT_EQ(failure(layer, routing), "");
}

TEST_F(ReferenceRouters, FindRenormalizationThatIsForgotten) {
  for (const auto finish : {test::as_deepseek, test::as_glm, test::as_gemma}) {
    const Layer layer = make(finish);
    Layer without = layer;
    without.router.renormalize = false;
    EXPECT_EQ(failure(layer, reference::route(without, tokens_)), "weights");
    EXPECT_EQ(failure(without, reference::route(layer, tokens_)), "weights");
  }
}

TEST_F(ReferenceRouters, FindScalesThatAreForgotten) {
  const Layer deepseek = make(test::as_deepseek);
  Layer without = deepseek;
  without.router.scale = 1;
  EXPECT_EQ(failure(deepseek, reference::route(without, tokens_)), "weights");
  const Layer gemma = make(test::as_gemma);
  without = gemma;
  without.router.expert_scale.clear();
  EXPECT_EQ(failure(gemma, reference::route(without, tokens_)), "weights");
  without = gemma;
  without.router.input_scale.assign(64, 1.0F);
  EXPECT_NE(failure(gemma, reference::route(without, tokens_)), "");
}

TEST_F(ReferenceRouters, FindABiasThatIsForgotten) {
  const Layer layer = make(test::as_gpt_oss);
  Layer without = layer;
  without.router.bias.clear();
  EXPECT_EQ(failure(layer, reference::route(without, tokens_)), "routing");
}

TEST_F(ReferenceRouters, FindSoftmaxOverAllInPlaceOfTheChosen) {
  const Layer layer = make(test::as_gpt_oss);
  Layer all = layer;
  all.router.scoring = Scoring::softmax;
  all.router.renormalize = false;
  EXPECT_EQ(failure(layer, reference::route(all, tokens_)), "weights");
}

TEST_F(ReferenceRouters, AgreeWithTheEngines) {
  for (const auto finish : {test::as_deepseek, test::as_glm, test::as_gemma, test::as_gpt_oss, test::as_qwen35}) {
    const Layer layer = make(finish);
    EXPECT_EQ(failure(layer, engine::route(layer, tokens_, 1)), "");
  }
}

}  // namespace
}  // namespace moesaic
