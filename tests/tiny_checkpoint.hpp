#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/layer_plan.hpp"
#include "safetensors_parts.hpp"
#include "spec/formats.hpp"

namespace moesaic {

/// A model's directory put together tensor by tensor, for tests of reading. Every tensor gets values of its own that
/// are legal for its dtype; two tensors differ.
struct TinyCheckpoint {  // NOLINT(bugprone-exception-escape): it takes the JSON library's moves for throwing
  nlohmann::json config;
  SafetensorsParts parts{nlohmann::json::object(), ""};
  std::uint32_t state = 1;

  std::uint32_t next() {
    state = state * 1664525U + 1013904223U;
    return state >> 8;
  }

  void add(const std::string& name, const std::string& dtype, const std::vector<int>& shape) {
    std::size_t count = 1;
    for (const int extent : shape) count *= static_cast<std::size_t>(extent);
    std::string bytes;
    for (std::size_t i = 0; i < count; ++i) {
      if (dtype == "F32") {
        const float value = 0.001F * static_cast<float>(1 + next() % 4000);
        bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
      } else if (dtype == "BF16") {
        const auto code = static_cast<std::uint16_t>(0x3c00 + next() % 0x300);  // from 2^-7 on, positive
        bytes.append(reinterpret_cast<const char*>(&code), sizeof code);
      } else if (dtype == "F8_E4M3") {
        bytes.push_back(static_cast<char>(1 + next() % 0x7e));  // positive, not NaN: a scale or a weight
      } else {
        bytes.push_back(static_cast<char>(next() % 0xff));  // U8: not 0xff, which is NaN in ue8m0
      }
    }
    parts.append(name, dtype, shape, bytes);
  }

  void write(const std::filesystem::path& directory) const {
    std::filesystem::create_directories(directory);
    write_file(directory / "config.json", config.dump());
    parts.write(directory / "model.safetensors");
  }

  /// Writes the directory and loads the layer.
  Layer load(const std::filesystem::path& directory, int index = 0, checkpoint::LoadOptions options = {}) const {
    write(directory);
    const checkpoint::Model model = checkpoint::open(directory);
    return checkpoint::load_layer(checkpoint::plan_layer(model, index, options));
  }

  std::uint8_t byte(const std::string& name, std::size_t i) const {
    return static_cast<std::uint8_t>(parts.data.at(parts.begin(name) + i));
  }
  /// Element i of a tensor of BF16 or F32.
  float value(const std::string& name, std::size_t i) const {
    if (parts.header.at(name)["dtype"] == "F32") {
      float value = 0;
      std::memcpy(&value, parts.data.data() + parts.begin(name) + 4 * i, sizeof value);
      return value;
    }
    std::uint16_t code = 0;
    std::memcpy(&code, parts.data.data() + parts.begin(name) + 2 * i, sizeof code);
    return decode_bf16(code);
  }
};

}  // namespace moesaic
