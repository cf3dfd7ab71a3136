#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "temporary_directory.hpp"

namespace moesaic {

/// A safetensors file taken apart, so that a test can spoil it and put it together again.
struct SafetensorsParts {  // NOLINT(bugprone-exception-escape): it takes the JSON library's moves for throwing
  nlohmann::json header;
  std::string data;

  static SafetensorsParts of(const std::filesystem::path& file) {
    const std::string content = read_file(file);
    std::uint64_t length = 0;
    std::memcpy(&length, content.data(), sizeof length);
    return {nlohmann::json::parse(content.substr(8, length)), content.substr(8 + length)};
  }

  void write(const std::filesystem::path& file) const {
    const std::string text = header.dump();
    const std::uint64_t length = text.size();
    write_file(file, std::string(reinterpret_cast<const char*>(&length), sizeof length) + text + data);
  }

  std::size_t begin(const std::string& name) const { return header.at(name)["data_offsets"][0].get<std::size_t>(); }
  std::size_t size(const std::string& name) const {
    return header.at(name)["data_offsets"][1].get<std::size_t>() - begin(name);
  }
  template <class T>
  void put(const std::string& name, std::size_t index, T value) {
    std::memcpy(data.data() + begin(name) + index * sizeof value, &value, sizeof value);
  }
  /// Adds a tensor after the others.
  void append(const std::string& name, const std::string& dtype, const std::vector<int>& shape,
              const std::string& bytes) {
    header[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += bytes;
  }
  void rename(const std::string& from, const std::string& to) {
    header[to] = header.at(from);
    header.erase(from);
  }
};

}  // namespace moesaic
