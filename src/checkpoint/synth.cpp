#include "checkpoint/synth.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/architecture.hpp"
#include "checkpoint/json.hpp"
#include "checkpoint/safetensors.hpp"
#include "checkpoint/staging.hpp"
#include "spec/error.hpp"
#include "spec/split_mix.hpp"

namespace moesaic::checkpoint {
namespace {

const Architecture& kArchitecture = kArchitectures[0];
constexpr std::string_view kConfigFile = "config.json";
constexpr std::string_view kWeightsFile = "model.safetensors";

/// Distributions are built from + * / sqrt alone, which IEEE 754 rounds alike everywhere.
class Random : public SplitMix64 {
 public:
  explicit Random(std::uint64_t seed) : SplitMix64(seed) {}

  /// An independent stream for each name.
  Random(std::uint64_t seed, std::string_view name) : SplitMix64(seed) {
    for (const char c : name) *this = Random(next() ^ static_cast<unsigned char>(c));
  }

  /// In [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// Close to a standard normal: four uniforms added (Irwin-Hall), each of 16 bits.
  double normal() {
    const std::uint64_t bits = next();
    const std::uint64_t sum =
        (bits & 0xffffU) + ((bits >> 16) & 0xffffU) + ((bits >> 32) & 0xffffU) + ((bits >> 48) & 0xffffU);
    return (static_cast<double>(sum) - 2 * 65535.0) * 0x1p-16 * 1.7320508075688772;
  }

  /// A normal whose tail is heavy: one value in 32 is up to six times as large.
  double heavy() {
    const double value = normal();
    return next() % 32 == 0 ? value * (2 + 4 * uniform()) : value;
  }
};

/// What hidden states of every token have in common, by channel. Not part of any seed: made-up tokens suit every
/// made-up model of that width.
struct Channel {
  double gain;  ///< one channel in 64 stands out
  double mean;  ///< before the gain
};

std::vector<Channel> channels(int hidden) {
  Random random(static_cast<std::uint64_t>(hidden), "channels");
  std::vector<Channel> result(static_cast<std::size_t>(hidden));
  for (Channel& channel : result) {
    channel.gain = random.next() % 64 == 0 ? 8 + 8 * random.uniform() : 1;
    channel.mean = random.normal();
  }
  return result;
}

std::uint16_t bf16(double value) {
  return encode_bf16(static_cast<float>(value));
}

/// [experts, hidden]: a logit is about a standard normal times 1.5, plus the expert's popularity.
std::vector<std::uint16_t> make_router(Random random, const Shape& shape) {
  const std::vector<Channel> common = channels(shape.hidden);
  const double hidden = shape.hidden;
  std::vector<std::uint16_t> router;
  for (int e = 0; e < shape.experts; ++e) {
    const double popularity = random.normal();
    for (const Channel& channel : common) {
      const double toward_mean = popularity * channel.mean / hidden;
      router.push_back(bf16((toward_mean + 1.5 * random.normal() / std::sqrt(hidden)) / channel.gain));
    }
  }
  return router;
}

/// One linear layer, quantized as compressed-tensors does: bf16 weights, scale = largest / 448 rounded to bf16.
struct Quantized {
  std::vector<std::uint8_t> codes;    // [rows, cols]
  std::vector<std::uint16_t> scales;  // [rows] bf16
};

Quantized make_linear(Random random, int rows, int cols) {
  const double base = 1 / std::sqrt(static_cast<double>(cols));
  std::vector<double> column_gain(static_cast<std::size_t>(cols), base);
  for (double& gain : column_gain) {
    if (random.next() % 64 == 0) gain *= 2 + 4 * random.uniform();
  }
  Quantized result;
  result.codes.reserve(column_gain.size() * static_cast<std::size_t>(rows));
  std::vector<float> weights(column_gain.size());
  for (int row = 0; row < rows; ++row) {
    const double u = random.uniform();
    const double row_gain = 0.25 + 1.75 * u * u;
    float largest = 0;
    for (std::size_t col = 0; col < weights.size(); ++col) {
      weights[col] = decode_bf16(bf16(random.heavy() * row_gain * column_gain[col]));
      largest = std::max(largest, std::abs(weights[col]));
    }
    const std::uint16_t scale = encode_bf16(std::max(largest, 1e-6F) / kE4m3Max);
    for (const float weight : weights) result.codes.push_back(encode_e4m3(weight / decode_bf16(scale)));
    result.scales.push_back(scale);
  }
  return result;
}

/// A linear layer to be written: its weight's name, without and with the layer's prefix known to the caller.
struct Linear {
  std::string name;
  int rows;
  int cols;
};

std::string layer_name(int layer) {
  return fmt::format(fmt::runtime(kArchitecture.layer), layer) + ".";
}

std::vector<Linear> linears(const Shape& shape, int layer) {
  std::vector<Linear> result;
  for (int e = 0; e < shape.experts; ++e) {
    const auto add = [&](std::string_view pattern, int rows, int cols) {
      result.push_back({layer_name(layer) + fmt::format(fmt::runtime(pattern), e), rows, cols});
    };
    add(kArchitecture.gate, shape.width, shape.hidden);
    add(kArchitecture.up, shape.width, shape.hidden);
    add(kArchitecture.down, shape.hidden, shape.width);
  }
  return result;
}

std::vector<Tensor> declare(const Synth& synth) {
  const auto size = [](int extent) { return static_cast<std::uint64_t>(extent); };
  std::vector<Tensor> tensors;
  for (int layer = 0; layer < synth.layers; ++layer) {
    tensors.push_back({layer_name(layer) + std::string(kArchitecture.router),
                       "BF16",
                       {size(synth.shape.experts), size(synth.shape.hidden)}});
    for (const Linear& linear : linears(synth.shape, layer)) {
      tensors.push_back({linear.name, "F8_E4M3", {size(linear.rows), size(linear.cols)}});
      tensors.push_back({linear.name + "_scale", "BF16", {size(linear.rows), 1}});
    }
  }
  return tensors;
}

void write_weights(const Synth& synth, const std::filesystem::path& file, const Progress& progress) {
  const std::uint64_t total = layer_bytes(synth.shape) * static_cast<std::uint64_t>(synth.layers);
  std::uint64_t done = 0;
  SafetensorsWriter writer(file, declare(synth));
  const auto append = [&](const std::string& name, std::span<const std::byte> bytes) {
    writer.append(name, bytes);
    done += bytes.size();
    if (progress) progress(done, total);
  };
  for (int layer = 0; layer < synth.layers; ++layer) {
    const std::string router = layer_name(layer) + std::string(kArchitecture.router);
    const std::vector<std::uint16_t> favourites = make_router(Random(synth.seed, router), synth.shape);
    append(router, std::as_bytes(std::span(favourites)));
    for (const Linear& linear : linears(synth.shape, layer)) {
      const Quantized made = make_linear(Random(synth.seed, linear.name), linear.rows, linear.cols);
      append(linear.name, std::as_bytes(std::span(made.codes)));
      append(linear.name + "_scale", std::as_bytes(std::span(made.scales)));
    }
  }
  writer.finish();
}

Json quantization(std::string_view strategy, bool dynamic, const Json& observer) {
  return {{"actorder", nullptr},
          {"block_structure", nullptr},
          {"dynamic", dynamic},
          {"group_size", nullptr},
          {"num_bits", 8},
          {"observer", observer},
          {"observer_kwargs", Json::object()},
          {"scale_dtype", nullptr},
          {"strategy", strategy},
          {"symmetric", true},
          {"type", "float"},
          {"zp_dtype", nullptr}};
}

/// As transformers 5.17 with compressed-tensors 0.19 writes it.
Json make_config(const Synth& synth) {
  Json ignore = Json::array();
  for (int layer = 0; layer < synth.layers; ++layer) ignore.push_back(layer_name(layer) + "gate");
  ignore.push_back("lm_head");
  const Json group = {{"format", "float-quantized"},
                      {"input_activations", quantization("token", true, nullptr)},
                      {"output_activations", nullptr},
                      {"targets", {"Linear"}},
                      {"weights", quantization("channel", false, "memoryless_minmax")}};
  return {{"architectures", {kArchitecture.transformers_class}},
          {"attention_bias", false},
          {"attention_dropout", 0.0},
          {"decoder_sparse_step", 1},
          {"dtype", "bfloat16"},
          {"head_dim", 128},
          {"hidden_act", "silu"},
          {"hidden_size", synth.shape.hidden},
          {"initializer_range", 0.02},
          {"intermediate_size", 3 * synth.shape.hidden},
          {"max_position_embeddings", 40960},
          {"mlp_only_layers", Json::array()},
          {"model_type", kArchitecture.model_type},
          {"moe_intermediate_size", synth.shape.width},
          {"norm_topk_prob", true},
          {"num_attention_heads", 32},
          {"num_experts_per_tok", synth.shape.top_k},
          {"num_hidden_layers", synth.layers},
          {"num_key_value_heads", 4},
          {"num_local_experts", synth.shape.experts},
          {"quantization_config",
           {{"config_groups", {{"group_0", group}}},
            {"format", "float-quantized"},
            {"global_compression_ratio", nullptr},
            {"ignore", ignore},
            {"kv_cache_scheme", nullptr},
            {"quant_method", "compressed-tensors"},
            {"quantization_status", "compressed"},
            {"sparsity_config", Json::object()},
            {"transform_config", Json::object()},
            {"version", "0.19.0"}}},
          {"rms_norm_eps", 1e-06},
          {"rope_parameters", {{"rope_theta", 1000000.0}, {"rope_type", "default"}}},
          {"router_aux_loss_coef", 0.001},
          {"tie_word_embeddings", false},
          {"transformers_version", "5.17.0"},
          {"vocab_size", 151936}};
}

void write_config(const Synth& synth, const std::filesystem::path& file) {
  std::ofstream stream(file);
  stream << make_config(synth).dump(2) << '\n';
  stream.close();
  if (!stream) throw Error(fmt::format("{}: could not be written", file.string()));
}

void check(const Synth& synth) {
  const Shape& shape = synth.shape;
  if (shape.experts < 1 || shape.experts > 65536) {
    throw Error(fmt::format("experts {} is not possible: 1 to 65536", shape.experts));
  }
  if (shape.top_k < 1 || shape.top_k > shape.experts) {
    throw Error(fmt::format("top-k {} is not possible: 1 to {}, the number of experts", shape.top_k, shape.experts));
  }
  for (const auto& [name, extent] : {std::pair("hidden", shape.hidden), std::pair("width", shape.width)}) {
    if (extent < 16 || extent > 65536 || extent % 16 != 0) {
      throw Error(fmt::format("{} {} is not possible: a multiple of 16 from 16 to 65536", name, extent));
    }
  }
  if (synth.layers < 1 || synth.layers > 1000) {
    throw Error(fmt::format("layers {} is not possible: 1 to 1000", synth.layers));
  }
}

}  // namespace

void synthesize(const Synth& synth, const std::filesystem::path& directory, const Progress& progress) {
  check(synth);
  const bool exists = std::filesystem::exists(directory);
  if (exists && !std::filesystem::is_directory(directory)) {
    throw Error(fmt::format("{}: exists and is not a directory", directory.string()));
  }
  const bool occupied = exists && !std::filesystem::is_empty(directory);
  if (occupied && !synth.replace) throw Error(fmt::format("{}: the directory is not empty", directory.string()));
  if (!occupied) {
    Staging whole(directory);
    std::filesystem::create_directories(whole.path());
    write_weights(synth, whole.path() / kWeightsFile, progress);
    write_config(synth, whole.path() / kConfigFile);
    whole.commit();
    return;
  }
  Staging weights(directory / kWeightsFile);
  Staging config(directory / kConfigFile);
  write_weights(synth, weights.path(), progress);
  write_config(synth, config.path());
  weights.commit();
  config.commit();
}

Tokens make_tokens(int count, int hidden, std::uint64_t seed) {
  const std::vector<Channel> common = channels(hidden);
  Random random(seed, "tokens");
  Tokens tokens{count, hidden, {}};
  tokens.values.reserve(common.size() * static_cast<std::size_t>(count));
  for (int t = 0; t < count; ++t) {
    const double size = 0.5 + random.uniform();
    for (const Channel& channel : common) {
      tokens.values.push_back(bf16(size * channel.gain * (channel.mean + random.heavy())));
    }
  }
  return tokens;
}

}  // namespace moesaic::checkpoint
