#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "isa/isa_case.hpp"

/// What a real card answered, as hashes: 64 bits for each 64 words, so that a difference is found within 64 words.
namespace moesaic::isa {

inline constexpr std::size_t kWordsOfHash = 64;

/// The recorded answer of one part of a case.
struct Record {
  std::uint64_t fingerprint = 0;  ///< see fingerprint(): a record of another kernel proves nothing
  std::vector<std::string> rows;
  std::vector<std::uint64_t> hashes;
};

/// By Part::name.
using Records = std::map<std::string, Record>;

/// 64 bits of what makes a part of a case: its statements, the input and the launch.
std::uint64_t fingerprint(const Case& one, const Part& part);

/// The hashes of some words, a hash for each 64 of them.
std::vector<std::uint64_t> hashes_of(const std::uint32_t* words, std::size_t count);

/// The records of the answers that are no errors.
Records records_of(const std::vector<Answer>& answers);

/// Writes and reads the file of a family. Both throw Error.
void write_records(const std::filesystem::path& path, const Records& records);
Records read_records(const std::filesystem::path& path);

}  // namespace moesaic::isa
