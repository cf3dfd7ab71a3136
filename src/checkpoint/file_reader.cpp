#include "checkpoint/file_reader.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "spec/error.hpp"

namespace moesaic::checkpoint {

FileReader::~FileReader() {
  for (const auto& [file, descriptor] : open_) ::close(descriptor);
}

int FileReader::descriptor(const std::filesystem::path& file) {
  if (const auto found = open_.find(file); found != open_.end()) return found->second;
  constexpr std::size_t kMaxOpen = 64;  // a system may grant as few as 256
  if (open_.size() == kMaxOpen) {
    ::close(open_.begin()->second);
    open_.erase(open_.begin());
  }
  const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not block
  if (opened < 0) throw Error(fmt::format("{}: {}", file.string(), std::strerror(errno)));
  struct stat status {};
  if (::fstat(opened, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(opened);
    throw Error(fmt::format("{}: not a regular file", file.string()));
  }
  open_.emplace(file, opened);
  return opened;
}

void FileReader::read(const std::filesystem::path& file, std::uint64_t begin, std::span<std::byte> out,
                      std::string_view what) {
  const int from = descriptor(file);
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(from, out.data() + done, out.size() - done, static_cast<off_t>(begin + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw Error(fmt::format("{}: {}: could not be read: {}", file.string(), what,
                              got < 0 ? std::strerror(errno) : "the file has become shorter"));
    }
    done += static_cast<std::size_t>(got);
  }
  if (cache_ == PageCache::kept) return;
  // Advice; where it is not taken, nothing is lost but memory.
  ::posix_fadvise(from, static_cast<off_t>(begin), static_cast<off_t>(out.size()), POSIX_FADV_DONTNEED);
}

}  // namespace moesaic::checkpoint
