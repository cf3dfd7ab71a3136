#include "checkpoint/synth.hpp"

#include <gtest/gtest.h>

#include <algorithm>
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
                             Shape{4, 2, 32, 8}, Shape{4, 2, 32, -16}}) {
    EXPECT_THROW(synthesize({.shape = shape}, directory_ / "x"), Error);
    EXPECT_FALSE(std::filesystem::exists(directory_ / "x"));
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
      for (std::size_t e = 0; e < 8; ++e) logits[e] += x * static_cast<double>(decode_bf16(layer.router[e * 256 + h]));
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
