#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/activity.hpp"
#include "cli/bench_cpu.hpp"
#include "cli/bench_emulator.hpp"
#include "cli/bench_gemm.hpp"
#include "cli/exit_code.hpp"
#include "cli/known_models.hpp"
#include "cli/nearest.hpp"
#include "cli/verbs.hpp"
#include "cli/whole_number.hpp"

namespace moesaic::cli {
namespace {

struct BenchOptions {
  bool emulator = false;
  std::string device;
  std::string directory;
  std::string model = "qwen3-small";
  std::string scheme = "fp8-dynamic";
  int tokens = 64;
  int pairs = 9;
  std::uint64_t seed = 1;
  bool json = false;
};

void bench_emulator(const BenchOptions& options) {
  std::vector<EmulatorSpeed> speeds;
  {
    const Activity activity("measuring the emulator");
    speeds = measure_emulator();
  }
  fmt::print("{}", options.json ? as_json(speeds) + "\n" : as_text(speeds));
}

void bench_cpu(const BenchOptions& options) {
  checkpoint::Synth synth = as_known(find_model(options.model), find_scheme(options.scheme));
  synth.seed = options.seed;
  const Layer layer = layer_to_bench(options.directory, synth);
  const Tokens tokens = checkpoint::make_tokens(options.tokens, layer.shape.hidden, options.seed);
  CpuTimes times = measure_cpu(layer, tokens, options.pairs);
  times.what = options.directory.empty() ? options.model + " in " + options.scheme : options.directory;
  fmt::print("{}", options.json ? as_json(times) + "\n" : as_text(times));
}

void bench(const BenchOptions& options) {
  if (options.emulator) return bench_emulator(options);
  if (options.device == "cpu") return bench_cpu(options);
  if (options.device.empty()) {
    const std::vector<std::string> verbs{"gemm"};
    const std::string& given = options.directory;
    throw Error(fmt::format("bench{}{}: say what to measure: gemm, --device cpu or --emulator{}",
                            given.empty() ? "" : " ", given, given.empty() ? "" : did_you_mean(given, verbs)));
  }
  const std::vector<std::string> known{"cpu"};
  throw Error(
      fmt::format("--device {}: bench measures cpu, and bench gemm a GPU; an emulated card's time would say "
                  "nothing{}",
                  options.device, did_you_mean(options.device, known)));
}

}  // namespace

void add_bench(CLI::App& program) {
  const auto options = std::make_shared<BenchOptions>();
  CLI::App* verb = program.add_subcommand("bench", "measure how fast this machine computes");
  verb->add_flag("--emulator", options->emulator, "the emulated card's own speed, on one thread");
  verb->add_option("--device", options->device, "cpu: the cpu engine, beside OpenBLAS sgemm on weights in float")
      ->excludes("--emulator");
  verb->add_option("DIR", options->directory, "checkpoint whose first MoE layer is run; default: one is made up");
  verb->add_option("--model", options->model, "model to make up; moesaic models lists them")->capture_default_str();
  verb->add_option("--scheme", options->scheme, "scheme to make it up in")->capture_default_str();
  verb->add_option("--tokens", options->tokens, "how many")->capture_default_str()->check(whole_number(1, 65536));
  verb->add_option("--pairs", options->pairs, "runs of each, in turns")
      ->capture_default_str()
      ->check(whole_number(1, 1000));
  verb->add_option("--seed", options->seed, "of made-up weights and tokens")->capture_default_str()->check(any_seed());
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer(
      "Examples:\n"
      "  moesaic bench --device cpu --model qwen3-30b-a3b --tokens 512\n"
      "  moesaic bench --device cpu /models/Mixtral-8x7B-FP8 --tokens 1 --json\n"
      "  moesaic bench --emulator\n\n" +
      std::string(kExitCodesHelp));
  add_bench_gemm(*verb);
  verb->callback([verb, options] {
    if (verb->get_subcommands().empty()) bench(*options);
  });
}

}  // namespace moesaic::cli
