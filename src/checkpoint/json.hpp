#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

/// JSON from files that nobody vouches for. Only the sources of this room include this header.
namespace moesaic::checkpoint {

using Json = nlohmann::json;

/// Parses one JSON object, in time that grows with its length alone. `where` names its origin in errors. Throws Error
/// for bad syntax, for a key that is given twice in one object (readers would disagree on which one counts) or is not
/// printable, for nesting deeper than any real file has, and when the text is not an object.
Json parse_object(std::string_view text, const std::string& where);

/// Reads a file of at most `max_bytes` and parses it as one JSON object.
Json read_object(const std::filesystem::path& file, std::uint64_t max_bytes);

/// Whether a text may stand in an error, and so on a terminal: no control characters, none that turn the line around.
bool is_printable(std::string_view text);

/// A value as it may stand in an error: one line of ASCII, not too long.
std::string shown(const Json& value);

/// Opens a regular file for reading and says how long it is. Throws Error for anything else (a pipe would block).
std::uint64_t regular_file_bytes(const std::filesystem::path& file);

}  // namespace moesaic::checkpoint
