#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "emulator/cubin.hpp"
#include "emulator/fat_binary.hpp"
#include "spec/error.hpp"

/// Any bytes as a fat binary: what a card finds in it must end well or with an Error, the machine code too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moesaic;
  const auto image = std::as_bytes(std::span(data, size));
  const auto read = [](auto&& body) {
    try {
      body();
    } catch (const Error&) {
      // What is wrong with it.
    }
  };
  for (const int capability : {90, 120, 121}) {
    read([&] { emulator::ptx_for(image, capability); });
    read([&] {
      const std::string cubin = emulator::cubin_for(image, capability);
      emulator::read_registers(std::as_bytes(std::span(cubin)));
    });
  }
  read([&] { emulator::read_registers(image); });
  return 0;
}
