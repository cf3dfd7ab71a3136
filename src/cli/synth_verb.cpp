#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/synth.hpp"
#include "cli/activity.hpp"
#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "cli/verbs.hpp"

namespace moesaic::cli {
namespace {

struct SynthOptions {
  std::string directory;
  std::string model = std::string(checkpoint::kKnownModels[0].name);
  int experts = 0;  // 0: as the model has them
  int top_k = 0;
  int hidden = 0;
  int width = 0;
  int layers = 1;
  std::uint64_t seed = 1;
  bool force = false;
  bool json = false;
};

const checkpoint::KnownModel& find_model(const std::string& name) {
  std::vector<std::string> known;
  for (const checkpoint::KnownModel& model : checkpoint::kKnownModels) {
    if (model.name == name) return model;
    known.emplace_back(model.name);
  }
  throw Error(fmt::format("--model {}: no such model; known are {}{}", name, fmt::join(known, ", "),
                          did_you_mean(name, known)));
}

checkpoint::Synth plan(const SynthOptions& options) {
  Shape shape = find_model(options.model).shape;
  if (options.experts != 0) shape.experts = options.experts;
  if (options.top_k != 0) shape.top_k = options.top_k;
  if (options.hidden != 0) shape.hidden = options.hidden;
  if (options.width != 0) shape.width = options.width;
  return {.shape = shape, .layers = options.layers, .seed = options.seed, .replace = options.force};
}

void synth(const SynthOptions& options) {
  const checkpoint::Synth wanted = plan(options);
  const std::filesystem::path directory(options.directory);
  if (!options.force && std::filesystem::is_directory(directory) && !std::filesystem::is_empty(directory)) {
    throw Error(fmt::format("{}: the directory is not empty; --force replaces its config.json and model.safetensors",
                            options.directory));
  }
  {
    Activity activity("making up weights");
    checkpoint::synthesize(wanted, directory,
                           [&](std::uint64_t done, std::uint64_t total) { activity.update(done, total); });
  }
  const std::uint64_t bytes = std::filesystem::file_size(directory / "model.safetensors");
  const Shape& shape = wanted.shape;
  const std::string next = fmt::format("moesaic run {} --check", options.directory);
  if (options.json) {
    const nlohmann::json report = {{"directory", options.directory},
                                   {"experts", shape.experts},
                                   {"top_k", shape.top_k},
                                   {"hidden", shape.hidden},
                                   {"width", shape.width},
                                   {"layers", wanted.layers},
                                   {"seed", wanted.seed},
                                   {"bytes", bytes},
                                   {"scheme", checkpoint::kScheme},
                                   {"next", {next}}};
    fmt::print("{}\n", report.dump(2));
    return;
  }
  fmt::print("Wrote {}: Qwen3-MoE, {} {} of {} experts (top {}, hidden {}, width {}), {:.1f} MB, from seed {}.\n",
             options.directory, wanted.layers, wanted.layers == 1 ? "layer" : "layers", shape.experts, shape.top_k,
             shape.hidden, shape.width, static_cast<double>(bytes) / 1e6, wanted.seed);
  fmt::print("The format is llm-compressor's FP8_DYNAMIC; the weights are made up, and only MoE layers are there.\n");
  fmt::print("Next: {}\n", next);
}

std::string known_models_help() {
  std::string text = "Models:\n";
  for (const checkpoint::KnownModel& model : checkpoint::kKnownModels) {
    const Shape& s = model.shape;
    text += fmt::format("  {:17} {:3} experts, top {}, hidden {}, width {} ({})\n", model.name, s.experts, s.top_k,
                        s.hidden, s.width, model.about);
  }
  return text;
}

}  // namespace

void add_synth(CLI::App& program) {
  const auto options = std::make_shared<SynthOptions>();
  CLI::App* verb = program.add_subcommand("synth", "make up a small Qwen3-MoE checkpoint with FP8 weights");
  verb->add_option("DIR", options->directory, "directory to write; must not exist or be empty")->required();
  verb->add_option("--model", options->model, "shape to start from; the list is below")->capture_default_str();
  verb->add_option("--experts", options->experts, "number of experts");
  verb->add_option("--top-k", options->top_k, "experts for each token");
  verb->add_option("--hidden", options->hidden, "width of a token, a multiple of 16");
  verb->add_option("--width", options->width, "width of an expert, a multiple of 16");
  verb->add_option("--layers", options->layers, "number of layers")->capture_default_str();
  verb->add_option("--seed", options->seed, "equal seeds give equal bytes")->capture_default_str();
  verb->add_flag("--force", options->force, "replace the model in a directory that is not empty");
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer(known_models_help() +
               "\nExamples:\n"
               "  moesaic synth /tmp/small\n"
               "  moesaic synth --model qwen3-30b-a3b --experts 16 /tmp/wide\n\n" +
               std::string(kExitCodesHelp));
  verb->callback([options] { synth(*options); });
}

}  // namespace moesaic::cli
