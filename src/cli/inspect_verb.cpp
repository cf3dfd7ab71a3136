#include <fmt/format.h>

#include <memory>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "cli/activity.hpp"
#include "cli/exit_code.hpp"
#include "cli/inspection.hpp"
#include "cli/verbs.hpp"

namespace moesaic::cli {
namespace {

struct InspectOptions {
  std::string directory;
  bool json = false;
};

void print_inspection(const InspectOptions& options) {
  const checkpoint::Model model = [&] {
    const Activity activity("reading the headers");
    return checkpoint::open(options.directory);
  }();
  const Inspection inspection = [&] {
    const Activity activity("looking for the experts");
    return inspect(model);
  }();
  fmt::print("{}", options.json ? as_json(inspection) + "\n" : as_text(inspection, wants_colour()));
}

}  // namespace

void add_inspect(CLI::App& program) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* verb = program.add_subcommand("inspect", "say what a checkpoint holds and where it would run");
  verb->add_option("DIR", options->directory, "directory with config.json and *.safetensors")->required();
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer(
      "Reads the configuration and the headers of the files, no weights.\n\n"
      "Examples:\n"
      "  moesaic inspect /tmp/small\n"
      "  moesaic inspect /tmp/small --json\n\n" +
      std::string(kExitCodesHelp));
  verb->callback([options] { print_inspection(*options); });
}

}  // namespace moesaic::cli
