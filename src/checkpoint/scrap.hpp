#pragma once

#include <filesystem>

namespace moesaic::checkpoint {

/// A file or a directory of ours that is removed at the end; by a signal too, once remove_scraps_on_signals() was
/// called. A signal removes a directory when all that is in it is Scrap as well.
class Scrap {
 public:
  explicit Scrap(const std::filesystem::path& path);
  ~Scrap();
  Scrap(const Scrap&) = delete;
  Scrap& operator=(const Scrap&) = delete;

  struct Entry;

 private:
  Entry* entry_;
};

/// From now on SIGHUP, SIGINT, SIGPIPE and SIGTERM, unless they are ignored, remove every Scrap before they end the
/// program.
void remove_scraps_on_signals();

}  // namespace moesaic::checkpoint
