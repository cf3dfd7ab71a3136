#include <cstddef>
#include <cstdint>
#include <string_view>

#include "emulator/machine.hpp"
#include "emulator/ptx.hpp"

/// Any bytes as PTX text: loading them must end well or with an Error, and what is no PTX must be a SyntaxError with a
/// place in the text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moesaic;
  emulator::Options options{.card = *find_device("gb10"), .host_threads = 1};
  options.card.memory_bytes = 1 << 20;
  emulator::Machine machine(options);
  try {
    machine.load(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const emulator::ptx::SyntaxError& error) {
    if (error.position.line == 0 || error.position.column == 0) __builtin_trap();
  } catch (const Error&) {
    // The card has no room for a variable.
  }
  return 0;
}
