// The layer's output judged alone: the intervals hold what is right and not what is wrong.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "plain_engine.hpp"
#include "reference/layer.hpp"

namespace moesaic {
namespace {

using reference::Interval;
using reference::judge_output;
using reference::Stage;
using test::Plain;

/// The layer in float32 without quantized activations, as transformers' own block computes it on dequantized weights.
/// `drop_gate_up`, `drop_down`: the pair of token and slot in which the GEMM forgets k in [32, 64).
std::vector<float> float_layer(const Layer& layer, const Tokens& tokens, const Routing& routing, int drop_gate_up = -1,
                               int drop_down = -1) {
  const auto matrix_times = [](const Experts& w, std::size_t e, const std::vector<float>& in, bool drop) {
    std::vector<float> out;
    for (std::size_t n = 0; n < static_cast<std::size_t>(w.rows); ++n) {
      const std::size_t channel = e * static_cast<std::size_t>(w.rows) + n;
      float sum = 0;
      for (std::size_t k = 0; k < in.size(); ++k) {
        const float weight = decode_e4m3(w.codes[channel * in.size() + k]) * w.scales[channel];
        if (!drop || k < 32 || 64 <= k) sum += in[k] * weight;
      }
      out.push_back(sum);
    }
    return out;
  };
  const auto hidden = static_cast<std::size_t>(tokens.hidden);
  const auto width = static_cast<std::size_t>(layer.shape.width);
  std::vector<float> output(tokens.values.size());
  for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
    const std::size_t token = pair / static_cast<std::size_t>(routing.top_k);
    const auto e = static_cast<std::size_t>(routing.expert[pair]);
    std::vector<float> x;
    for (std::size_t i = 0; i < hidden; ++i) x.push_back(decode_bf16(tokens.values[token * hidden + i]));
    const auto gate_up = matrix_times(layer.gate_up, e, x, static_cast<int>(pair) == drop_gate_up);
    std::vector<float> h;
    for (std::size_t i = 0; i < width; ++i) {
      h.push_back(gate_up[i] / (1.0F + std::exp(-gate_up[i])) * gate_up[width + i]);
    }
    const auto down = matrix_times(layer.down, e, h, static_cast<int>(pair) == drop_down);
    for (std::size_t i = 0; i < hidden; ++i) output[token * hidden + i] += routing.weight[pair] * down[i];
  }
  return output;
}

class ReferenceInterval : public testing::Test {
 protected:
  bool holds(const Interval& interval, const std::vector<float>& output) const {
    return judge_output(interval, output).passed();
  }
  Interval quantized() const { return reference::layer_interval(layer_, tokens_, trace_.routing); }
  Interval unquantized() const { return reference::unquantized_interval(layer_, tokens_, trace_.routing); }
  Interval either() const { return reference::hull(quantized(), unquantized()); }

  std::uint64_t seed_ = std::random_device{}();
  testing::ScopedTrace print_seed_{__FILE__, __LINE__, "seed " + std::to_string(seed_)};
  test::Random random_{seed_};
  Layer layer_ = test::random_layer(random_, {.experts = 6, .top_k = 2, .hidden = 128, .width = 160});
  Tokens tokens_ = test::random_tokens(random_, 6, 128);
  Trace trace_ = Plain{}.run(layer_, tokens_);
};

TEST_F(ReferenceInterval, HoldsEnginesAsWrongAsTheyMayBe) {
  for (int i = 0; i < 10; ++i) {
    layer_ = test::random_layer(random_, layer_.shape);
    tokens_ = test::random_tokens(random_, 6, 128);
    trace_ = Plain{.jitter = &random_}.run(layer_, tokens_);
    const Interval interval = quantized();
    for (int j = 0; j < 5; ++j) {
      const Stage stage = judge_output(interval, Plain{.jitter = &random_}.run(layer_, tokens_).output);
      EXPECT_TRUE(stage.passed()) << stage.text();
    }
  }
}

TEST_F(ReferenceInterval, ChargesLittle) {
  const Interval interval = quantized();
  double radius = 0;
  double size = 0;
  for (std::size_t i = 0; i < interval.centre.size(); ++i) {
    radius += interval.radius[i];
    size += std::abs(interval.centre[i]);
  }
  EXPECT_LT(radius, 0.05 * size);
}

TEST_F(ReferenceInterval, HoldsWhatMayQuantizeEitherWay) {
  // gate = 112, where silu(gate) is gate. The row's other value of h is 448, which makes the scale 1.
  Layer layer;
  layer.shape = {.experts = 1, .top_k = 1, .hidden = 2, .width = 2};
  layer.router.weight.assign(2, 0);
  layer.down = test::channel_experts(1, 2, 2, {encode_e4m3(1), encode_e4m3(0), encode_e4m3(0), encode_e4m3(1)}, {1, 1});
  const Tokens tokens{1, 2, {encode_bf16(448), encode_bf16(0)}};
  const auto output_interval = [&](float up) {
    layer.gate_up = test::channel_experts(1, 4, 2, std::vector<std::uint8_t>(8), {0.25F, 0.25F, 1.0F / 448, up / 448});
    for (const std::size_t at : {0U, 2U, 4U, 6U})
      layer.gate_up.codes[at] = encode_e4m3(1);  // gates 112, ups 1 and `up`
    layer.gate_up.scales[2] = 4.0F / 448;        // h[0] = 448
    return reference::layer_interval(layer, tokens, reference::route(layer, tokens));
  };
  const Interval clear = output_interval(1.0F);
  EXPECT_NEAR(clear.centre[1], 112, 1e-3);
  EXPECT_LT(clear.radius[1], 1e-3);
  // 116.25 lies halfway between the bf16 values 116 and 116.5; of these one becomes the e4m3 value 112, one 120.
  const Interval torn = output_interval(116.25F / 112);
  EXPECT_NEAR(torn.centre[1] - torn.radius[1], 112, 1e-3);
  EXPECT_NEAR(torn.centre[1] + torn.radius[1], 120, 1e-3);
}

TEST_F(ReferenceInterval, FindsASliceOfKThatIsMissingInOneRow) {
  // Of a token's better expert, whose weight is at least a half: what has no weight in the output cannot be seen there.
  const int pair = 2 * random_.below(6);
  const int row = trace_.routing.row[static_cast<std::size_t>(pair)];
  for (const Plain& wrong : {Plain{.drop_gate_up = row}, Plain{.drop_down = row}}) {
    const std::vector<float> output = wrong.run(layer_, tokens_).output;
    EXPECT_FALSE(holds(quantized(), output));
    EXPECT_FALSE(holds(either(), output));
  }
  EXPECT_FALSE(holds(unquantized(), float_layer(layer_, tokens_, trace_.routing, pair, -1)));
  EXPECT_FALSE(holds(unquantized(), float_layer(layer_, tokens_, trace_.routing, -1, pair)));
}

TEST_F(ReferenceInterval, FindsTwoTokensWithEachOthersScales) {
  // The first token is 16 times as large, so that the scales differ.
  for (std::size_t i = 0; i < 128; ++i) tokens_.values[i] = encode_bf16(16 * decode_bf16(tokens_.values[i]));
  trace_ = Plain{}.run(layer_, tokens_);
  for (const Plain& wrong : {Plain{.swap_x = true}, Plain{.swap_h = true}}) {
    const std::vector<float> output = wrong.run(layer_, tokens_).output;
    EXPECT_FALSE(holds(quantized(), output));
    EXPECT_FALSE(holds(either(), output));
  }
  // A float computation has no scales of tokens; the weights of its experts take their place.
  Routing swapped = trace_.routing;
  std::swap(swapped.weight[0], swapped.weight[3]);  // a token's better expert and another's worse
  EXPECT_FALSE(holds(unquantized(), float_layer(layer_, tokens_, swapped)));
}

TEST_F(ReferenceInterval, HoldsTheFloatLayer) {
  const std::vector<float> output = float_layer(layer_, tokens_, trace_.routing);
  EXPECT_TRUE(holds(unquantized(), output)) << judge_output(unquantized(), output).text();
  EXPECT_TRUE(holds(either(), output));
  EXPECT_TRUE(holds(either(), trace_.output));
  // Each is outside the other's: quantization is not hidden in a wide bound.
  EXPECT_FALSE(holds(quantized(), output));
  EXPECT_FALSE(holds(unquantized(), trace_.output));
}

TEST_F(ReferenceInterval, FailsOnNaNAndOnTheWrongSize) {
  std::vector<float> output = trace_.output;
  output[300] = std::numeric_limits<float>::quiet_NaN();
  const Stage stage = judge_output(quantized(), output);
  EXPECT_EQ(stage.failed, 1);
  EXPECT_EQ(stage.row, 2);
  EXPECT_EQ(stage.column, 44);
  output.pop_back();
  EXPECT_EQ(judge_output(quantized(), output).problem, "there are 767 output values, not 6 x 128");
}

TEST_F(ReferenceInterval, DrawsTheLineAtTheRadius) {
  Interval interval{.tokens = 1, .hidden = 2, .centre = {1, -1}, .radius = {0.5, 0}};
  EXPECT_TRUE(holds(interval, {1.5F, -1}));
  EXPECT_TRUE(holds(interval, {0.5F, -1}));
  EXPECT_FALSE(holds(interval, {std::nextafter(1.5F, 2.0F), -1}));
  EXPECT_FALSE(holds(interval, {1, std::nextafter(-1.0F, 0.0F)}));
}

TEST_F(ReferenceInterval, NoTokens) {
  const Tokens none{0, 128, {}};
  const Interval interval = reference::layer_interval(layer_, none, reference::route(layer_, none));
  EXPECT_TRUE(interval.centre.empty());
  EXPECT_TRUE(holds(interval, {}));
}

}  // namespace
}  // namespace moesaic
