#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <new>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/layer_plan.hpp"
#include "checkpoint/npy.hpp"
#include "checkpoint/staging.hpp"
#include "checkpoint/synth.hpp"
#include "cli/activity.hpp"
#include "cli/exit_code.hpp"
#include "cli/loading.hpp"
#include "cli/nearest.hpp"
#include "cli/places.hpp"
#include "cli/quoted.hpp"
#include "cli/report.hpp"
#include "cli/verbs.hpp"
#include "cli/whole_number.hpp"
#include "cli/wish.hpp"
#include "engine/gpu.hpp"
#include "engine/kernel_set.hpp"
#include "reference/layer.hpp"

namespace moesaic::cli {
namespace {

struct RunOptions {
  std::string directory;
  int layer = -1;  // the first one with experts
  std::string tokens = "8";
  std::string device = "auto";
  std::uint64_t seed = 1;
  std::string activations;
  WishOptions wish;
  bool check = false;
  std::string out;
  bool json = false;
};

constexpr int kMaxTokens = 1 << 20;

/// The option --tokens: a number of tokens to make up, or a file with some.
Tokens get_tokens(const RunOptions& options, int hidden, std::string& source) {
  const std::string& text = options.tokens;
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (end == text.data() + text.size() && error != std::errc::invalid_argument) {
    if (error != std::errc() || count < 0 || count > kMaxTokens) {
      throw Error(fmt::format("--tokens {}: must be from 0 to {}, or a .npy file", text, kMaxTokens));
    }
    source = fmt::format("made up from seed {}", options.seed);
    return checkpoint::make_tokens(count, hidden, options.seed);
  }
  if (!text.ends_with(".npy")) throw Error(fmt::format("--tokens {}: must be a number or a .npy file", text));
  Tokens tokens = checkpoint::read_tokens(text);
  if (tokens.hidden != hidden) {
    throw Error(fmt::format("{}: tokens are {} wide; this model's are {}", text, tokens.hidden, hidden));
  }
  if (tokens.count > kMaxTokens) throw Error(fmt::format("{}: more than {} tokens", text, kMaxTokens));
  source = "from " + text;
  return tokens;
}

/// Runs on a place; whatever goes wrong there is a DeviceError.
Trace compute(engine::Engine& engine, const Tokens& tokens, bool keep_trace, double& time_s) {
  const Activity activity("computing on " + engine.place());
  try {
    const auto start = std::chrono::steady_clock::now();
    Trace trace = engine.run(tokens, keep_trace ? engine::Keep::trace : engine::Keep::output);
    time_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return trace;
  } catch (const Error& e) {
    throw DeviceError(e.what());
  } catch (const std::bad_alloc&) {
    throw DeviceError(fmt::format("{}: not enough memory for {} tokens", engine.place(), tokens.count));
  }
}

std::vector<int> tokens_per_expert(const Routing& routing) {
  std::vector<int> counts;
  for (std::size_t e = 0; e + 1 < routing.first.size(); ++e) counts.push_back(routing.first[e + 1] - routing.first[e]);
  return counts;
}

std::vector<std::string> suggestions(const RunOptions& options, const device::Place& place, const Layer& layer,
                                     const RunReport& report) {
  const std::string command = fmt::format("moesaic run {}", quoted(options.directory));
  const bool on_cpu = place.kind == device::Place::Kind::cpu;
  if (exit_code(report) != kOk) {
    if (on_cpu) {
      return {
          "unless a value overflowed, this should not happen: please report it, with the checkpoint or how it was "
          "made"};
    }
    return {fmt::format("{} --tokens {} --seed {} --device cpu --check   tells whether it is the device", command,
                        options.tokens, options.seed)};
  }
  std::vector<std::string> next;
  if (!report.check) next.push_back(command + " --check   compares every stage with a reference");
  if (place.kind != device::Place::Kind::emulated && engine::why_not_on(layer, *find_device("gb10")).empty()) {
    next.push_back(command + " --device emulated:gb10 --tokens 4 --check   runs the GPU code that ships for a GB10");
  }
  next.push_back(command + " --tokens FILE.npy --out OUT.npy   computes your own hidden states");
  return next;
}

/// The layer as the headers promise it, with the activations that were asked for.
checkpoint::LayerPlan plan(const RunOptions& options, const checkpoint::Model& model, int index) {
  const std::vector<std::string> known{"bf16", "mxfp8"};
  const std::string& asked = options.activations;
  if (!asked.empty() && std::ranges::find(known, asked) == known.end()) {
    throw Error(fmt::format("--activations {}: must be bf16 or mxfp8{}", asked, did_you_mean(asked, known)));
  }
  checkpoint::LayerPlan result =
      checkpoint::plan_layer(model, index, {.mxfp4_inputs = asked == "mxfp8" ? InputScheme::mxfp8 : InputScheme::bf16});
  if (!asked.empty() && result.layer.gate_up.scheme.weights != WeightScheme::mxfp4) {
    throw Error(
        fmt::format("--activations {}: the checkpoint says itself how activations are quantized; only MXFP4 "
                    "leaves it open",
                    asked));
  }
  return result;
}

/// Throws Error when the option --out names what cannot be written.
void require_writable(const std::string& out) {
  try {
    static_cast<void>(checkpoint::staged_target(out));
  } catch (const Error& e) {
    throw Error(fmt::format("--out {}", e.what()));
  }
}

/// Runs one layer and reports. Returns the exit code.
int run(const RunOptions& options) {
  if (!options.out.empty()) require_writable(options.out);
  const checkpoint::Model model = checkpoint::open(options.directory);
  engine::Wishes wishes = read_wishes(options.wish, engine::KernelSet::variants());
  RunReport report;
  report.directory = options.directory;
  report.architecture = model.config.architecture->title;
  report.layer_count = model.config.layer_count;
  report.moe_layer_count = static_cast<int>(model.config.moe_layers.size());
  report.layer_index = options.layer >= 0 ? options.layer : model.config.moe_layers.front();
  const checkpoint::LayerPlan planned = plan(options, model, report.layer_index);
  const ChosenPlace chosen = choose_place(options.device, options.seed, &planned.layer);
  const std::optional<Device> device = require_runs_on(planned.layer, chosen, wishes);
  report.layer_name = planned.layer.name;
  report.shape = planned.layer.shape;
  report.layer_bytes = planned.memory_bytes;
  report.disk_bytes = planned.disk_bytes;
  const Codes codes = !device ? Codes::on_host : options.check ? Codes::on_both : Codes::on_card;
  report.peak_bytes = peak_bytes(planned, codes);
  report.layout = planned.layout;
  report.scheme = checkpoint::describe_schemes(planned);
  report.seed = options.seed;
  report.device_asked = options.device;
  report.reason = chosen.reason;

  const Tokens tokens = get_tokens(options, report.shape.hidden, report.token_source);
  std::unique_ptr<engine::CardWeights> card;
  if (codes == Codes::on_card) card = make_card_weights(chosen.place, planned.layer);
  const bool shared_memory = device && device->integrated;
  const Layer layer =
      load(planned, codes, card.get(), shared_memory ? checkpoint::PageCache::given_back : checkpoint::PageCache::kept);
  report.tokens = tokens.count;

  const std::unique_ptr<engine::Engine> engine = make_engine(layer, chosen.place, std::move(card), std::move(wishes));
  report.place = engine->place();
  double time_s = 0;
  const Trace trace = compute(*engine, tokens, options.check, time_s);
  if (chosen.place.kind != device::Place::Kind::emulated) report.time_s = time_s;
  report.kernels = engine->kernels();
  report.choices = engine->choices();
  report.tokens_per_expert = tokens_per_expert(trace.routing);
  if (options.check) {
    const Activity activity("checking against the reference");
    report.check = reference::judge(layer, tokens, trace);
  }
  if (!options.out.empty()) {
    checkpoint::write_npy(options.out, tokens.count, tokens.hidden, trace.output);
    report.out = options.out;
  }
  report.next = suggestions(options, chosen.place, layer, report);
  fmt::print("{}", options.json ? as_json(report) + "\n" : as_text(report, wants_colour()));
  return exit_code(report);
}

}  // namespace

void add_run(CLI::App& program, int& exit_code) {
  const auto options = std::make_shared<RunOptions>();
  CLI::App* verb = program.add_subcommand("run", "compute one MoE layer of a checkpoint");
  verb->add_option("DIR", options->directory, "directory with config.json and *.safetensors")->required();
  verb->add_option("--layer", options->layer, "index of the layer; default: the first one with experts")
      ->check(whole_number(0));
  verb->add_option("--tokens", options->tokens,
                   "how many to make up, or a .npy file of float32 or float16 [tokens, hidden]")
      ->capture_default_str();
  verb->add_option("--device", options->device, "auto, cpu, gpu:0, emulated:gb10, emulated:h200, ...")
      ->capture_default_str();
  verb->add_option("--seed", options->seed, "of made-up tokens, and of the order of things on an emulated card")
      ->capture_default_str()
      ->check(any_seed());
  verb->add_option("--activations", options->activations,
                   "how activations meet MXFP4 weights: bf16 (the default) or mxfp8");
  add_wish_options(*verb, options->wish);
  verb->add_flag("--check", options->check, "compare every stage with a double-precision reference and its bounds");
  verb->add_option("--out", options->out, "write the result to this .npy file: float32 [tokens, hidden]");
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer(
      "What loading takes is said on stderr before it begins: the layer and at most one expert beside it; with "
      "--check\n"
      "on a card the weights twice, for the reference reads them too. Files are read, not mapped, and go to the card\n"
      "expert by expert. For a GPU that shares the host's memory the page cache gives back at once what has been "
      "read,\n"
      "so that the machine does not hold a model twice.\n\n"
      "Examples:\n"
      "  moesaic run /tmp/small --check\n"
      "  moesaic run /tmp/small --device emulated:gb10 --tokens 4 --check\n"
      "  moesaic run /tmp/small --layer 0 --tokens hidden.npy --out output.npy --json\n\n" +
      std::string(kExitCodesHelp));
  verb->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace moesaic::cli
