#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>

#include "emulator/driver.hpp"
#include "runtime/driver_door.hpp"
#include "runtime/journal.hpp"
#include "runtime/options.hpp"
#include "spec/error.hpp"

/// libcuda.so.1 over the emulated card. Its exported functions jump to the emulated driver's; their signatures are no
/// matter here.

// Each exported function jumps through its place in this table, with its number in a register that holds no argument.
#if defined(__x86_64__)
#define MOESAIC_ENTRY(number, name)                                             \
  asm(".text\n.balign 16\n.globl " #name "\n.type " #name ", @function\n" #name \
      ":\n"                                                                     \
      "mov $" #number                                                           \
      ", %eax\n"                                                                \
      "lea moesaic_driver_entries(%rip), %r11\n"                                \
      "jmp *(8 * " #number ")(%r11)\n");
asm(".text\nmoesaic_missing_entry:\nmov %eax, %edi\njmp moesaic_missing_function\n");
#elif defined(__aarch64__)
#define MOESAIC_ENTRY(number, name)                                             \
  asm(".text\n.balign 16\n.globl " #name "\n.type " #name ", %function\n" #name \
      ":\n"                                                                     \
      "mov x16, #" #number                                                      \
      "\n"                                                                      \
      "adrp x17, moesaic_driver_entries\n"                                      \
      "add x17, x17, :lo12:moesaic_driver_entries\n"                            \
      "ldr x17, [x17, x16, lsl #3]\n"                                           \
      "br x17\n");
asm(".text\nmoesaic_missing_entry:\nmov w0, w16\nb moesaic_missing_function\n");
#else
#error "the entries of libcuda.so.1 are written for x86-64 and 64-bit Arm"
#endif
#include "driver_entries.def"
#undef MOESAIC_ENTRY

extern "C" void moesaic_missing_entry();

namespace moesaic::runtime {
namespace {

/// Says on stderr, the first time, what a user has to know of the emulation itself, and notes it.
void say_once(const Event& event) {
  static auto* const said = new std::set<std::string>;  // never destroyed, as the journal
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (!said->insert(event.text).second) return;
  fmt::print(stderr, "moesaic: {}\n", event.text);
  note(event);
}

}  // namespace
}  // namespace moesaic::runtime

namespace {

#define MOESAIC_ENTRY(number, name) #name,
constexpr std::array kNames{
#include "driver_entries.def"
};
#undef MOESAIC_ENTRY

}  // namespace

extern "C" {

/// The table, hidden; filled when the library is opened.
void (*moesaic_driver_entries[kNames.size()])();

/// Where the entry of a function goes that is not emulated.
__attribute__((used)) int moesaic_missing_function(int number) {
  return moesaic_runtime_missing(kNames.at(static_cast<std::size_t>(number)));
}

int moesaic_runtime_missing(const char* function) {
  using moesaic::runtime::Event;
  if (std::string_view(function) == "cuGetExportTable") {
    moesaic::runtime::say_once(
        {.kind = Event::Kind::static_runtime,
         .text =
             "the program, or a library that it uses, has the CUDA runtime linked into it: build it with nvcc -cudart "
             "shared (CMake: CUDA_RUNTIME_LIBRARY Shared), so that the emulated runtime can take its place",
         .finding = {}});
  } else {
    moesaic::runtime::say_once({.kind = Event::Kind::missing,
                                .text = fmt::format("{} is not emulated: it returned an error", function),
                                .finding = {}});
  }
  return CUDA_ERROR_NOT_SUPPORTED;
}

void moesaic_runtime_failed(const char* function, int code) {
  using moesaic::runtime::Event;
  const std::string why = moesaic::emulator::last_fault();
  const std::string text = fmt::format("{} returned error {}{}{}", function, code, why.empty() ? "" : ": ", why);
  const bool of_emulation =
      code == CUDA_ERROR_NOT_SUPPORTED || code == CUDA_ERROR_NO_BINARY_FOR_GPU || code == CUDA_ERROR_INVALID_PTX;
  if (of_emulation) {
    moesaic::runtime::say_once({.kind = Event::Kind::missing, .text = text, .finding = {}});
  } else {
    moesaic::runtime::note({.kind = Event::Kind::refused, .text = text, .finding = {}});
  }
}
}

namespace moesaic::runtime {
namespace {

void fill_entries() {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    void* function = emulator::find_function(kNames[i]);
    moesaic_driver_entries[i] = function == nullptr ? &moesaic_missing_entry : reinterpret_cast<void (*)()>(function);
  }
}

__attribute__((constructor)) void open_card() {
  fill_entries();
  try {
    emulator::DriverOptions options = options_from_environment();
    options.found = [](const emulator::Finding& finding) {
      note({.kind = Event::Kind::finding, .text = finding.sentence(), .finding = finding});
    };
    options.failed = [](const std::string& report) {
      note({.kind = Event::Kind::fault, .text = report, .finding = {}});
    };
    emulator::configure(options);
    note({.kind = Event::Kind::started, .text = std::string(options.card.full_name), .finding = {}});
  } catch (const Error& error) {
    fmt::print(stderr, "moesaic: {}\n", error.what());
    std::_Exit(2);
  }
}

/// Kernels that the program did not wait for run now, and are looked at too.
__attribute__((destructor)) void close_card() {
  emulator::take_findings();
  print_noted();
}

}  // namespace
}  // namespace moesaic::runtime
