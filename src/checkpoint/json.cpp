#include "checkpoint/json.hpp"

#include <fmt/format.h>

#include <fstream>
#include <set>
#include <vector>

#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr int kMaxDepth = 32;

/// Called by the parser for each event; refuses what a document of ours never holds before it is stored.
class Guard {
 public:
  explicit Guard(const std::string& where) : where_(where) {}

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) throw Error(fmt::format("{}: JSON nested deeper than {} levels", where_, kMaxDepth));
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key && !keys_.back().insert(parsed.get<std::string>()).second) {
      throw Error(
          fmt::format("{}: the name \"{}\" is given twice; each may appear once", where_, parsed.get<std::string>()));
    }
    return true;
  }

 private:
  const std::string& where_;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

}  // namespace

Json parse_object(std::string_view text, const std::string& where) {
  Guard guard(where);
  Json value;
  try {
    value = Json::parse(text.begin(), text.end(), [&](int depth, Json::parse_event_t event, Json& parsed) {
      return guard(depth, event, parsed);
    });
  } catch (const Json::exception& e) {
    const auto* syntax = dynamic_cast<const Json::parse_error*>(&e);
    throw Error(fmt::format("{}: not valid JSON{}", where, syntax ? fmt::format(" at byte {}", syntax->byte) : ""));
  }
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
