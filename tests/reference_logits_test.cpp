// The router's own logits: what is further from the sum than its bound is found, and the choice is judged by them.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>

#include "plain_engine.hpp"
#include "reference/layer.hpp"
#include "reference/router.hpp"

namespace moesaic {
namespace {

using reference::Bounded;

constexpr int kExperts = 24;
constexpr int kHidden = 712;  // 89 runs of 8: chains of two and of three

class ReferenceLogits : public testing::Test {
 protected:
  ReferenceLogits() {
    for (int token = 0; token < tokens_.count; ++token) {
      const std::vector<Bounded> some = reference::logits_of(layer_, tokens_, token, reference::Order::chains);
      want_.insert(want_.end(), some.begin(), some.end());
    }
    for (const Bounded& logit : want_) logits_.push_back(static_cast<float>(logit.value));
    weigh();
  }

  /// Sets the weights to those of the engine's own logits.
  void weigh() {
    for (std::size_t token = 0; token < 6; ++token) {
      const auto share = [&](std::size_t slot) {
        const auto expert = static_cast<std::size_t>(routing_.expert[token * 3 + slot]);
        return std::exp(static_cast<double>(logits_[token * kExperts + expert]) - want_[token * kExperts].value);
      };
      const double sum = share(0) + share(1) + share(2);
      for (std::size_t j = 0; j < 3; ++j) routing_.weight[token * 3 + j] = static_cast<float>(share(j) / sum);
    }
  }

  std::string first_failure() const {
    const reference::Judgement judgement{reference::judge_routing(layer_, tokens_, routing_, logits_)};
    return judgement.passed() ? "" : judgement.first_failure()->name;
  }

  /// A logit as an engine computes it in f32: 32 chains, or a plain loop; the run of 8 h `without` is left out.
  float chained(std::size_t token, std::size_t expert, int without = -1) const {
    std::array<float, 32> chains{};
    for (std::size_t h = 0; h < kHidden; ++h) {
      const std::size_t run = h / 8;
      if (static_cast<int>(run) == without) continue;
      chains[run % 32] = std::fma(decode_bf16(tokens_.values[token * kHidden + h]),
                                  layer_.router.weight[expert * kHidden + h], chains[run % 32]);
    }
    for (std::size_t apart = 16; apart > 0; apart /= 2) {
      for (std::size_t i = 0; i < apart; ++i) chains[i] += chains[i + apart];
    }
    return chains[0];
  }

  std::uint64_t seed_ = std::random_device{}();
  testing::ScopedTrace print_seed_{__FILE__, __LINE__, "seed " + std::to_string(seed_)};
  test::Random random_{seed_};
  Layer layer_ = test::random_layer(random_, {.experts = kExperts, .top_k = 3, .hidden = kHidden, .width = 16});
  Tokens tokens_ = test::random_tokens(random_, 6, kHidden);
  Routing routing_ = reference::route(layer_, tokens_);
  std::vector<Bounded> want_;  ///< [tokens, experts]
  std::vector<float> logits_;  ///< [tokens, experts]
};

TEST_F(ReferenceLogits, ThoseOfChainsAreWithinTheirBound) {
  double worst = 0;
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    const auto got = static_cast<double>(chained(i / kExperts, i % kExperts));
    ASSERT_TRUE(std::abs(got - want_[i].value) <= want_[i].bound) << "logit " << i;
    worst = std::max(worst, std::abs(got - want_[i].value) / want_[i].bound);
  }
  EXPECT_GT(worst, 0.005);  // the bound is one of this sum and not of any
}

TEST_F(ReferenceLogits, OneAsWrongAsItMayBePassesAndOneThatIsWorseDoesNot) {
  EXPECT_EQ(first_failure(), "");
  const auto at = static_cast<std::size_t>(random_.below(6 * kExperts));
  for (const double sign : {1.0, -1.0}) {
    logits_[at] = static_cast<float>(want_[at].value + 0.9 * sign * want_[at].bound);
    EXPECT_NE(first_failure(), "logits");
    logits_[at] = static_cast<float>(want_[at].value + 1.2 * sign * want_[at].bound);
    EXPECT_EQ(first_failure(), "logits");
  }
}

TEST_F(ReferenceLogits, OneWithoutOneOfItsRunsIsFound) {
  const auto at = static_cast<std::size_t>(random_.below(6 * kExperts));
  logits_[at] = chained(at / kExperts, at % kExperts, random_.below(kHidden / 8));
  EXPECT_EQ(first_failure(), "logits");
}

TEST_F(ReferenceLogits, OneThatIsNotANumberIsFound) {
  logits_[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(first_failure(), "logits");
}

TEST_F(ReferenceLogits, ThatAreMissingAreFound) {
  logits_.pop_back();
  EXPECT_EQ(first_failure(), "logits");
}

/// Two experts so close that without logits of its own either choice is right: with them only the better one is.
TEST_F(ReferenceLogits, TheChoiceIsTheirsAndNotOneWithinTheError) {
  const auto best = static_cast<std::size_t>(routing_.expert[0]);
  const auto second = static_cast<std::size_t>(routing_.expert[1]);
  std::copy_n(layer_.router.weight.begin() + static_cast<std::ptrdiff_t>(best * kHidden), kHidden,
              layer_.router.weight.begin() + static_cast<std::ptrdiff_t>(second * kHidden));
  // The second expert's row differs where the token is next to nothing.
  tokens_.values[0] = encode_bf16(0x1p-60F);
  layer_.router.weight[second * kHidden] += 1;
  logits_.clear();
  for (std::size_t i = 0; i < want_.size(); ++i) logits_.push_back(chained(i / kExperts, i % kExperts));
  logits_[second] = std::nextafter(logits_[best], 100.0F);
  Routing routing = reference::route(layer_, tokens_);
  ASSERT_EQ(routing.expert[0] + routing.expert[1], routing_.expert[0] + routing_.expert[1]);
  for (const bool better_first : {true, false}) {
    routing_ = routing;
    routing_.expert[0] = static_cast<std::int32_t>(better_first ? second : best);
    routing_.expert[1] = static_cast<std::int32_t>(better_first ? best : second);
    std::swap(routing_.row[0], routing_.row[1]);
    if (routing_.expert[0] == routing.expert[0]) routing_.row = routing.row;
    weigh();
    EXPECT_EQ(first_failure(), better_first ? "" : "routing");
    EXPECT_TRUE(reference::Judgement{reference::judge_routing(layer_, tokens_, routing_)}.passed());
  }
}

/// Tokens so large that a logit may be off by hundreds: any weight may be any share then, and no bound is NaN.
TEST_F(ReferenceLogits, WeightsAreJudgedHoweverLargeTheLogitsAre) {
  for (std::size_t i = 0; i < tokens_.values.size(); ++i) tokens_.values[i] = encode_bf16(i % 2 == 0 ? 1e8F : -1e8F);
  for (const Scoring scoring : {Scoring::softmax, Scoring::chosen_softmax, Scoring::sigmoid}) {
    for (const bool renormalize : {true, false}) {
      layer_.router.scoring = scoring;
      layer_.router.renormalize = renormalize;
      const Routing routing = reference::route(layer_, tokens_);
      const reference::Judgement judgement{reference::judge_routing(layer_, tokens_, routing)};
      EXPECT_TRUE(judgement.passed()) << static_cast<int>(scoring) << " " << renormalize;
    }
  }
}

}  // namespace
}  // namespace moesaic
