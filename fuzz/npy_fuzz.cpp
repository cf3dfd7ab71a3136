#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "checkpoint/npy.hpp"
#include "spec/error.hpp"

/// Any bytes as a .npy file: reading them must end well or with an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path file = [] {
    const std::filesystem::path directory = std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    return directory / ("moesaic-fuzz-" + std::to_string(::getpid()) + ".npy");
  }();
  {
    std::ofstream stream(file, std::ios::binary | std::ios::trunc);
    stream.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    if (!stream.flush()) std::abort();
  }
  try {
    const moesaic::Tokens tokens = moesaic::checkpoint::read_tokens(file);
    if (tokens.values.size() != static_cast<std::size_t>(tokens.count) * static_cast<std::size_t>(tokens.hidden)) {
      std::abort();
    }
  } catch (const moesaic::Error&) {
  }
  std::filesystem::remove(file);
  return 0;
}
