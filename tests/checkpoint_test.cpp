#include "checkpoint/checkpoint.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "checkpoint/npy.hpp"
#include "checkpoint/synth.hpp"
#include "mentions.hpp"
#include "safetensors_parts.hpp"
#include "spec/error.hpp"
#include "temporary_directory.hpp"

namespace moesaic::checkpoint {
namespace {

using Json = nlohmann::json;
using Parts = SafetensorsParts;

const Synth kTiny{.shape = {.experts = 4, .top_k = 2, .hidden = 32, .width = 48}, .layers = 2, .seed = 7};
const std::string kGate = "model.layers.1.mlp.experts.2.gate_proj.weight";

class Checkpoint : public ::testing::Test {
 protected:
  void SetUp() override { synthesize(kTiny, model_); }

  /// What opening and loading layer 1 complains about after a change of the file; empty when it does not.
  std::string after(const std::function<void(Parts&)>& change) {
    Parts parts = Parts::of(model_ / "model.safetensors");
    const Parts original = parts;
    change(parts);
    parts.write(model_ / "model.safetensors");
    std::string result = complaint();
    original.write(model_ / "model.safetensors");
    return result;
  }

  std::string after_config(const std::function<void(Json&)>& change) {
    const std::string original = read_file(model_ / "config.json");
    Json config = Json::parse(original);
    change(config);
    write_file(model_ / "config.json", config.dump());
    std::string result = complaint();
    write_file(model_ / "config.json", original);
    return result;
  }

  std::string complaint() {
    try {
      load_layer(open(model_), 1);
    } catch (const Error& e) {
      EXPECT_TRUE(mentions(e.what(), {model_.string()}));
      return e.what();
    }
    return "";
  }

  /// Splits model.safetensors in two and writes the index.
  void shard() {
    const Parts all = Parts::of(model_ / "model.safetensors");
    Parts shards[2];
    Json map;
    int count = 0;
    for (const auto& [name, entry] : all.header.items()) {
      if (name == "__metadata__") continue;
      const int which = count++ % 2;
      shards[which].append(name, entry["dtype"], entry["shape"], all.data.substr(all.begin(name), all.size(name)));
      map[name] = which == 0 ? "a.safetensors" : "b.safetensors";
    }
    shards[0].write(model_ / "a.safetensors");
    shards[1].write(model_ / "b.safetensors");
    write_index(map);
    std::filesystem::remove(model_ / "model.safetensors");
  }

  void write_index(const Json& map) {
    write_file(model_ / "model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  }
  Json index_map() { return Json::parse(read_file(model_ / "model.safetensors.index.json"))["weight_map"]; }

  TemporaryDirectory directory_;
  std::filesystem::path model_ = directory_ / "model";
};

TEST_F(Checkpoint, MadeUpModelIsRead) {
  const Model model = open(model_);
  EXPECT_EQ(model.config.architecture->title, "Qwen3-MoE");
  EXPECT_EQ(model.config.outline.shape.experts, 4);
  EXPECT_EQ(model.config.outline.shape.top_k, 2);
  EXPECT_EQ(model.config.outline.shape.hidden, 32);
  EXPECT_EQ(model.config.outline.shape.width, 48);
  EXPECT_EQ(model.config.layer_count, 2);
  EXPECT_EQ(model.config.moe_layers, (std::vector<int>{0, 1}));
  const Layer layer = load_layer(model, 1);
  EXPECT_EQ(layer.name, "model.layers.1.mlp");
  EXPECT_TRUE(layer.router.renormalize);

  // Every byte is where it belongs.
  const Parts parts = Parts::of(model_ / "model.safetensors");
  const auto expect_codes = [&](const Experts& in, int expert, int row, const std::string& projection) {
    const std::string name = "model.layers.1.mlp.experts." + std::to_string(expert) + "." + projection + "_proj.weight";
    const auto rows = parts.header.at(name)["shape"][0].get<std::size_t>();
    const auto first =
        static_cast<std::size_t>(expert) * static_cast<std::size_t>(in.rows) + static_cast<std::size_t>(row);
    const std::size_t at = first * static_cast<std::size_t>(in.cols);
    ASSERT_LE(at + parts.size(name), in.codes.size());
    EXPECT_EQ(std::memcmp(in.codes.data() + at, parts.data.data() + parts.begin(name), parts.size(name)), 0) << name;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint16_t scale = 0;
      std::memcpy(&scale, parts.data.data() + parts.begin(name + "_scale") + 2 * r, sizeof scale);
      EXPECT_EQ(in.scales[first + r], decode_bf16(scale)) << name << ' ' << r;
    }
  };
  for (int e = 0; e < 4; ++e) {
    expect_codes(layer.gate_up, e, 0, "gate");
    expect_codes(layer.gate_up, e, 48, "up");
    expect_codes(layer.down, e, 0, "down");
  }
  const std::string router = "model.layers.1.mlp.gate.weight";
  ASSERT_EQ(layer.router.weight.size(), 4U * 32U);
  for (std::size_t i = 0; i < layer.router.weight.size(); ++i) {
    std::uint16_t weight = 0;
    std::memcpy(&weight, parts.data.data() + parts.begin(router) + 2 * i, sizeof weight);
    EXPECT_EQ(layer.router.weight[i], decode_bf16(weight)) << i;
  }
}

TEST_F(Checkpoint, ProgressEndsAtTheTotal) {
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  load_layer(open(model_), 0, [&](std::uint64_t d, std::uint64_t t) {
    EXPECT_GT(d, done);
    done = d;
    total = t;
  });
  EXPECT_EQ(done, total);
  EXPECT_GT(total, 0U);
}

TEST_F(Checkpoint, LayersWithoutExpertsAreNamed) {
  const Model model = open(model_);
  for (const int index : {-1, 2}) {
    try {
      load_layer(model, index);
      ADD_FAILURE() << index;
    } catch (const Error& e) {
      EXPECT_TRUE(mentions(e.what(), {"has no experts", "0, 1"}));
    }
  }
}

TEST_F(Checkpoint, TensorsAreChecked) {
  EXPECT_EQ(after([](Parts&) {}), "") << "the change itself does no harm";
  EXPECT_TRUE(
      mentions(after([](Parts& p) { p.rename(kGate + "_scale", "x"); }), {kGate + "_scale", "is missing", "[48, 1]"}));
  EXPECT_TRUE(mentions(after([](Parts& p) { p.rename(kGate, "x"); }), {kGate, "is missing", "F8_E4M3 [48, 32]"}));
  EXPECT_TRUE(mentions(after([](Parts& p) { p.header[kGate]["dtype"] = "I8"; }), {kGate, "is I8", "must be F8_E4M3"}));
  EXPECT_TRUE(mentions(after([](Parts& p) {
                         p.header[kGate]["shape"] = {32, 48};
                       }),
                       {kGate, "F8_E4M3 [32, 48], must be"}));
  EXPECT_TRUE(mentions(after([](Parts& p) {
                         p.header[kGate + "_scale"]["shape"] = {1, 48};
                       }),
                       {"_scale is BF16 [1, 48]"}));
  EXPECT_TRUE(mentions(after([](Parts& p) { p.header[kGate]["data_offsets"][1] = 1U << 30; }), {kGate, "span"}));
  EXPECT_TRUE(mentions(after([](Parts& p) { p.data.pop_back(); }), {"truncated"}));
  EXPECT_TRUE(mentions(
      after([](Parts& p) { p.append("model.layers.1.mlp.experts.2.gate_proj.input_scale", "BF16", {1}, "xx"); }),
      {"gate_proj.input_scale", "no meaning"}));
  EXPECT_EQ(after([](Parts& p) { p.append("model.layers.10.mlp.x", "BF16", {1}, "xx"); }), "") << "another layer";
}

TEST_F(Checkpoint, ValuesAreChecked) {
  EXPECT_TRUE(mentions(after([](Parts& p) { p.put<std::uint8_t>(kGate, 33, 0x7f); }), {kGate, "NaN at [1, 1]"}));
  EXPECT_TRUE(mentions(after([](Parts& p) { p.put<std::uint8_t>(kGate, 0, 0xff); }), {kGate, "NaN at [0, 0]"}));
  for (const float scale : {0.0F, -0.0F, INFINITY, -INFINITY, NAN, -1.0F}) {
    EXPECT_TRUE(mentions(after([&](Parts& p) { p.put(kGate + "_scale", 47, encode_bf16(scale)); }),
                         {kGate + "_scale", "at [47, 0]", "positive"}))
        << scale;
  }
  EXPECT_EQ(after([](Parts& p) { p.put<std::uint16_t>(kGate + "_scale", 0, 0x0001); }), "") << "subnormal is positive";
  EXPECT_TRUE(mentions(after([](Parts& p) { p.put<std::uint16_t>("model.layers.1.mlp.gate.weight", 3, 0x7f80); }),
                       {"mlp.gate.weight", "finite"}));
}

TEST_F(Checkpoint, ScalesAndRouterMayBeFloat32) {
  const auto floats = [](std::size_t count, float value) {
    std::string bytes;
    for (std::size_t i = 0; i < count; ++i) bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return bytes;
  };
  const auto replace = [&](Parts& p, const std::string& name, const std::vector<int>& shape, std::size_t count,
                           float value) {
    p.rename(name, "unused");
    p.append(name, "F32", shape, floats(count, value));
  };
  EXPECT_EQ(after([&](Parts& p) { replace(p, kGate + "_scale", {48, 1}, 48, 0.1F); }), "");
  const std::string router = "model.layers.1.mlp.gate.weight";
  EXPECT_EQ(after([&](Parts& p) { replace(p, router, {4, 32}, 128, 0.5F); }), "");
  EXPECT_EQ(after([&](Parts& p) { replace(p, router, {4, 32}, 128, 0.1F); }), "");
}

TEST_F(Checkpoint, ConfigurationIsChecked) {
  EXPECT_EQ(after_config([](Json&) {}), "");
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["model_type"] = "llama"; }),
                       {"config.json: model_type", "llama", "qwen3_moe", "gpt_oss"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c.erase("model_type"); }), {"model_type", "missing"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["hidden_act"] = "gelu"; }), {"hidden_act", "silu"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["hidden_size"] = "32"; }), {"hidden_size", "\"32\"", "integer"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["hidden_size"] = 32.5; }), {"hidden_size", "integer"}));
  EXPECT_TRUE(
      mentions(after_config([](Json& c) { c["moe_intermediate_size"] = 0; }), {"moe_intermediate_size", "from 1"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["moe_intermediate_size"] = 1ULL << 63; }),
                       {"moe_intermediate_size", "from 1"}));
  EXPECT_TRUE(
      mentions(after_config([](Json& c) { c["num_experts_per_tok"] = 5; }), {"num_experts_per_tok", "from 1 to 4"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c.erase("num_experts"); }), {"num_experts", "missing"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["num_local_experts"] = 8; }), {"num_local_experts", "must agree"}));
  EXPECT_EQ(after_config([](Json& c) {
              c.erase("num_experts");
              c["num_local_experts"] = 4;
            }),
            "")
      << "as newer transformers write it";
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["num_experts"] = 65536; }),
                       {"mlp.gate.weight", "[4, 32], must be", "[65536, 32]"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["norm_topk_prob"] = 1; }), {"norm_topk_prob"}));
}

TEST_F(Checkpoint, SparseLayersAreThoseOfTransformers) {
  const auto layers = [&](const Json& change) {
    const std::string original = read_file(model_ / "config.json");
    Json config = Json::parse(original);
    config.update(change);
    write_file(model_ / "config.json", config.dump());
    std::vector<int> result = read_config(model_ / "config.json").moe_layers;
    write_file(model_ / "config.json", original);
    return result;
  };
  EXPECT_EQ(layers({{"num_hidden_layers", 5}}), (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(layers({{"num_hidden_layers", 5}, {"mlp_only_layers", {0, 3, 9}}}), (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(layers({{"num_hidden_layers", 5}, {"decoder_sparse_step", 2}}), (std::vector<int>{1, 3}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["mlp_only_layers"] = {0, 1}; }), {"none of them has experts"}));
  EXPECT_TRUE(mentions(after_config([](Json& c) { c["mlp_only_layers"] = {1}; }), {"layer 1 has no experts"}));
}

TEST_F(Checkpoint, OtherSchemesAreRefusedByName) {
  const auto with = [&](const std::string& pointer, const Json& value) {
    return after_config([&](Json& c) { c["quantization_config"][Json::json_pointer(pointer)] = value; });
  };
  EXPECT_TRUE(mentions(after_config([](Json& c) { c.erase("quantization_config"); }),
                       {"is F8_E4M3", "must be BF16", "does not quantize it"}));
  EXPECT_TRUE(mentions(with("/quant_method", "gptq"), {"quant_method", "gptq", "compressed-tensors"}));
  EXPECT_TRUE(mentions(with("/format", "nvfp4-pack-quantized"), {"group_0.format", "must agree"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/format", "int-quantized"), {"int-quantized", "must agree"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/weights/strategy", "block"), {"group_0", "must be group"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/weights/strategy", "group"),
                       {"group_0.weights.strategy", "group", "channel"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/weights/num_bits", 4), {"weights.num_bits", "4"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/weights/type", "int"), {"weights.type", "int"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/weights/symmetric", false), {"weights.symmetric"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/input_activations/dynamic", false),
                       {"input_activations.strategy", "token", "tensor"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/input_activations/strategy", "tensor"), {"strategy", "token"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_0/input_activations", nullptr), {"input_activations", "missing"}));
  EXPECT_TRUE(mentions(with("/config_groups/group_1", {{"weights", {{"num_bits", 4}}}}), {"group_1.weights.num_bits"}));
  EXPECT_TRUE(mentions(with("/config_groups", Json::object()), {"config_groups", "empty"}));
  EXPECT_TRUE(mentions(with("/transform_config", {{"config_groups", 1}}), {"transform_config"}));
  EXPECT_TRUE(
      mentions(with("/sparsity_config", {{"format", "sparse-24-bitmask"}}), {"sparsity_config.format", "dense"}));
  EXPECT_EQ(with("/kv_cache_scheme", {{"num_bits", 8}}), "") << "of no concern to an MoE layer";
}

TEST_F(Checkpoint, ShardsAreRead) {
  const Layer whole = load_layer(open(model_), 1);
  shard();
  const Layer sharded = load_layer(open(model_), 1);
  EXPECT_EQ(whole.gate_up.codes, sharded.gate_up.codes);
  EXPECT_EQ(whole.gate_up.scales, sharded.gate_up.scales);
  EXPECT_EQ(whole.down.codes, sharded.down.codes);
  EXPECT_EQ(whole.router.weight, sharded.router.weight);
}

TEST_F(Checkpoint, TheIndexIsChecked) {
  shard();
  const Json good = index_map();
  for (const std::string path : {"../model/a.safetensors", "/etc/passwd", "", ".", "..", "sub/a.safetensors"}) {
    Json map = good;
    map[kGate] = path;
    write_index(map);
    EXPECT_TRUE(mentions(complaint(), {"index.json", "same directory"})) << path;
  }
  Json map = good;
  map[kGate] = 3;
  write_index(map);
  EXPECT_TRUE(mentions(complaint(), {"weight_map names 3"}));
  map[kGate] = good[kGate] == "a.safetensors" ? "b.safetensors" : "a.safetensors";
  write_index(map);
  EXPECT_TRUE(mentions(complaint(), {kGate, "but it is not"}));
  map[kGate] = "c.safetensors";
  write_index(map);
  EXPECT_TRUE(mentions(complaint(), {"c.safetensors", "no such file"}));
  write_index("x");
  EXPECT_TRUE(mentions(complaint(), {"weight_map must be"}));
  write_index(good);
  EXPECT_EQ(complaint(), "");
  Parts twice = Parts::of(model_ / "a.safetensors");
  for (const char* name : {"a.safetensors", "b.safetensors"}) {
    if (good[kGate] != name) twice = Parts::of(model_ / name);
  }
  twice.append(kGate, "F8_E4M3", {48, 32}, std::string(48 * 32, 'x'));
  twice.write(model_ / (good[kGate] == "a.safetensors" ? "b.safetensors" : "a.safetensors"));
  EXPECT_TRUE(mentions(complaint(), {kGate, "is also in"}));
}

TEST_F(Checkpoint, WhatIsNotThereIsNamed) {
  EXPECT_THROW(open(directory_ / "absent"), Error);
  std::filesystem::rename(model_ / "model.safetensors", model_ / "other");
  EXPECT_TRUE(mentions(complaint(), {"neither model.safetensors nor"}));
  std::filesystem::remove(model_ / "config.json");
  EXPECT_TRUE(mentions(complaint(), {"config.json: no such file"}));
}

TEST_F(Checkpoint, EveryTruncationIsAnError) {
  const std::string whole = read_file(model_ / "model.safetensors");
  for (std::size_t length = 0; length < whole.size(); length += 997) {
    write_file(model_ / "model.safetensors", whole.substr(0, length));
    EXPECT_NE(complaint(), "") << length;
  }
}

TEST(OthersCheckpoint, IsRead) {
  const std::filesystem::path fixture =
      std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/checkpoints/qwen3-fp8-dynamic";
  const Model model = open(fixture / "model");
  EXPECT_EQ(model.config.moe_layers, std::vector<int>{1}) << "layer 0 is dense";
  const Layer layer = load_layer(model, 1);
  EXPECT_EQ(layer.shape.experts, 4);
  EXPECT_EQ(layer.shape.top_k, 3);
  EXPECT_EQ(layer.shape.hidden, 64);
  EXPECT_EQ(layer.shape.width, 48);
  EXPECT_TRUE(layer.router.renormalize);
  EXPECT_THROW(load_layer(model, 0), Error);
}

/// The whole layer in double, without any quantization of activations, against what transformers' block computed.
TEST(OthersCheckpoint, MeansWhatTransformersComputes) {
  const std::filesystem::path fixture =
      std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/checkpoints/qwen3-fp8-dynamic";
  const Layer layer = load_layer(open(fixture / "model"), 1);
  const Matrix hidden = read_npy(fixture / "hidden.npy");
  const Matrix output = read_npy(fixture / "output.npy");
  const auto row_times = [](const Experts& w, int expert, int row, std::span<const double> x) {
    const auto channel =
        static_cast<std::size_t>(expert) * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(row);
    double sum = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      sum += static_cast<double>(decode_e4m3(w.codes[channel * x.size() + k])) * x[k];
    }
    return sum * static_cast<double>(w.scales[channel]);
  };
  for (std::size_t t = 0; t < 12; ++t) {
    std::vector<double> x(64);
    std::ranges::copy(std::span(hidden.values).subspan(t * 64, 64), x.begin());
    std::vector<std::pair<double, int>> probability;
    for (int e = 0; e < 4; ++e) {
      double logit = 0;
      for (std::size_t k = 0; k < 64; ++k) {
        logit += static_cast<double>(layer.router.weight[static_cast<std::size_t>(e) * 64 + k]) * x[k];
      }
      probability.emplace_back(-std::exp(logit), e);
    }
    std::ranges::sort(probability);
    const double chosen = probability[0].first + probability[1].first + probability[2].first;
    std::vector<double> want(64, 0.0);
    double largest = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      const auto [negative, e] = probability[j];
      std::vector<double> h(48);
      for (int i = 0; i < 48; ++i) {
        const double gate = row_times(layer.gate_up, e, i, x);
        h[static_cast<std::size_t>(i)] = gate / (1 + std::exp(-gate)) * row_times(layer.gate_up, e, 48 + i, x);
      }
      for (int n = 0; n < 64; ++n)
        want[static_cast<std::size_t>(n)] += negative / chosen * row_times(layer.down, e, n, h);
    }
    for (const double value : want) largest = std::max(largest, std::abs(value));
    for (std::size_t n = 0; n < 64; ++n) {
      EXPECT_NEAR(static_cast<double>(output.values[t * 64 + n]), want[n], 1e-5 * largest) << t << ' ' << n;
    }
  }
}

}  // namespace
}  // namespace moesaic::checkpoint
