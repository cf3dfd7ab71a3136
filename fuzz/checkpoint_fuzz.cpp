#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "checkpoint/layer_plan.hpp"
#include "spec/error.hpp"

/// A whole model's directory from one input: config.json, hf_quant_config.json, the index, a safetensors header and
/// the data after it, in this order, with kMark between them. An empty second or third is left out; without a header
/// the data are the whole file, its length included, so that both what is inside and the container are reached.
/// Whatever the bytes are, opening and loading must end well or with an Error.
namespace {

using moesaic::Error;
namespace checkpoint = moesaic::checkpoint;

constexpr std::string_view kMark("\n====\n");
constexpr std::uint64_t kMaxLayerBytes = 32 << 20;

/// In memory, and this process's own.
const std::filesystem::path& directory() {
  static const std::filesystem::path path = [] {
    std::filesystem::path made = std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    made /= "moesaic-fuzz-" + std::to_string(::getpid());
    std::filesystem::create_directories(made);
    std::atexit([] { std::filesystem::remove_all(directory()); });
    return made;
  }();
  return path;
}

void write(const char* name, std::string_view content) {
  std::ofstream stream(directory() / name, std::ios::binary | std::ios::trunc);
  stream.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!stream.flush()) std::abort();
}

void write_or_remove(const char* name, std::string_view content) {
  if (content.empty()) {
    std::filesystem::remove(directory() / name);
  } else {
    write(name, content);
  }
}

/// Puts the directory together.
void unpack(std::string_view input) {
  std::array<std::string_view, 5> pieces;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::size_t end = i + 1 < pieces.size() ? input.find(kMark) : std::string_view::npos;
    pieces[i] = input.substr(0, end);
    input = end == std::string_view::npos ? std::string_view() : input.substr(end + kMark.size());
  }
  const auto [config, model_opt, index, header, data] = pieces;
  std::string file;
  if (!header.empty()) {
    const std::uint64_t length = header.size();
    file.append(reinterpret_cast<const char*>(&length), sizeof length);
    file += header;
  }
  file += data;
  write("config.json", config);
  write_or_remove("hf_quant_config.json", model_opt);
  write_or_remove("model.safetensors.index.json", index);
  write_or_remove("model.safetensors", index.empty() ? file : "");
  if (!index.empty()) write("a.safetensors", file);
}

void load() {
  const checkpoint::Model model = checkpoint::open(directory());
  std::size_t layers = 0;
  for (const int index : model.config.moe_layers) {
    const auto inputs = index % 2 == 0 ? moesaic::InputScheme::bf16 : moesaic::InputScheme::mxfp8;
    const checkpoint::LayerPlan plan = checkpoint::plan_layer(model, index, {.mxfp4_inputs = inputs});
    checkpoint::describe_schemes(plan);
    if (plan.memory_bytes > kMaxLayerBytes) continue;
    // What is loaded must be as large as was promised.
    const moesaic::Layer layer = checkpoint::load_layer(plan);
    if (layer.gate_up.codes.size() + layer.down.codes.size() > plan.memory_bytes) std::abort();
    if (++layers == 2) break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  unpack({reinterpret_cast<const char*>(data), size});
  try {
    load();
  } catch (const Error& e) {
    if (std::strlen(e.what()) == 0) std::abort();
  }
  return 0;
}
