#include "cli/emulate_program.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "checkpoint/scrap.hpp"
#include "cli/emulate_card.hpp"
#include "cli/emulate_report.hpp"
#include "cli/exit_code.hpp"
#include "cli/gpu_model.hpp"
#include "cli/say.hpp"
#include "runtime/journal.hpp"
#include "runtime/options.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {
namespace {

using runtime::Event;

struct Options : EmulateCardOptions {
  std::string json;
};

/// The folder with the libraries that stand in for CUDA's: beside this program, as it was built or installed.
std::filesystem::path library_folder() {
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const char* folder : {"../runtime", "../lib/moesaic"}) {
    const std::filesystem::path candidate = here / folder;
    if (std::filesystem::exists(candidate / "libcudart.so.13")) return std::filesystem::canonical(candidate);
  }
  throw Error(fmt::format("libcudart.so.13 is neither in {} nor in {}: build or install all of Moesaic",
                          (here / "../runtime").string(), (here / "../lib/moesaic").string()));
}

/// A file that is removed at the end.
class Journal {
 public:
  Journal() {
    std::string name = (std::filesystem::temp_directory_path() / "moesaic-journal-XXXXXX").string();
    const int file = mkstemp(name.data());
    if (file < 0) throw Error(fmt::format("{}: the file cannot be made", name));
    close(file);
    path_ = name;
    scrap_.emplace(path_);
  }

  const std::string& path() const { return path_; }

  std::vector<Event> read() const {
    std::ifstream stream(path_, std::ios::binary);
    return runtime::read_journal(std::string{std::istreambuf_iterator<char>(stream), {}});
  }

 private:
  std::string path_;
  std::optional<checkpoint::Scrap> scrap_;
};

void set_environment(const Options& options, const Journal& journal) {
  const GpuModel model(options.gpu);
  Device card = model.device();
  if (options.sms > 0) card.sms = options.sms;
  static_cast<void>(read_checks(options.checks));  // whether they are known
  const emulator::DriverOptions asked{
      .card = card, .seed = options.seed, .host_threads = options.host_threads, .spin_limit = options.spin_limit};
  for (const auto& [name, value] : runtime::environment_of(asked, options.checks)) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  setenv(runtime::kJournalVariable, journal.path().c_str(), 1);
  std::string folders = library_folder().string();
  const char* others = std::getenv("LD_LIBRARY_PATH");
  if (others != nullptr && *others != '\0') folders += fmt::format(":{}", others);
  setenv("LD_LIBRARY_PATH", folders.c_str(), 1);
}

/// The file of a program, as a shell finds it; empty if there is none.
std::filesystem::path file_of(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::filesystem::path candidate = std::filesystem::path(folder) / program;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

/// Throws Error for a program with NVIDIA's runtime in it: that one finds no driver that it likes, and says so in its
/// way.
void refuse_static_runtime(const std::string& program) {
  std::ifstream stream(file_of(program), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  // Its symbols end in digits; a program that only speaks of them, as this one does, is none.
  constexpr std::string_view kPrefix = "libcudart_static_";
  std::size_t at = bytes.find(kPrefix);
  while (at != std::string::npos && std::isxdigit(static_cast<unsigned char>(bytes[at + kPrefix.size()])) == 0) {
    at = bytes.find(kPrefix, at + 1);
  }
  if (at == std::string::npos) return;
  throw Error(fmt::format(
      "{} has the CUDA runtime linked into it, which is nvcc's default; the emulated one can take its place "
      "when the program is built with nvcc -cudart shared (CMake: CUDA_RUNTIME_LIBRARY Shared)",
      program));
}

/// Runs the command to its end, and gives its exit code; 128 and the signal's number, as shells do, when one ended it.
int run(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));  // NOLINT
  arguments.push_back(nullptr);
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) throw DeviceError(fmt::format("{} cannot be started: {}", command.front(), std::strerror(errno)));
  if (child == 0) {
    execvp(arguments.front(), arguments.data());
    say(fmt::format("moesaic emulate: {} cannot be started: {}\n", command.front(), std::strerror(errno)));
    _exit(127);
  }
  // What the terminal sends goes to the program too, which decides.
  const auto interrupt = std::signal(SIGINT, SIG_IGN);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::signal(SIGINT, interrupt);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool is_wrong(const Event& event) {
  return event.kind == Event::Kind::finding || event.kind == Event::Kind::fault;
}

nlohmann::json event_json(const Event& event) {
  if (event.kind == Event::Kind::finding) return finding_json(event.finding);
  return event.text;
}

void write_json(const Options& options, const std::vector<std::string>& command, const std::vector<Event>& events,
                int exit_code) {
  nlohmann::json json = {{"program", command},
                         {"gpu", options.gpu},
                         {"checks", options.checks},
                         {"seed", options.seed},
                         {"exit_code", exit_code},
                         {"processes", 0},
                         {"findings", nlohmann::json::array()},
                         {"faults", nlohmann::json::array()},
                         {"missing", nlohmann::json::array()},
                         {"failed_calls", nlohmann::json::array()}};
  for (const Event& event : events) {
    switch (event.kind) {
      case Event::Kind::started:
        json["processes"] = json["processes"].get<int>() + 1;
        break;
      case Event::Kind::finding:
        json["findings"].push_back(event_json(event));
        break;
      case Event::Kind::fault:
        json["faults"].push_back(event_json(event));
        break;
      case Event::Kind::missing:
      case Event::Kind::static_runtime:
        json["missing"].push_back(event_json(event));
        break;
      case Event::Kind::refused:
        json["failed_calls"].push_back(event_json(event));
        break;
    }
  }
  std::ofstream stream(options.json, std::ios::trunc);
  stream << json.dump(1) << '\n';
  if (!stream.flush()) throw Error(fmt::format("--json {}: the file cannot be written", options.json));
}

/// Says on stderr what was seen; stdout belongs to the program.
void print(const std::vector<std::string>& command, const std::vector<Event>& events, int program_code) {
  constexpr std::ptrdiff_t kCallsShown = 5;
  const auto count = [&](Event::Kind kind) { return std::ranges::count(events, kind, &Event::kind); };
  for (const Event& event : events) {
    if (is_wrong(event)) say(fmt::format("moesaic: {}\n", runtime::sentence_of(event)));
  }
  if (count(Event::Kind::started) == 0) {
    say(fmt::format(
        "moesaic: {} has not used the emulated card. If it is a CUDA program, its runtime is linked into it: "
        "build it with\n  nvcc -cudart shared -gencode arch=compute_120f,code=[sm_120f,compute_120f]\n",
        command.front()));
  }
  if (program_code != 0) {
    std::ptrdiff_t shown = 0;
    for (const Event& event : events) {
      if (event.kind == Event::Kind::refused && shown++ < kCallsShown) say(fmt::format("moesaic: {}\n", event.text));
    }
  }
  const std::ptrdiff_t findings = count(Event::Kind::finding);
  const std::ptrdiff_t faults = count(Event::Kind::fault);
  if (findings + faults != 0) {
    say(fmt::format("moesaic: {} ended with {}; {} findings, {} kernels failed\n", command.front(), program_code,
                    findings, faults));
  }
}

int emulate(const Options& options, const std::vector<std::string>& command) {
  if (command.empty()) throw Error("emulate: a program is wanted after the --");
  refuse_static_runtime(command.front());
  const Journal journal;
  set_environment(options, journal);
  const int program_code = run(command);
  const std::vector<Event> events = journal.read();
  print(command, events, program_code);
  const bool wrong = std::ranges::any_of(events, is_wrong);
  const int exit_code = wrong ? static_cast<int>(kFindings) : program_code;
  if (!options.json.empty()) write_json(options, command, events, exit_code);
  return exit_code;
}

}  // namespace

void add_emulate_program(CLI::App& program, std::vector<std::string> command, int& exit_code) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand("emulate", "run a CUDA program on an emulated card and say what is wrong");
  add_card_options(*verb, *options);
  verb->add_option("--json", options->json, "write a report as one JSON object to this file");
  verb->footer(std::string(kGpuFileHelp) +
               "\nThe exit code is the program's, or 4 when a kernel did what it must not.\n");
  verb->callback([options, command = std::move(command), &exit_code] { exit_code = emulate(*options, command); });
}

}  // namespace moesaic::cli
