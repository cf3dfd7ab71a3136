#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace moesaic::engine {

/// Calls work(i) once for each i in [0, count), on up to `threads` threads, in any order. `work` may not throw.
template <typename Work>
void parallel_for(int threads, int count, const Work& work) {
  std::atomic<int> next{0};
  const auto take = [&] {
    for (int i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads && i < count; ++i) others.emplace_back(take);
  take();
}

}  // namespace moesaic::engine
