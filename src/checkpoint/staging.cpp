#include "checkpoint/staging.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "spec/error.hpp"

namespace moesaic::checkpoint {

Staging::Staging(std::filesystem::path target)
    : target_(target.has_filename() ? std::move(target) : target.parent_path()),  // "DIR/"
      path_(fmt::format("{}.partial-{}", target_.string(), ::getpid())),
      scrap_(path_) {}

void Staging::commit() {
  std::error_code error;
  std::filesystem::rename(path_, target_, error);
  if (error) throw Error(fmt::format("{}: could not be put in place: {}", target_.string(), error.message()));
}

std::optional<std::filesystem::path> staged_target(const std::filesystem::path& file) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status there = fs::status(file, error);
  if (fs::is_directory(there)) throw Error(fmt::format("{}: is a directory", file.string()));
  if (fs::exists(there) && !fs::is_regular_file(there)) return std::nullopt;
  fs::path target = file;
  constexpr int kMaxLinks = 40;  // as many as Linux follows
  for (int links = 0; links < kMaxLinks && fs::is_symlink(target, error); ++links) {
    target = target.parent_path() / fs::read_symlink(target, error);
  }
  const fs::path parent = target.has_parent_path() ? target.parent_path() : ".";
  if (!fs::is_directory(parent, error)) {
    throw Error(fmt::format("{}: there is no directory {}", file.string(), parent.string()));
  }
  if (::access(parent.c_str(), W_OK) != 0) {
    throw Error(fmt::format("{}: the directory {} cannot be written to", file.string(), parent.string()));
  }
  return target;
}

}  // namespace moesaic::checkpoint
