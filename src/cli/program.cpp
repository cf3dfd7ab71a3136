#include "cli/program.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/scrap.hpp"
#include "cli/emulate_program.hpp"
#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "cli/say.hpp"
#include "cli/verbs.hpp"

namespace moesaic::cli {
namespace {

std::vector<std::string> verb_names(const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* verb : program.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(verb->get_name());
  }
  return names;
}

/// The nearest option of the verb to the first one that it does not have, as a hint.
std::string option_hint(const CLI::App& verb, const std::vector<std::string>& arguments) {
  std::vector<std::string> known;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (const std::string& argument : arguments) {
    const std::string name = argument.substr(0, argument.find('='));
    if (name.starts_with("--") && std::ranges::find(known, name) == known.end()) return did_you_mean(name, known);
  }
  return "";
}

/// What is wrong when the first argument is an option that the program itself does not have; empty when it is not.
std::string stray_option(const CLI::App& program, const CLI::App& verb, const std::vector<std::string>& arguments) {
  if (arguments.empty() || !arguments.front().starts_with("-")) return "";
  const std::string name = arguments.front().substr(0, arguments.front().find('='));
  if (program.get_option_no_throw(name) != nullptr) return "";
  if (&verb != &program && verb.get_option_no_throw(name) != nullptr) {
    return fmt::format("{} stands before the verb; wanted is moesaic {} {}", name, verb.get_name(), name);
  }
  const std::vector<std::string> known{"--help", "--version"};
  return fmt::format("no option {}{}", name, did_you_mean(name, known));
}

/// Prints help (exit code 0), or what is wrong with the command line (2).
int explain(const CLI::App& program, const CLI::ParseError& error, const std::vector<std::string>& arguments) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return program.exit(error);
  const CLI::App* verb = &program;
  std::string name = "moesaic";
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    name += " " + verb->get_name();
  }
  const std::string stray = stray_option(program, *verb, arguments);
  if (!stray.empty()) {
    say(fmt::format("moesaic: {}\nSee: moesaic --help\n", stray));
  } else if (verb != &program) {
    say(fmt::format("{}: {}{}\nSee: {} --help\n", name, error.what(), option_hint(*verb, arguments), name));
  } else if (!arguments.empty() && !arguments.front().starts_with("-")) {
    const std::vector<std::string> known = verb_names(program);
    say(fmt::format("moesaic: no verb {}; known are {}{}\nSee: moesaic --help\n", arguments.front(),
                    fmt::join(known, ", "), did_you_mean(arguments.front(), known)));
  } else {
    say(fmt::format("moesaic: {}\nSee: moesaic --help\n", error.what()));
  }
  return kBadInput;
}

/// How many arguments stand before "--" in `moesaic emulate OPTIONS -- PROGRAM ARGUMENTS`; all, when this is something
/// else.
int own_arguments(int count, const char* const* arguments) {
  if (count < 2 || std::string_view(arguments[1]) != "emulate") return count;
  const auto* const end = arguments + count;
  return static_cast<int>(std::find(arguments, end, std::string_view("--")) - arguments);
}

int parse_and_run(int all, const char* const* arguments) {
  const int count = own_arguments(all, arguments);
  CLI::App program("Mixture-of-experts layers in FP8 for consumer Blackwell GPUs, checkable without one.", "moesaic");
  program.set_version_flag("--version", "moesaic " MOESAIC_VERSION, "Print the version and exit");
  program.require_subcommand(1);
  program.footer(
      "Examples:\n"
      "  moesaic synth /tmp/small          make up a small checkpoint\n"
      "  moesaic run /tmp/small --check    compute a layer of it and check every stage\n\n" +
      std::string(kExitCodesHelp));
  int exit_code = kOk;
  add_models(program);
  add_synth(program);
  add_inspect(program);
  add_run(program, exit_code);
  add_list(program);
  add_explain(program, exit_code);
  if (count == all) {
    add_emulate(program, exit_code);
  } else {
    add_emulate_program(program, {arguments + count + 1, arguments + all}, exit_code);
  }
  add_bench(program);
  try {
    program.parse(count, arguments);
    return exit_code;
  } catch (const CLI::ParseError& error) {
    return explain(program, error, {arguments + std::min(count, 1), arguments + count});
  }
}

int run_guarded(int count, const char* const* arguments) {
  try {
    return parse_and_run(count, arguments);
  } catch (const DeviceError& error) {
    say(fmt::format("moesaic: {}\n", error.what()));
    return kDeviceFailed;
  } catch (const std::bad_alloc&) {
    say("moesaic: not enough memory\n");
    return kDeviceFailed;
  } catch (const std::exception& error) {  // Error, and what the standard library says of files
    if (std::ferror(stdout) == 0) say(fmt::format("moesaic: {}\n", error.what()));
    return kBadInput;
  }
}

/// Keeps the files that will be opened from taking the place of a standard stream that is closed. What is put there
/// cannot be written to either.
void hold_standard_streams() {
  int file = 0;
  while (file >= 0 && file <= STDERR_FILENO) file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (file >= 0) ::close(file);
}

}  // namespace

int run_program(int count, const char* const* arguments) {
  hold_standard_streams();
  checkpoint::remove_scraps_on_signals();
  const int exit_code = run_guarded(count, arguments);
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  say("moesaic: stdout: could not be written\n");
  return kBadInput;
}

}  // namespace moesaic::cli
