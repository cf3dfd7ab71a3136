#pragma once

#include <filesystem>
#include <optional>

#include "checkpoint/scrap.hpp"

namespace moesaic::checkpoint {

/// A place beside `target` to write to, so that a reader sees the old state or the whole new one, never a half. What
/// was not committed is removed.
class Staging {
 public:
  explicit Staging(std::filesystem::path target);

  /// Where to write: a file or a directory that the caller creates.
  const std::filesystem::path& path() const { return path_; }

  /// Renames path() to the target, replacing a file or an empty directory. Throws Error when that fails.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  Scrap scrap_;
};

/// What to stage when `file` is to be written: what its symbolic links lead to. Nothing for a device, a pipe or a
/// socket, which is written to as it is. Throws Error when it cannot be written: a directory, or a file in none.
std::optional<std::filesystem::path> staged_target(const std::filesystem::path& file);

}  // namespace moesaic::checkpoint
