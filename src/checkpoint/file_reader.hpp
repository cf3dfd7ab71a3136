#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string_view>

namespace moesaic::checkpoint {

/// Reads pieces of files. What has been read is given back by the system's page cache at once: it would otherwise hold
/// a model twice, which on a machine whose GPU shares the host's memory leaves the less for the model itself. Files are
/// read, not mapped: one that shrinks meanwhile gives an Error instead of killing the process.
class FileReader {
 public:
  FileReader() = default;
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  /// Fills `out` with the bytes from `begin` on. `what` stands for them in errors. Throws Error when the file is not a
  /// regular one, ends before, or cannot be read.
  void read(const std::filesystem::path& file, std::uint64_t begin, std::span<std::byte> out, std::string_view what);

 private:
  int descriptor(const std::filesystem::path& file);

  std::map<std::filesystem::path, int> open_;
};

}  // namespace moesaic::checkpoint
