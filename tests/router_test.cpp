// The router's kernel against the reference, one test body for every card: emulated ones, and a real one where there is
// one. Logits within their bound; choice and weights judged from the kernel's own logits.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "engine/kernel_set.hpp"
#include "layer_kinds.hpp"
#include "reference/layer.hpp"

namespace moesaic {
namespace {

using namespace test;  // NOLINT: its names are this file's vocabulary
using engine::CardRouter;
using engine::CardRouting;
using engine::KernelSet;

std::vector<std::string> place_names() {
  std::vector<std::string> names{"emulated:gb10", "emulated:h200"};
  if (const device::BestPlace best = device::best_place(); best.place.kind == device::Place::Kind::gpu) {
    names.push_back(best.place.name());
  }
  return names;
}

/// A layer that is nothing but its router.
Layer router_layer(Random& random, int experts, int top_k, int hidden,
                   const std::function<void(Random&, Layer&)>& finish) {
  Layer layer;
  layer.shape = {experts, top_k, hidden, 0};
  layer.router.weight.resize(static_cast<std::size_t>(experts) * static_cast<std::size_t>(hidden));
  for (float& value : layer.router.weight) value = decode_bf16(encode_bf16(random.tailed() / 2));
  if (finish) finish(random, layer);
  return layer;
}

/// Gemma 4's, whose norm of the input is not the kernel's.
void with_expert_scales(Random& random, Layer& layer) {
  layer.router.expert_scale = random_floats(random, layer.shape.experts, 1, 0.5F);
}

void with_chosen_softmax(Random& random, Layer& layer) {
  layer.router.scoring = Scoring::chosen_softmax;
  layer.router.bias = random_floats(random, layer.shape.experts, 0, 1);
}

void with_groups_of_one(Random& random, Layer& layer) {
  as_glm(random, layer);
  layer.router.renormalize = false;
  if (layer.shape.experts > 32) return;
  layer.router.groups = layer.shape.experts;
  layer.router.top_groups = layer.shape.top_k;
}

void with_f32_weights(Random& random, Layer& layer) {
  for (float& value : layer.router.weight) value = random.tailed() / 2;
}

struct Kind {
  std::string name;
  std::function<void(Random&, Layer&)> finish;
};

std::vector<Kind> kinds() {
  return {{"softmax", nullptr},
          {"softmax_not_renormalized", without_renormalizing},
          {"expert_scales", with_expert_scales},
          {"chosen_softmax_with_bias", with_chosen_softmax},
          {"sigmoid_with_groups", as_deepseek},
          {"sigmoid_with_groups_of_one", with_groups_of_one},
          {"f32_weights", with_f32_weights}};
}

struct Outcome {
  Routing routing;
  std::vector<float> logits;

  bool operator==(const Outcome& other) const {
    const auto bits = [](const std::vector<float>& values) {
      std::vector<std::uint32_t> out;
      out.reserve(values.size());
      for (const float value : values) out.push_back(std::bit_cast<std::uint32_t>(value));
      return out;
    };
    return routing.expert == other.routing.expert && bits(routing.weight) == bits(other.routing.weight) &&
           routing.row == other.routing.row && routing.first == other.routing.first &&
           bits(logits) == bits(other.logits);
  }
};

/// A card that runs routers: one for all of a test, since it has the kernels to load.
class RouterCard {
 public:
  RouterCard(const std::string& name, std::uint64_t seed) : gpu_(place(name, seed)), kernels_(gpu_) {}

  /// `shape`: of the kernel, by default what the kernel set takes.
  Outcome run(const Layer& layer, const Tokens& tokens, std::optional<int> shape = {}, int launches = 1) {
    const CardRouter router(gpu_, layer);
    const device::Buffer x = gpu_.upload<std::uint16_t>(tokens.values);
    const CardRouting routing(gpu_, layer.shape, tokens.count);
    for (int launch = 0; launch < launches; ++launch) kernels_.route(router, x, routing, shape);
    gpu_.synchronize();
    return {routing.download(gpu_), routing.download_logits(gpu_)};
  }

  /// Every shape of the kernel is right, and all agree bit for bit.
  Outcome check(const Layer& layer, const Tokens& tokens) {
    Outcome outcome = run(layer, tokens, 0);
    for (const auto& logits : {outcome.logits, std::vector<float>{}}) {
      for (const reference::Stage& stage : reference::judge_routing(layer, tokens, outcome.routing, logits)) {
        EXPECT_TRUE(stage.passed()) << (logits.empty() ? "without logits: " : "") << stage.text();
      }
    }
    for (int shape = 1; shape < KernelSet::route_shapes(); ++shape) {
      EXPECT_TRUE(run(layer, tokens, shape) == outcome) << "shape " << shape;
    }
    return outcome;
  }

 private:
  static device::Place place(const std::string& name, std::uint64_t seed) {
    device::Place place = device::parse_place(name);
    place.sms = 3;
    place.seed = seed;
    place.checks = "all";
    return place;
  }

  device::Gpu gpu_;
  KernelSet kernels_;
};

class RouterTest : public testing::TestWithParam<std::string> {};

TEST_P(RouterTest, EveryKindOfRouter) {
  struct Sizes {
    int experts, top_k, hidden, tokens;
  };
  RouterCard card(GetParam(), 11);
  for (const Kind& kind : kinds()) {
    std::uint64_t seed = 0;
    for (const auto& [experts, top_k, hidden, tokens] :
         {Sizes{1, 1, 48, 3}, Sizes{8, 2, 272, 1}, Sizes{128, 8, 264, 3}, Sizes{160, 8, 64, 9}}) {
      SCOPED_TRACE(fmt::format("{}: {} experts, top {}, {} tokens", kind.name, experts, top_k, tokens));
      Random random(++seed);
      const Layer layer = router_layer(random, experts, top_k, hidden, kind.finish);
      card.check(layer, random_tokens(random, tokens, hidden));
    }
  }
}

TEST_P(RouterTest, ManyExpertsAndTokens) {
  const std::vector<Kind> all = kinds();
  RouterCard card(GetParam(), 7);
  // 65 tokens of 8 pairs are more than one pass of each warp of the sort.
  for (const auto& [experts, top_k, kind, tokens] :
       {std::tuple{256, 8, 4, 17}, std::tuple{512, 10, 0, 17}, std::tuple{512, 1, 3, 3}, std::tuple{32, 8, 0, 65}}) {
    SCOPED_TRACE(fmt::format("{}: {} experts", all[static_cast<std::size_t>(kind)].name, experts));
    Random random(7);
    const Layer layer = router_layer(random, experts, top_k, 40, all[static_cast<std::size_t>(kind)].finish);
    card.check(layer, random_tokens(random, tokens, 40));
  }
}

TEST_P(RouterTest, SeveralSeeds) {
  for (std::uint64_t seed = 21; seed < 24; ++seed) {
    Random random(seed);
    const Layer layer = router_layer(random, 40, 5, 264, as_deepseek);
    RouterCard(GetParam(), seed).check(layer, random_tokens(random, 20, 264));
  }
}

TEST_P(RouterTest, NoTokens) {
  Random random(31);
  const Layer layer = router_layer(random, 512, 4, 64, nullptr);
  const Outcome outcome = RouterCard(GetParam(), 31).check(layer, random_tokens(random, 0, 64));
  EXPECT_EQ(outcome.routing.first, std::vector<std::int32_t>(513, 0));
}

TEST_P(RouterTest, AllTokensOnOneExpert) {
  Random random(41);
  RouterCard card(GetParam(), 41);
  for (const int top_k : {1, 3}) {
    Layer layer = router_layer(random, 96, top_k, 64, nullptr);
    Tokens tokens = random_tokens(random, 64, 64);
    for (std::size_t e = 0; e < 96; ++e) layer.router.weight[e * 64] = e == 77 ? 100.0F : 0.0F;
    for (std::size_t t = 0; t < 64; ++t) tokens.values[t * 64] = encode_bf16(1);
    const Outcome outcome = card.check(layer, tokens);
    EXPECT_EQ(outcome.routing.first[78] - outcome.routing.first[77], 64);
  }
}

/// Equal rows of the router, far apart in the matrix, and a token of zeros, which all experts like equally.
TEST_P(RouterTest, TiesGoToTheLowerIndex) {
  RouterCard card(GetParam(), 51);
  for (const Kind& kind :
       {Kind{"softmax", nullptr},
        Kind{"chosen", [](Random&, Layer& layer) { layer.router.scoring = Scoring::chosen_softmax; }},
        Kind{"sigmoid", [](Random&, Layer& layer) {
               layer.router.scoring = Scoring::sigmoid;
               layer.router.groups = 8;
               layer.router.top_groups = 2;
             }}}) {
    SCOPED_TRACE(kind.name);
    Random random(51);
    const int hidden = 296;
    Layer layer = router_layer(random, 160, 6, hidden, kind.finish);
    // 20 different rows, each of them eight times: expert e has row e % 20.
    for (std::size_t i = 20 * static_cast<std::size_t>(hidden); i < layer.router.weight.size(); ++i) {
      layer.router.weight[i] = layer.router.weight[i - 20 * static_cast<std::size_t>(hidden)];
    }
    Tokens tokens = random_tokens(random, 7, hidden);
    std::fill_n(tokens.values.begin(), hidden, static_cast<std::uint16_t>(0));
    const Outcome outcome = card.check(layer, tokens);
    for (std::size_t t = 0; t < 7; ++t) {
      for (std::size_t e = 20; e < 160; ++e) {
        ASSERT_EQ(outcome.logits[t * 160 + e], outcome.logits[t * 160 + e % 20]) << "token " << t << " expert " << e;
      }
    }
    const bool in_groups = layer.router.scoring == Scoring::sigmoid;
    for (int j = 0; j < 6; ++j) {
      const auto slot = static_cast<std::size_t>(j);
      EXPECT_EQ(outcome.routing.expert[slot], j) << "the token of zeros";
      // The best row is that of six equal experts, or of the two in the groups that stay.
      const int distance = outcome.routing.expert[6 + slot] - outcome.routing.expert[6];
      if (!in_groups || j < 2) {
        EXPECT_EQ(distance, 20 * j);
      }
    }
  }
}

TEST_P(RouterTest, ATokenAloneAndInABatchHasTheSameBits) {
  Random random(61);
  const int hidden = 320;
  const Layer layer = router_layer(random, 64, 4, hidden, nullptr);
  const Tokens batch = random_tokens(random, 34, hidden);
  RouterCard card(GetParam(), 61);
  const Outcome all = card.run(layer, batch);
  for (const int token : {0, 15, 16, 33}) {
    Tokens alone{1, hidden, {}};
    alone.values.assign(batch.values.begin() + token * hidden, batch.values.begin() + (token + 1) * hidden);
    const Outcome one = card.run(layer, alone);
    for (std::size_t e = 0; e < 64; ++e) {
      ASSERT_EQ(one.logits[e], all.logits[static_cast<std::size_t>(token) * 64 + e]) << "token " << token;
    }
    for (std::size_t j = 0; j < 4; ++j) {
      ASSERT_EQ(one.routing.weight[j], all.routing.weight[static_cast<std::size_t>(token) * 4 + j]);
    }
  }
}

TEST_P(RouterTest, ALaunchLeavesItsCountersAsItFoundThem) {
  Random random(81);
  const Layer layer = router_layer(random, 32, 4, 64, nullptr);
  const Tokens tokens = random_tokens(random, 33, 64);
  RouterCard card(GetParam(), 81);
  EXPECT_TRUE(card.run(layer, tokens, {}, 3) == card.run(layer, tokens));
}

TEST_P(RouterTest, LogitsFarApartAndWeightsThatVanish) {
  Random random(71);
  RouterCard card(GetParam(), 71);
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    Layer layer = router_layer(random, 32, 4, 64, kind.finish);
    for (float& value : layer.router.weight) value *= 64;  // a power of two: still exact
    card.check(layer, random_tokens(random, 5, 64));
  }
}

TEST(Router, SizesThatTheKernelDoesNotTakeAreSaid) {
  Layer layer;
  layer.shape = {513, 4, 64, 0};
  EXPECT_EQ(KernelSet::why_not_routed(layer), "experts 513 is above 512, the router's most");
  layer.shape = {64, 33, 64, 0};
  EXPECT_EQ(KernelSet::why_not_routed(layer), "top_k 33 is above 32, the router's most");
  layer.shape = {64, 4, 60, 0};
  EXPECT_EQ(KernelSet::why_not_routed(layer), "hidden 60 is not a multiple of 8: a lane takes 8 values");
  layer.shape = {64, 4, 64, 0};
  layer.router.groups = 64;
  EXPECT_EQ(KernelSet::why_not_routed(layer), "groups 64 is above 32, the router's most");
  layer.router.groups = 1;
  EXPECT_EQ(KernelSet::why_not_routed(layer), "");
}

INSTANTIATE_TEST_SUITE_P(Cards, RouterTest, testing::ValuesIn(place_names()), [](const auto& instance) {
  std::string name = instance.param;
  std::replace(name.begin(), name.end(), ':', '_');
  return name;
});

}  // namespace
}  // namespace moesaic
