#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "checkpoint/synth.hpp"
#include "cli/exit_code.hpp"
#include "cli/known_models.hpp"
#include "cli/verbs.hpp"

namespace moesaic::cli {
namespace {

using checkpoint::KnownModel;
using checkpoint::Published;

std::uint64_t layer_bytes(const KnownModel& model, Published scheme) {
  return checkpoint::stored_layer_bytes(as_known(model, scheme));
}

nlohmann::json as_json(const KnownModel& model) {
  nlohmann::json schemes = nlohmann::json::array();
  for (const Published scheme : checkpoint::published(model.family)) {
    schemes.push_back({{"name", checkpoint::describe(scheme).name}, {"bytes_per_layer", layer_bytes(model, scheme)}});
  }
  const Shape& s = model.shape;
  return {{"name", model.name},     {"architecture", checkpoint::title(model.family)},
          {"experts", s.experts},   {"top_k", s.top_k},
          {"hidden", s.hidden},     {"width", s.width},
          {"layers", model.layers}, {"shared_width", s.shared_width},
          {"schemes", schemes}};
}

void print(const KnownModel& model) {
  const Shape& s = model.shape;
  fmt::print("{}  {}: {} MoE {} of {} experts, top {}, hidden {}, width {}{}\n", model.name,
             checkpoint::title(model.family), model.layers, model.layers == 1 ? "layer" : "layers", s.experts, s.top_k,
             s.hidden, s.width, s.shared_width == 0 ? "" : fmt::format(", shared {}", s.shared_width));
  std::string line = "  MB a layer:";
  for (const Published scheme : checkpoint::published(model.family)) {
    line += fmt::format(" {} {:.0f},", checkpoint::describe(scheme).name,
                        static_cast<double>(layer_bytes(model, scheme)) / 1e6);
  }
  line.back() = '\n';
  fmt::print("{}", line);
}

void models(bool json) {
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const KnownModel& model : checkpoint::known_models()) list.push_back(as_json(model));
    nlohmann::json schemes = nlohmann::json::object();
    for (const checkpoint::PublishedScheme& scheme : checkpoint::published_schemes()) {
      schemes[std::string(scheme.name)] = scheme.about;
    }
    fmt::print("{}\n", nlohmann::json{{"models", list}, {"schemes", schemes}}.dump(2));
    return;
  }
  for (const KnownModel& model : checkpoint::known_models()) print(model);
  fmt::print("\nSchemes:\n{}", scheme_list());
}

}  // namespace

void add_models(CLI::App& program) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* verb = program.add_subcommand("models", "list the models whose shapes are known, and their schemes");
  verb->add_flag("--json", *json, "report as one JSON object");
  verb->footer(
      "A scheme is listed for a model when its architecture is published in it.\n\n"
      "Examples:\n"
      "  moesaic models\n"
      "  moesaic models --json\n\n" +
      std::string(kExitCodesHelp));
  verb->callback([json] { models(*json); });
}

}  // namespace moesaic::cli
