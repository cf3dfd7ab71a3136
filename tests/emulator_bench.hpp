#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "emulator/machine.hpp"

/// Running pieces of PTX on an emulated card.
namespace moesaic::emulator {

inline Options card_options(const char* name = "gb10", std::uint64_t seed = 1, int host_threads = 1) {
  return Options{.card = *find_device(name), .seed = seed, .host_threads = host_threads};
}

inline std::string module_text(const std::string& rest) {
  return ".version 9.0\n.target sm_120f\n.address_size 64\n" + rest;
}

/// A machine with one module, and buffers of values on it.
class Bench {
 public:
  explicit Bench(const std::string& rest, const Options& options = card_options())
      : machine(options), module(machine.load(module_text(rest))) {}

  template <typename T>
  std::uint64_t upload(const std::vector<T>& values) {
    const std::uint64_t address = machine.memory().allocate(values.size() * sizeof(T));
    machine.memory().write(address, values.data(), values.size() * sizeof(T));
    return address;
  }
  template <typename T>
  std::vector<T> download(std::uint64_t address, std::size_t count) {
    std::vector<T> values(count);
    machine.memory().read(values.data(), address, count * sizeof(T));
    return values;
  }
  /// Launches `name` with 64-bit parameters.
  Statistics launch(const std::string& name, Extent grid, Extent block, const std::vector<std::uint64_t>& parameters,
                    std::uint32_t dynamic_shared = 0) {
    return machine.launch(*module.find_kernel(name), Launch{.grid = grid,
                                                            .block = block,
                                                            .dynamic_shared_bytes = dynamic_shared,
                                                            .parameters = std::as_bytes(std::span(parameters))});
  }

  Machine machine;
  const Module& module;
};

/// Repeatable numbers for tests.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545f4914f6cdd1dU;
  }
  std::uint64_t below(std::uint64_t bound) { return (next() >> 16) % bound; }

 private:
  std::uint64_t state_;
};

}  // namespace moesaic::emulator
