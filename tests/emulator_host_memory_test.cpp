// What the emulator says when the host lacks memory. A program of its own, because it replaces operator new; sanitizers
// have theirs.

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "emulator_bench.hpp"

// A host on which no allocation of more than 64 GiB succeeds, whatever the machine under it has. Inlined, they would
// look mismatched to g++.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  constexpr std::size_t kMost = std::size_t{1} << 36;
  void* const memory = bytes <= kMost ? std::malloc(bytes != 0 ? bytes : 1) : nullptr;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace moesaic::emulator {
namespace {

TEST(HostMemory, LocalMemoryThatTheHostDoesNotHaveIsAnError) {
  for (const int host_threads : {1, 4}) {
    Bench bench("\n.entry k() { .local .b8 d[268435456]; ret; }", card_options("gb10", 1, host_threads));
    const Kernel& k = *bench.module.find_kernel("k");
    // 2^28 bytes for each of 1024 threads.
    EXPECT_THROW(
        bench.machine.launch(k, Launch{.grid = {50}, .block = {1024}, .dynamic_shared_bytes = 0, .parameters = {}}),
        std::bad_alloc);
  }
}

}  // namespace
}  // namespace moesaic::emulator
