#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string_view>

namespace moesaic::checkpoint {

/// What becomes of a file's pages in the system's cache when they have been read.
enum class PageCache : std::uint8_t {
  kept,        ///< as the system likes: the next run need not read the disk
  given_back,  ///< at once: where a GPU shares the host's memory, a model would lie in it twice
};

/// Reads pieces of files. Files are read, not mapped: one that shrinks meanwhile gives an Error instead of killing the
/// process.
class FileReader {
 public:
  explicit FileReader(PageCache cache = PageCache::kept) : cache_(cache) {}
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  /// Fills `out` with the bytes from `begin` on. `what` stands for them in errors. Throws Error when the file is not a
  /// regular one, ends before, or cannot be read.
  void read(const std::filesystem::path& file, std::uint64_t begin, std::span<std::byte> out, std::string_view what);

 private:
  int descriptor(const std::filesystem::path& file);

  PageCache cache_;
  std::map<std::filesystem::path, int> open_;
};

}  // namespace moesaic::checkpoint
