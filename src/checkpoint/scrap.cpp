#include "checkpoint/scrap.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <string>

namespace moesaic::checkpoint {

/// Lives as long as the program, for a signal may come at any time.
struct Scrap::Entry {
  std::string path;
  std::atomic<bool> there{true};
  Entry* next = nullptr;
};

namespace {

std::atomic<Scrap::Entry*> newest = nullptr;
static_assert(std::atomic<Scrap::Entry*>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

constexpr std::array kSignals{SIGHUP, SIGINT, SIGPIPE, SIGTERM};

/// Calls only what a signal's handler may.
void remove_scraps(int signal) {
  // What is in a directory comes before it.
  for (const Scrap::Entry* entry = newest; entry != nullptr; entry = entry->next) {
    if (entry->there && ::unlink(entry->path.c_str()) != 0) ::rmdir(entry->path.c_str());
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

Scrap::Scrap(const std::filesystem::path& path) : entry_(new Entry{.path = path.string()}) {
  entry_->next = newest;
  while (!newest.compare_exchange_weak(entry_->next, entry_)) {
  }
}

Scrap::~Scrap() {
  std::error_code ignored;  // nothing left to tell: the reason for giving up is already on its way
  std::filesystem::remove_all(entry_->path, ignored);
  entry_->there = false;
}

void remove_scraps_on_signals() {
  struct sigaction action = {};
  action.sa_handler = remove_scraps;
  for (const int signal : kSignals) sigaddset(&action.sa_mask, signal);
  for (const int signal : kSignals) {
    struct sigaction old = {};
    if (sigaction(signal, nullptr, &old) == 0 && old.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

}  // namespace moesaic::checkpoint
