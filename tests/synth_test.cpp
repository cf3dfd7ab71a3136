#include "checkpoint/synth.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "checkpoint/checkpoint.hpp"
#include "spec/error.hpp"
#include "temporary_directory.hpp"

namespace moesaic::checkpoint {
namespace {

const Synth kTiny{.shape = {.experts = 4, .top_k = 2, .hidden = 32, .width = 48}, .layers = 2, .seed = 7};

class MadeUp : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  std::filesystem::path model_ = directory_ / "model";
};

TEST_F(MadeUp, DependsOnTheSeedAlone) {
  synthesize(kTiny, model_);
  synthesize(kTiny, directory_ / "same");
  Synth other = kTiny;
  other.seed = 8;
  synthesize(other, directory_ / "other");
  const std::string first = read_file(model_ / "model.safetensors");
  EXPECT_EQ(read_file(directory_ / "same" / "model.safetensors"), first);
  EXPECT_NE(read_file(directory_ / "other" / "model.safetensors"), first);
  EXPECT_EQ(make_tokens(3, 64, 1).values, make_tokens(3, 64, 1).values);
  EXPECT_NE(make_tokens(3, 64, 1).values, make_tokens(3, 64, 2).values);
}

TEST_F(MadeUp, NothingIsOverwrittenUnasked) {
  synthesize(kTiny, model_);
  Synth other = kTiny;
  other.seed = 8;
  const std::string before = read_file(model_ / "model.safetensors");
  write_file(model_ / "mine.txt", "mine");
  EXPECT_THROW(synthesize(other, model_), Error);
  EXPECT_EQ(read_file(model_ / "model.safetensors"), before);
  other.replace = true;
  synthesize(other, model_);
  EXPECT_NE(read_file(model_ / "model.safetensors"), before);
  EXPECT_EQ(read_file(model_ / "mine.txt"), "mine");
  EXPECT_NO_THROW(load_layer(open(model_), 1));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(model_), {}), 3) << "no partial files are left";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
  std::filesystem::create_directory(directory_ / "empty");
  synthesize(kTiny, directory_ / "empty/");
  EXPECT_EQ(read_file(directory_ / "empty" / "model.safetensors"), before);
}

TEST_F(MadeUp, ShapesThatCannotBeAreRefused) {
  for (const Shape& shape : {Shape{0, 1, 32, 32}, Shape{4, 5, 32, 32}, Shape{4, 0, 32, 32}, Shape{4, 2, 40, 32},
                             Shape{4, 2, 32, 8}, Shape{4, 2, 32, -16}, Shape{4, 2, 32, 32, 32}}) {
    EXPECT_THROW(synthesize({.shape = shape}, directory_ / "x"), Error);
    EXPECT_FALSE(std::filesystem::exists(directory_ / "x"));
  }
}

TEST_F(MadeUp, PairsThatAreNotPublishedAreRefusedWithThoseThatAre) {
  Synth synth = kTiny;
  synth.scheme = Published::mxfp4;
  try {
    synthesize(synth, model_);
    FAIL() << "Qwen3 is not published as MXFP4";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()),
              "Qwen3-MoE is not published as mxfp4; it is as bf16, fp8-dynamic, fp8-static, fp8-modelopt, fp8-block, "
              "fp8-block-ct, nvfp4, nvfp4-a16, nvfp4-modelopt");
  }
}

/// A seed is one model, whatever it is stored as: values differ by what the scheme rounds, and no more.
TEST_F(MadeUp, EverySchemeStoresTheSameWeights) {
  synthesize({.scheme = Published::bf16, .shape = kTiny.shape}, directory_ / "bf16");
  const Layer exact = load_layer(open(directory_ / "bf16"), 0);
  synthesize({.scheme = Published::fp8_dynamic, .shape = kTiny.shape}, directory_ / "fp8");
  const Layer fp8 = load_layer(open(directory_ / "fp8"), 0);
  EXPECT_EQ(fp8.router.weight, exact.router.weight);
  for (std::size_t i = 0; i < fp8.down.codes.size(); ++i) {
    const auto bits = static_cast<std::uint16_t>(exact.down.codes[2 * i] | (exact.down.codes[2 * i + 1] << 8));
    const float scale = fp8.down.scales[i / static_cast<std::size_t>(kTiny.shape.width)];
    const float want = decode_bf16(bits);
    EXPECT_NEAR(decode_e4m3(fp8.down.codes[i]) * scale, want, std::abs(want) / 16 + scale * 0x1p-10F) << i;
  }
}

TEST_F(MadeUp, AnotherSchemeLeavesNothingOfTheFirst) {
  synthesize({.scheme = Published::nvfp4_modelopt, .shape = kTiny.shape}, model_);
  EXPECT_TRUE(std::filesystem::exists(model_ / "hf_quant_config.json"));
  synthesize({.scheme = Published::fp8_static, .shape = kTiny.shape, .replace = true}, model_);
  EXPECT_FALSE(std::filesystem::exists(model_ / "hf_quant_config.json"));
  EXPECT_EQ(load_layer(open(model_), 0).down.scheme, (Scheme{WeightScheme::fp8_channel, InputScheme::fp8_static}));
}

TEST_F(MadeUp, ItsSizeIsKnownBefore) {
  for (const KnownModel& model : known_models()) {
    for (const Published scheme : published(model.family)) {
      Synth synth{.family = model.family, .scheme = scheme, .shape = kTiny.shape};
      synth.shape.width = 64;
      synth.shape.shared_width = model.shape.shared_width == 0 ? 0 : 64;
      synth.replace = true;
      std::uint64_t last = 0;
      synthesize(synth, model_, [&](std::uint64_t done, std::uint64_t total) {
        EXPECT_EQ(total, stored_layer_bytes(synth));
        last = done;
      });
      EXPECT_EQ(last, stored_layer_bytes(synth));
    }
  }
}

/// What the claims of synth.hpp about its data rest on: heavy tails, outlier channels, and a router with favourites.
TEST_F(MadeUp, LooksLikeRealOnes) {
  synthesize({.shape = {.experts = 8, .top_k = 2, .hidden = 256, .width = 64}}, directory_ / "m");
  const Layer layer = load_layer(open(directory_ / "m"), 0);
  const Tokens tokens = make_tokens(256, 256, 1);
  std::vector<double> square(256, 0.0);
  std::vector<int> load(8, 0);
  for (int t = 0; t < tokens.count; ++t) {
    std::vector<double> logits(8, 0.0);
    for (std::size_t h = 0; h < 256; ++h) {
      const double x = static_cast<double>(decode_bf16(tokens.values[static_cast<std::size_t>(t) * 256 + h]));
      square[h] += x * x;
      for (std::size_t e = 0; e < 8; ++e) logits[e] += x * static_cast<double>(layer.router.weight[e * 256 + h]);
    }
    ++load[static_cast<std::size_t>(std::ranges::max_element(logits) - logits.begin())];
  }
  EXPECT_GT(*std::ranges::max_element(load), 2 * 256 / 8) << "a favourite";
  EXPECT_GT(std::ranges::count_if(load, [](int n) { return n > 0; }), 2) << "and not only one";
  std::ranges::sort(square);
  EXPECT_GT(square.back(), 30 * square[128]) << "outlier channels";
  const auto largest_code = std::ranges::count_if(layer.down.codes, [](std::uint8_t c) { return (c & 0x7f) == 0x7e; });
  EXPECT_GE(largest_code, 8 * 256 / 2) << "channel scales reach for the largest code";
}

}  // namespace
}  // namespace moesaic::checkpoint
