#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/synth.hpp"
#include "cli/activity.hpp"
#include "cli/exit_code.hpp"
#include "cli/known_models.hpp"
#include "cli/quoted.hpp"
#include "cli/size_words.hpp"
#include "cli/verbs.hpp"
#include "cli/whole_number.hpp"

namespace moesaic::cli {
namespace {

using checkpoint::KnownModel;
using checkpoint::Published;

struct SynthOptions {
  std::string directory;
  std::string model = "qwen3-small";
  std::string scheme;  // empty: FP8 dynamic
  int experts = 0;     // 0: as the model has them
  int top_k = 0;
  int hidden = 0;
  int width = 0;
  int layers = 1;
  std::uint64_t seed = 1;
  bool force = false;
  bool json = false;
};

/// Scales the model down or up. A shared expert keeps its proportion to the experts; a router keeps its groups as long
/// as they go into the experts.
checkpoint::Synth plan(const SynthOptions& options) {
  const KnownModel& model = find_model(options.model);
  checkpoint::Synth wanted =
      as_known(model, options.scheme.empty() ? Published::fp8_dynamic : find_scheme(options.scheme));
  Shape& shape = wanted.shape;
  if (options.experts != 0) {
    shape.experts = options.experts;
    while (wanted.groups > 1 && (shape.experts % wanted.groups != 0 || shape.experts / wanted.groups < 2)) {
      wanted.groups /= 2;
    }
    wanted.top_groups = std::max(1, wanted.groups * model.top_groups / model.groups);
    const int eligible = shape.experts / wanted.groups * wanted.top_groups;
    shape.top_k = std::max(1, std::min(shape.top_k, eligible));
  }
  if (options.top_k != 0) shape.top_k = options.top_k;
  if (options.hidden != 0) shape.hidden = options.hidden;
  if (options.width != 0) {
    constexpr std::int64_t kMost = std::numeric_limits<int>::max();
    const std::int64_t shared = std::int64_t{shape.shared_width} * options.width / shape.width;
    shape.shared_width = static_cast<int>(std::min(shared, kMost));
    shape.width = options.width;
  }
  wanted.layers = options.layers;
  wanted.seed = options.seed;
  wanted.replace = options.force;
  return wanted;
}

void print_json(const SynthOptions& options, const checkpoint::Synth& made, std::uint64_t bytes,
                const std::string& next) {
  const Shape& shape = made.shape;
  const nlohmann::json report = {{"directory", options.directory},
                                 {"architecture", checkpoint::title(made.family)},
                                 {"scheme", checkpoint::describe(made.scheme).name},
                                 {"experts", shape.experts},
                                 {"top_k", shape.top_k},
                                 {"hidden", shape.hidden},
                                 {"width", shape.width},
                                 {"shared_width", shape.shared_width},
                                 {"layers", made.layers},
                                 {"seed", made.seed},
                                 {"bytes", bytes},
                                 {"next", {next}}};
  fmt::print("{}\n", report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_text(const SynthOptions& options, const checkpoint::Synth& made, std::uint64_t bytes,
                const std::string& next) {
  const Shape& shape = made.shape;
  fmt::print("Wrote {}: {}, {} {} of {} experts (top {}, hidden {}, width {}{}), {}, from seed {}.\n",
             options.directory, checkpoint::title(made.family), made.layers, made.layers == 1 ? "layer" : "layers",
             shape.experts, shape.top_k, shape.hidden, shape.width,
             shape.shared_width == 0 ? "" : fmt::format(", shared {}", shape.shared_width), size_words(bytes),
             made.seed);
  const checkpoint::PublishedScheme& scheme = checkpoint::describe(made.scheme);
  fmt::print("The format is {} ({}); the weights are made up, and only MoE layers are there.\n", scheme.name,
             scheme.about);
  fmt::print("Next: {}\n", next);
}

void synth(const SynthOptions& options) {
  const checkpoint::Synth wanted = plan(options);
  const std::filesystem::path directory(options.directory);
  std::error_code error;  // what cannot be read is told when it is to be written
  const bool empty = std::filesystem::is_empty(directory, error) || error;
  if (!options.force && !empty && std::filesystem::is_directory(directory, error)) {
    throw Error(fmt::format("{}: the directory is not empty; --force replaces its config.json and model.safetensors",
                            options.directory));
  }
  {
    Activity activity("making up weights");
    checkpoint::synthesize(wanted, directory,
                           [&](std::uint64_t done, std::uint64_t total) { activity.update(done, total); });
  }
  const std::uint64_t bytes = std::filesystem::file_size(directory / "model.safetensors");
  const std::string next = fmt::format("moesaic run {} --check", quoted(options.directory));
  if (options.json) {
    print_json(options, wanted, bytes, next);
  } else {
    print_text(options, wanted, bytes, next);
  }
}

std::string models_help() {
  std::vector<std::string_view> names;
  for (const KnownModel& model : checkpoint::known_models()) names.push_back(model.name);
  return fmt::format("Models (their shapes and schemes: moesaic models):\n  {}\n\nSchemes:\n{}",
                     fmt::join(names, "\n  "), scheme_list());
}

}  // namespace

void add_synth(CLI::App& program) {
  const auto options = std::make_shared<SynthOptions>();
  CLI::App* verb = program.add_subcommand("synth", "make up a checkpoint as models are published");
  verb->add_option("DIR", options->directory, "directory to write; must not exist or be empty")->required();
  verb->add_option("--model", options->model, "shape to start from; the list is below")->capture_default_str();
  verb->add_option("--scheme", options->scheme, "what the model is published as; fp8-dynamic unless given");
  verb->add_option("--experts", options->experts, "number of experts")->check(whole_number(1));
  verb->add_option("--top-k", options->top_k, "experts for each token")->check(whole_number(1));
  verb->add_option("--hidden", options->hidden, "width of a token, a multiple of 16 (mxfp4: of 32)")
      ->check(whole_number(1));
  verb->add_option("--width", options->width, "width of an expert, a multiple of 16 (mxfp4: of 32)")
      ->check(whole_number(1));
  verb->add_option("--layers", options->layers, "number of layers")->capture_default_str()->check(whole_number(1));
  verb->add_option("--seed", options->seed, "equal seeds give equal bytes")->capture_default_str()->check(any_seed());
  verb->add_flag("--force", options->force, "replace the model in a directory that is not empty");
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer(models_help() +
               "\nExamples:\n"
               "  moesaic synth /tmp/small\n"
               "  moesaic synth --model gpt-oss-20b --scheme mxfp4 --experts 4 /tmp/mxfp4\n\n" +
               std::string(kExitCodesHelp));
  verb->callback([options] { synth(*options); });
}

}  // namespace moesaic::cli
