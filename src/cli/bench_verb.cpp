#include <fmt/format.h>

#include <memory>

#include "cli/activity.hpp"
#include "cli/bench_emulator.hpp"
#include "cli/exit_code.hpp"
#include "cli/verbs.hpp"

namespace moesaic::cli {
namespace {

struct BenchOptions {
  bool emulator = false;
  bool json = false;
};

void bench(const BenchOptions& options) {
  if (!options.emulator) throw Error("moesaic bench: say what to measure: --emulator");
  std::vector<EmulatorSpeed> speeds;
  {
    const Activity activity("measuring the emulator");
    speeds = measure_emulator();
  }
  fmt::print("{}", options.json ? as_json(speeds) + "\n" : as_text(speeds));
}

}  // namespace

void add_bench(CLI::App& program) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App* verb = program.add_subcommand("bench", "measure how fast this machine computes");
  verb->add_flag("--emulator", options->emulator, "the emulated card's own speed, on one thread");
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer(
      "Examples:\n"
      "  moesaic bench --emulator\n\n" +
      std::string(kExitCodesHelp));
  verb->callback([options] { bench(*options); });
}

}  // namespace moesaic::cli
