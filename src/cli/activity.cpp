#include "cli/activity.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "cli/say.hpp"
#include "cli/size_words.hpp"

namespace moesaic::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(2);
constexpr auto kBetweenRewrites = std::chrono::milliseconds(500);
constexpr auto kBetweenLines = std::chrono::seconds(30);

}  // namespace

Activity::Activity(std::string what)
    : what_(std::move(what)), reporter_([this](std::stop_token stop) { report(std::move(stop)); }) {}

Activity::~Activity() {
  reporter_.request_stop();
  reporter_.join();
}

void Activity::update(std::uint64_t done, std::uint64_t total) {
  const std::lock_guard lock(mutex_);
  done_ = done;
  total_ = total;
}

void Activity::report(std::stop_token stop) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  const auto start = Clock::now();
  auto next = start + kPatience;
  bool written = false;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_until(lock, stop, next, [&] { return stop.stop_requested(); }) && !stop.stop_requested()) {
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::string line = fmt::format("{} ... {:.0f} s", what_, seconds);
    if (total_ > 0) {
      const auto done = static_cast<double>(done_);
      line += fmt::format(", {:.0f} % of {}, {}/s", 100 * done / static_cast<double>(total_), size_words(total_),
                          size_words(static_cast<std::uint64_t>(done / seconds)));
    }
    say(fmt::format("{}{}", terminal ? "\r\x1b[K" : "", terminal ? line : line + "\n"));
    written = true;
    next = Clock::now() + (terminal ? Clock::duration(kBetweenRewrites) : Clock::duration(kBetweenLines));
  }
  if (written && terminal) say("\r\x1b[K");
}

bool wants_colour() {
  const char* refused = std::getenv("NO_COLOR");
  return ::isatty(STDOUT_FILENO) != 0 && (refused == nullptr || *refused == '\0');
}

}  // namespace moesaic::cli
