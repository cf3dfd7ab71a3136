#include "checkpoint/synth.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/json.hpp"
#include "checkpoint/safetensors.hpp"
#include "checkpoint/staging.hpp"
#include "checkpoint/synth_config.hpp"
#include "checkpoint/synth_layer.hpp"
#include "checkpoint/synth_weights.hpp"
#include "spec/error.hpp"
#include "spec/formats.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr std::string_view kConfigFile = kModelFiles[0];
constexpr std::string_view kModeloptFile = kModelFiles[1];
constexpr std::string_view kWeightsFile = kModelFiles[2];

using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

void check_pair(const Synth& synth) {
  const auto schemes = published(synth.family);
  if (std::ranges::find(schemes, synth.scheme) != schemes.end()) return;
  std::vector<std::string_view> names;
  for (const Published scheme : schemes) names.push_back(describe(scheme).name);
  throw Error(fmt::format("{} is not published as {}; it is as {}", title(synth.family), describe(synth.scheme).name,
                          fmt::join(names, ", ")));
}

void check_shared(const Synth& synth) {
  const Shape& shape = synth.shape;
  const bool takes =
      synth.family != Family::mixtral && synth.family != Family::qwen3 && synth.family != Family::gpt_oss;
  if (takes != (shape.shared_width != 0)) {
    throw Error(fmt::format("shared width {} is not possible: {} {} a shared expert", shape.shared_width,
                            title(synth.family), takes ? "has" : "does not have"));
  }
  const bool multiple = takes && synth.family != Family::qwen3_5 && synth.family != Family::gemma4;
  if (multiple && shape.shared_width % shape.width != 0) {
    throw Error(
        fmt::format("shared width {} is not possible: a multiple of the experts' {}", shape.shared_width, shape.width));
  }
}

void check_groups(const Synth& synth) {
  const int experts = synth.shape.experts;
  if (synth.groups < 1 || experts % synth.groups != 0 || (synth.groups > 1 && experts / synth.groups < 2) ||
      synth.top_groups < 1 || synth.top_groups > synth.groups ||
      synth.shape.top_k > experts / synth.groups * synth.top_groups) {
    throw Error(fmt::format("{} of {} groups of experts are not possible for top {} of {} experts", synth.top_groups,
                            synth.groups, synth.shape.top_k, experts));
  }
}

void check(const Synth& synth) {
  check_pair(synth);
  const Shape& shape = synth.shape;
  if (shape.experts < 1 || shape.experts > 65536) {
    throw Error(fmt::format("experts {} is not possible: 1 to 65536", shape.experts));
  }
  if (shape.top_k < 1 || shape.top_k > shape.experts) {
    throw Error(fmt::format("top-k {} is not possible: 1 to {}, the number of experts", shape.top_k, shape.experts));
  }
  const int step = synth.scheme == Published::mxfp4 ? kMxGroup : 16;
  for (const auto& [name, extent] : {std::pair("hidden", shape.hidden), std::pair("width", shape.width),
                                     std::pair("shared width", shape.shared_width == 0 ? step : shape.shared_width)}) {
    if (extent < step || extent > 65536 || extent % step != 0) {
      throw Error(fmt::format("{} {} is not possible: a multiple of {} from {} to 65536", name, extent, step, step));
    }
  }
  check_shared(synth);
  check_groups(synth);
  if (synth.layers < 1 || synth.layers > 1000) {
    throw Error(fmt::format("layers {} is not possible: 1 to 1000", synth.layers));
  }
}

void write_weights(const Synth& synth, const std::filesystem::path& file, const Progress& progress) {
  std::vector<Tensor> tensors;
  for (int layer = 0; layer < synth.layers; ++layer) {
    std::ranges::move(declare_layer(synth, layer), std::back_inserter(tensors));
  }
  const std::uint64_t total = stored_layer_bytes(synth) * static_cast<std::uint64_t>(synth.layers);
  std::uint64_t done = 0;
  SafetensorsWriter writer(file, tensors);
  for (int layer = 0; layer < synth.layers; ++layer) {
    write_layer(synth, layer, [&](const std::string& name, std::span<const std::byte> bytes) {
      writer.append(name, bytes);
      done += bytes.size();
      if (progress) progress(done, total);
    });
  }
  writer.finish();
}

void write_json(const Json& json, const std::filesystem::path& file) {
  std::ofstream stream(file);
  stream << json.dump(2) << '\n';
  stream.close();
  if (!stream) throw Error(fmt::format("{}: could not be written", file.string()));
}

/// Writes every file of the model to where `place` says for its name.
template <class Place>
void write_files(const Synth& synth, const Progress& progress, Place place) {
  write_weights(synth, place(kWeightsFile), progress);
  write_json(make_config(synth), place(kConfigFile));
  if (const auto modelopt = make_modelopt_config(synth)) write_json(*modelopt, place(kModeloptFile));
}

/// Puts the model into a directory that exists, in place of one that may be there. Without a config.json there is none,
/// so that what a kill leaves is never a part of two.
void fill(const Synth& synth, const std::filesystem::path& directory, const Progress& progress) {
  std::map<std::string_view, Staging> staged;
  write_files(synth, progress,
              [&](std::string_view name) { return staged.try_emplace(name, directory / name).first->second.path(); });
  for (const std::string_view name : {kConfigFile, kModeloptFile}) std::filesystem::remove(directory / name);
  for (const std::string_view name : {kWeightsFile, kModeloptFile, kConfigFile}) {
    const auto file = staged.find(name);
    if (file != staged.end()) file->second.commit();
  }
}

/// Makes the directory, whole or not at all.
void make(const Synth& synth, const std::filesystem::path& directory, const Progress& progress) {
  Staging whole(directory);
  std::deque<Scrap> files;
  for (const std::string_view name : kModelFiles) files.emplace_back(whole.path() / name);
  std::filesystem::create_directories(whole.path());
  write_files(synth, progress, [&](std::string_view name) { return whole.path() / name; });
  whole.commit();
}

}  // namespace

std::uint64_t stored_layer_bytes(const Synth& synth) {
  check(synth);
  std::uint64_t sum = 0;
  for (const Tensor& tensor : declare_layer(synth, 0)) sum += stored_bytes(tensor.dtype, tensor.shape);
  return sum;
}

void synthesize(const Synth& synth, const std::filesystem::path& directory, const Progress& progress) {
  check(synth);
  try {
    if (!std::filesystem::exists(directory)) return make(synth, directory, progress);
    if (!std::filesystem::is_directory(directory)) {
      throw Error(fmt::format("{}: exists and is not a directory", directory.string()));
    }
    if (!synth.replace && !std::filesystem::is_empty(directory)) {
      throw Error(fmt::format("{}: the directory is not empty", directory.string()));
    }
    if (::access(directory.c_str(), W_OK) != 0) {
      throw Error(fmt::format("{}: the directory cannot be written to", directory.string()));
    }
    fill(synth, directory, progress);
  } catch (const std::filesystem::filesystem_error& e) {
    throw Error(fmt::format("{}: the directory cannot be written: {}", directory.string(), e.code().message()));
  }
}

Tokens make_tokens(int count, int hidden, std::uint64_t seed) {
  const std::vector<Channel> common = channels(hidden);
  Random random(seed, "tokens");
  Tokens tokens{count, hidden, {}};
  tokens.values.reserve(common.size() * static_cast<std::size_t>(count));
  for (int t = 0; t < count; ++t) {
    const double size = 0.5 + random.uniform();
    for (const Channel& channel : common) {
      const double value = size * channel.gain * (channel.mean + random.heavy());
      tokens.values.push_back(encode_bf16(static_cast<float>(value)));
    }
  }
  return tokens;
}

}  // namespace moesaic::checkpoint
