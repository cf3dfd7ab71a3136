#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace moesaic {

/// Calls work(i) once for each i in [0, count), in any order, on up to `threads` threads of the host; 0: as many as it
/// has cores. When a call throws, no further ones are begun, and the first exception is thrown here.
template <typename Work>
void parallel_for(int threads, int count, const Work& work) {
  if (threads <= 0) threads = static_cast<int>(std::thread::hardware_concurrency());
  std::atomic<int> next{0};
  std::mutex failing;
  std::exception_ptr failure;
  const auto take = [&] {
    try {
      for (int i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::scoped_lock lock(failing);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads && i < count; ++i) others.emplace_back(take);
    take();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace moesaic
