#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace moesaic::cli {

/// Says on stderr what takes long: from two seconds on, with the seconds gone by and, when known, how much is done.
/// On a terminal one line that is rewritten and removed at the end; elsewhere a line now and then.
class Activity {
 public:
  /// `what` as in "loading the layer".
  explicit Activity(std::string what);
  ~Activity();
  Activity(const Activity&) = delete;
  Activity& operator=(const Activity&) = delete;

  /// Bytes done and in all.
  void update(std::uint64_t done, std::uint64_t total);

 private:
  void report(std::stop_token stop);

  std::string what_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
  std::jthread reporter_;  // last: it uses all of the above
};

/// Whether stdout is a terminal that wants colour (https://no-color.org).
bool wants_colour();

}  // namespace moesaic::cli
