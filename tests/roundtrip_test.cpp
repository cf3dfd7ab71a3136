// Every pair of architecture and scheme that is published: made up, written, read, computed and judged.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/file_reader.hpp"
#include "checkpoint/layer_plan.hpp"
#include "checkpoint/safetensors.hpp"
#include "checkpoint/synth.hpp"
#include "engine/gpu.hpp"
#include "reference/layer.hpp"
#include "temporary_directory.hpp"

namespace moesaic {
namespace {

using checkpoint::Family;
using checkpoint::Published;
using checkpoint::Synth;

using Pair = std::pair<Family, Published>;

std::vector<Pair> pairs() {
  std::vector<Pair> result;
  for (const checkpoint::KnownModel& model : checkpoint::known_models()) {
    for (const Published scheme : checkpoint::published(model.family)) {
      const Pair pair(model.family, scheme);
      if (std::ranges::find(result, pair) == result.end()) result.push_back(pair);
    }
  }
  return result;
}

bool has_shared(Family family) {
  return family != Family::mixtral && family != Family::qwen3 && family != Family::gpt_oss;
}

Synth small(const Pair& pair, int hidden, int width) {
  const Shape shape{
      .experts = 8, .top_k = 2, .hidden = hidden, .width = width, .shared_width = has_shared(pair.first) ? width : 0};
  Synth synth{.family = pair.first, .scheme = pair.second, .shape = shape};
  if (pair.first == Family::deepseek_v3) {
    synth.groups = 4;
    synth.top_groups = 2;
  }
  return synth;
}

Layer written_and_read(const Synth& synth) {
  const TemporaryDirectory directory;
  checkpoint::synthesize(synth, directory / "model");
  return checkpoint::load_layer(checkpoint::open(directory / "model"), synth.layers - 1);
}

std::size_t empty_experts(const Routing& routing) {
  std::size_t empty = 0;
  for (std::size_t e = 0; e + 1 < routing.first.size(); ++e) empty += routing.first[e] == routing.first[e + 1] ? 1 : 0;
  return empty;
}

/// Runs it and holds every stage and the output to their bounds.
Trace run_and_judge(const Layer& layer, const Tokens& tokens, engine::Engine& engine) {
  Trace trace = engine.run(tokens, engine::Keep::trace);
  const reference::Judgement judgement = reference::judge(layer, tokens, trace);
  EXPECT_TRUE(judgement.passed()) << judgement.text();
  const reference::Stage output =
      reference::judge_output(reference::layer_interval(layer, tokens, trace.routing), trace.output);
  EXPECT_TRUE(output.passed()) << output.text();
  EXPECT_EQ(trace.output.size(), tokens.values.size());
  return trace;
}

Trace run_on_cpu(const Layer& layer, const Tokens& tokens) {
  return run_and_judge(layer, tokens, *engine::make_cpu_engine(layer));
}

/// Every token goes to the same expert: all logits are equal, and ties go to the lower index.
void send_all_to_one_expert(Layer& layer) {
  std::ranges::fill(layer.router.weight, 0.0F);
  layer.shape.top_k = 1;
}

class RoundTrip : public testing::TestWithParam<Pair> {};

TEST_P(RoundTrip, Width704WithFewAndNoTokens) {
  Layer layer = written_and_read(small(GetParam(), 160, 704));
  EXPECT_EQ(layer.shape.width, 704);
  const Tokens tokens = checkpoint::make_tokens(5, layer.shape.hidden, 3);
  run_on_cpu(layer, tokens);
  const Trace one = run_on_cpu(layer, checkpoint::make_tokens(1, layer.shape.hidden, 4));
  EXPECT_EQ(empty_experts(one.routing), 6U);
  EXPECT_TRUE(run_on_cpu(layer, checkpoint::make_tokens(0, layer.shape.hidden, 5)).output.empty());

  send_all_to_one_expert(layer);
  const Trace crowded = run_on_cpu(layer, tokens);
  EXPECT_EQ(empty_experts(crowded.routing), 7U);
}

TEST_P(RoundTrip, Width2880) {
  Synth synth = small(GetParam(), 64, 2880);
  synth.layers = 2;
  synth.seed = 9;
  const Layer layer = written_and_read(synth);
  EXPECT_EQ(layer.shape.width, 2880);
  run_on_cpu(layer, checkpoint::make_tokens(2, layer.shape.hidden, 6));
}

/// The checkpoint leaves the activations of MXFP4 weights open.
TEST(RoundTripMxfp4, WithMxfp8Activations) {
  const TemporaryDirectory directory;
  checkpoint::synthesize(small({Family::gpt_oss, Published::mxfp4}, 96, 2880), directory / "model");
  const checkpoint::Model model = checkpoint::open(directory / "model");
  const Layer layer = checkpoint::load_layer(checkpoint::plan_layer(model, 0, {.mxfp4_inputs = InputScheme::mxfp8}));
  EXPECT_EQ(layer.down.scheme, (Scheme{WeightScheme::mxfp4, InputScheme::mxfp8}));
  run_on_cpu(layer, checkpoint::make_tokens(3, layer.shape.hidden, 6));
}

std::string pair_name(const Pair& pair) {
  std::string name = std::string(checkpoint::title(pair.first)) + "_" + std::string(describe(pair.second).name);
  std::erase_if(name, [](char c) { return c == ' '; });
  std::ranges::replace_if(
      name, [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
}

std::string test_name(const testing::TestParamInfo<Pair>& info) {
  return pair_name(info.param);
}

INSTANTIATE_TEST_SUITE_P(Published, RoundTrip, testing::ValuesIn(pairs()), test_name);

TEST(RoundTripPairs, AreThoseOfTheTable) {
  EXPECT_EQ(pairs().size(), 4U + 9U + 4U * 7U + 5U + 4U);
}

/// FP8 by tensor, channel and token, static and dynamic, on an emulated GPU of compute capability 12.1.
class OnEmulatedCard : public testing::TestWithParam<Pair> {};

TEST_P(OnEmulatedCard, EveryStageIsRight) {
  device::Place place = device::parse_place("emulated:gb10");
  place.sms = 2;
  Layer layer = written_and_read(small(GetParam(), 144, 96));
  const Tokens tokens = checkpoint::make_tokens(9, layer.shape.hidden, 7);
  run_and_judge(layer, tokens, *engine::make_gpu_engine(layer, place));
  send_all_to_one_expert(layer);
  run_and_judge(layer, tokens, *engine::make_gpu_engine(layer, place));
  run_and_judge(layer, checkpoint::make_tokens(0, layer.shape.hidden, 8), *engine::make_gpu_engine(layer, place));
}

using Wanted = bool (*)(std::string_view name);

/// The tensors of the one model that are wanted and those of the other, in one file.
void write_tensors(const std::filesystem::path& file, const std::filesystem::path& first, Wanted of_first,
                   const std::filesystem::path& second, Wanted of_second) {
  std::vector<checkpoint::Tensor> tensors;
  std::vector<std::filesystem::path> files;
  for (const auto& [from, wanted] : {std::pair(first, of_first), std::pair(second, of_second)}) {
    for (const checkpoint::Tensor& tensor : checkpoint::read_header(from)) {
      if (!wanted(tensor.name)) continue;
      tensors.push_back(tensor);
      files.push_back(from);
    }
  }
  checkpoint::FileReader reader;
  checkpoint::SafetensorsWriter writer(file, tensors);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::vector<std::byte> bytes(tensors[i].end - tensors[i].begin);
    reader.read(files[i], tensors[i].begin, bytes, tensors[i].name);
    writer.append(tensors[i].name, bytes);
  }
  writer.finish();
}

/// What nobody publishes and compressed-tensors can say: channel weights with static activations, tensor weights with
/// dynamic ones, made of two checkpoints of one model.
TEST_P(OnEmulatedCard, GranularitiesCrossed) {
  const Family family = GetParam().first;
  if (GetParam().second == Published::fp8_modelopt) GTEST_SKIP() << "ModelOpt has tensor weights, static alone";
  const bool is_static = GetParam().second == Published::fp8_static;
  const TemporaryDirectory directory;
  const auto fixed = directory / "static";
  const auto dynamic = directory / "dynamic";
  checkpoint::synthesize(small({family, Published::fp8_static}, 144, 96), fixed);
  checkpoint::synthesize(small({family, Published::fp8_dynamic}, 144, 96), dynamic);
  const auto mixed = directory / "mixed";
  std::filesystem::create_directory(mixed);
  const Wanted scales = [](std::string_view name) { return name.ends_with(".input_scale"); };
  const Wanted others = [](std::string_view name) { return !name.ends_with(".input_scale"); };
  const Wanted none = [](std::string_view) { return false; };
  const std::string file = "model.safetensors";
  write_tensors(mixed / file, (is_static ? dynamic : fixed) / file, others, fixed / file, is_static ? scales : none);
  nlohmann::json config = nlohmann::json::parse(std::ifstream((is_static ? fixed : dynamic) / "config.json"));
  nlohmann::json& strategy = config["quantization_config"]["config_groups"]["group_0"]["weights"]["strategy"];
  EXPECT_EQ(strategy, is_static ? "tensor" : "channel");
  strategy = is_static ? "channel" : "tensor";
  write_file(mixed / "config.json", config.dump());

  const Layer layer = checkpoint::load_layer(checkpoint::open(mixed), 0);
  EXPECT_EQ(layer.gate_up.scheme.inputs, is_static ? InputScheme::fp8_static : InputScheme::fp8_token);
  const Tokens tokens = checkpoint::make_tokens(5, layer.shape.hidden, 7);
  run_on_cpu(layer, tokens);
  device::Place place = device::parse_place("emulated:gb10");
  place.sms = 2;
  run_and_judge(layer, tokens, *engine::make_gpu_engine(layer, place));
}

/// As `moesaic run` loads: codes go to the card in pieces, and the layer keeps none.
TEST(RoundTripCard, CodesThatArePutInPiecesGiveTheSameOutput) {
  device::Place place = device::parse_place("emulated:gb10");
  place.sms = 2;
  Layer layer = written_and_read(small({Family::qwen3, Published::fp8_dynamic}, 144, 96));
  const Tokens tokens = checkpoint::make_tokens(5, layer.shape.hidden, 7);
  const Trace whole = engine::make_gpu_engine(layer, place)->run(tokens, engine::Keep::output);

  auto card = std::make_unique<engine::CardWeights>(place, layer);
  for (const bool down : {true, false}) {
    Experts& experts = down ? layer.down : layer.gate_up;
    const std::span codes = std::as_bytes(std::span(experts.codes));
    const std::size_t piece = codes.size() / static_cast<std::size_t>(experts.experts);
    for (std::size_t first = 0; first < codes.size(); first += piece) {
      card->put(down, first, codes.subspan(first, piece));
    }
    experts.codes.clear();
  }
  const Trace pieces = engine::make_gpu_engine(layer, std::move(card))->run(tokens, engine::Keep::output);
  EXPECT_EQ(pieces.output, whole.output);
}

INSTANTIATE_TEST_SUITE_P(Fp8, OnEmulatedCard,
                         testing::ValuesIn(std::vector<Pair>{{Family::mixtral, Published::fp8_dynamic},
                                                             {Family::mixtral, Published::fp8_static},
                                                             {Family::mixtral, Published::fp8_modelopt},
                                                             {Family::qwen3, Published::fp8_dynamic},
                                                             {Family::qwen3, Published::fp8_static},
                                                             {Family::qwen3, Published::fp8_modelopt}}),
                         test_name);

}  // namespace
}  // namespace moesaic
