// A checkpoint that llm-compressor wrote, and what transformers and compressed-tensors compute on it
// (fixtures/transformers/make.py): the tight form of the comparison, each computation against its own interval.

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/npy.hpp"
#include "engine/engine.hpp"
#include "reference/layer.hpp"

namespace moesaic {
namespace {

const std::filesystem::path kFixture = std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/transformers";

class Transformers : public testing::Test {
 protected:
  Layer layer_ = checkpoint::load_layer(checkpoint::open(kFixture / "model"), 1);
  Tokens tokens_ = checkpoint::read_tokens(kFixture / "hidden.npy");
  Trace trace_ = engine::make_cpu_engine(layer_)->run(tokens_, engine::Keep::trace);
};

TEST_F(Transformers, BlockInFloatLiesWithinTheRoundoffOfItsWeightsAndOurs) {
  const auto theirs = checkpoint::read_npy(kFixture / "output.npy");
  const auto interval = reference::unquantized_interval(layer_, tokens_, trace_.routing);
  const reference::Stage stage = reference::judge_output(interval, theirs.values);
  EXPECT_TRUE(stage.passed()) << stage.text();
  EXPECT_EQ(stage.compared, 24 * 128);
  // The interval is narrow: quantized activations fall outside.
  EXPECT_FALSE(reference::judge_output(interval, trace_.output).passed());
}

TEST_F(Transformers, CpuEngineIsRightOnIt) {
  const reference::Judgement judgement = reference::judge(layer_, tokens_, trace_);
  EXPECT_TRUE(judgement.passed()) << judgement.text();
  const auto interval = reference::layer_interval(layer_, tokens_, trace_.routing);
  const reference::Stage stage = reference::judge_output(interval, trace_.output);
  EXPECT_TRUE(stage.passed()) << stage.text();
}

TEST_F(Transformers, CompressedTensorsQuantizesTokensToTheSameScalesAndCodes) {
  const auto scales = checkpoint::read_npy(kFixture / "x_scales.npy");
  const auto values = checkpoint::read_npy(kFixture / "x_codes.npy");
  const auto hidden = static_cast<std::size_t>(tokens_.hidden);
  const auto top_k = static_cast<std::size_t>(layer_.shape.top_k);
  for (std::size_t token = 0; token < static_cast<std::size_t>(tokens_.count); ++token) {
    const auto row = static_cast<std::size_t>(trace_.routing.row[token * top_k]);
    EXPECT_EQ(trace_.x_scales[row], scales.values[token]);
    for (std::size_t k = 0; k < hidden; ++k) {
      EXPECT_EQ(decode_e4m3(trace_.x_codes[row * hidden + k]), values.values[token * hidden + k]);
    }
  }
}

}  // namespace
}  // namespace moesaic
