#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace moesaic::reference {

/// Calls work(i) once for each i in [0, count), on all cores of the host. `work` may not throw.
template <typename Work>
void parallel_for(int count, const Work& work) {
  std::atomic<int> next{0};
  const auto take = [&] {
    for (int i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> others;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  for (int i = 1; i < cores && i < count; ++i) others.emplace_back(take);
  take();
}

}  // namespace moesaic::reference
