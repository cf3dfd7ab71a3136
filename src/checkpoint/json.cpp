#include "checkpoint/json.hpp"

#include <fmt/format.h>

#include <fstream>
#include <unordered_set>
#include <vector>

#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr int kMaxDepth = 32;

/// Hears of everything in a text before it is stored, and refuses what a document of ours never holds. A pass of its
/// own: nlohmann's parser with a callback compares each object with all those beside it.
class Guard {
 public:
  explicit Guard(const std::string& where) : where_(where) {}

  bool start_object(std::size_t /*elements*/) {
    go_down();
    keys_.emplace_back();
    return true;
  }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return true;
  }
  bool start_array(std::size_t /*elements*/) {
    go_down();
    return true;
  }
  bool end_array() {
    --depth_;
    return true;
  }
  bool key(const std::string& name) {
    if (!is_printable(name)) {
      throw Error(fmt::format("{}: a name holds control characters: {}", where_, shown(name)));
    }
    if (!keys_.back().insert(name).second) {
      throw Error(fmt::format("{}: the name {} is given twice; each may appear once", where_, shown(name)));
    }
    return true;
  }
  bool null() { return true; }
  bool boolean(bool /*value*/) { return true; }
  bool number_integer(std::int64_t /*value*/) { return true; }
  bool number_unsigned(std::uint64_t /*value*/) { return true; }
  bool number_float(double /*value*/, const std::string& /*text*/) { return true; }
  bool string(const std::string& /*value*/) { return true; }
  bool binary(const Json::binary_t& /*value*/) { return true; }
  bool parse_error(std::size_t byte, const std::string& /*token*/, const Json::exception& e) {
    const bool syntax = dynamic_cast<const Json::parse_error*>(&e) != nullptr;
    throw Error(fmt::format("{}: not valid JSON{}", where_, syntax ? fmt::format(" at byte {}", byte) : ""));
  }

 private:
  void go_down() {
    if (++depth_ > kMaxDepth) throw Error(fmt::format("{}: JSON nested deeper than {} levels", where_, kMaxDepth));
  }

  const std::string& where_;
  int depth_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
};

}  // namespace

Json parse_object(std::string_view text, const std::string& where) {
  Guard guard(where);
  Json::sax_parse(text, &guard);
  Json value = Json::parse(text);
  if (!value.is_object()) throw Error(fmt::format("{}: holds a JSON {}, must be an object", where, value.type_name()));
  return value;
}

Json read_object(const std::filesystem::path& file, std::uint64_t max_bytes) {
  const std::uint64_t bytes = regular_file_bytes(file);
  if (bytes > max_bytes) {
    throw Error(fmt::format("{}: {} bytes; at most {} are read of such a file", file.string(), bytes, max_bytes));
  }
  std::string text(bytes, '\0');
  std::ifstream stream(file, std::ios::binary);
  if (!stream.read(text.data(), static_cast<std::streamsize>(bytes))) {
    throw Error(fmt::format("{}: could not be read", file.string()));
  }
  return parse_object(text, file.string());
}

bool is_printable(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const unsigned first = byte(i);
    if (first < 0x20 || first == 0x7f) return false;
    // In UTF-8: U+0080 to U+009F, control characters too; U+200E, U+200F, U+2028 to U+202E and U+2066 to U+2069, which
    // end lines or turn them around.
    const unsigned second = byte(i + 1);
    const unsigned third = byte(i + 2);
    if (first == 0xc2 && second >= 0x80 && second < 0xa0) return false;
    if (first == 0xe2 && second == 0x80 && (third == 0x8e || third == 0x8f || (third >= 0xa8 && third <= 0xae))) {
      return false;
    }
    if (first == 0xe2 && second == 0x81 && third >= 0xa6 && third <= 0xa9) return false;
  }
  return true;
}

std::string shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 120 ? text : text.substr(0, 117) + "...";
}

std::uint64_t regular_file_bytes(const std::filesystem::path& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw Error(fmt::format("{}: no such file", file.string()));
  }
  if (status.type() != std::filesystem::file_type::regular) {
    throw Error(fmt::format("{}: not a regular file", file.string()));
  }
  const std::uint64_t bytes = std::filesystem::file_size(file, error);
  if (error) throw Error(fmt::format("{}: {}", file.string(), error.message()));
  return bytes;
}

}  // namespace moesaic::checkpoint
