#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/npy.hpp"
#include "mentions.hpp"
#include "reference/layer.hpp"
#include "temporary_directory.hpp"

/// The built program, as a user runs it.
namespace moesaic {
namespace {

using Json = nlohmann::json;

const std::filesystem::path kFixture =
    std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/checkpoints/qwen3-fp8-dynamic";

struct Result {
  int exit_code = -1;
  std::string out;
  std::string error;
};

class Cli : public ::testing::Test {
 protected:
  Result moesaic(const std::string& arguments) {
    const auto out = directory_ / "stdout";
    const auto error = directory_ / "stderr";
    const std::string command =
        std::string(MOESAIC_PROGRAM) + " " + arguments + " >" + out.string() + " 2>" + error.string();
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(error)};
  }

  /// The exit code of a command with redirections of its own.
  static int shell(const std::string& arguments) {
    const int status = std::system((MOESAIC_PROGRAM " " + arguments).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  /// Sends a signal to the program once there is a file in a directory of `place`; its status, as wait() has it.
  static int end_when_it_writes(const std::vector<std::string>& arguments, const std::filesystem::path& place,
                                int signal) {
    std::vector<char*> all{const_cast<char*>(MOESAIC_PROGRAM)};
    for (const std::string& argument : arguments) all.push_back(const_cast<char*>(argument.c_str()));
    all.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      std::signal(signal, SIG_DFL);
      ::execv(MOESAIC_PROGRAM, all.data());
      ::_exit(127);
    }
    const auto writes = [&] {
      return std::ranges::any_of(std::filesystem::directory_iterator(place),
                                 [](const auto& entry) { return !std::filesystem::is_empty(entry); });
    };
    int status = 0;
    pid_t ended = 0;
    while (ended == 0 && !writes()) ended = ::waitpid(child, &status, WNOHANG);
    if (ended == 0) {
      ::kill(child, signal);
      ::waitpid(child, &status, 0);
    }
    return status;
  }

  /// A tiny model; the arguments that follow replace its shape.
  std::string model(const std::string& more = "") {
    std::string path = (directory_ / "model").string();
    const Result made = moesaic("synth --experts 4 --top-k 2 --hidden 64 --width 48 " + more + " " + path);
    EXPECT_EQ(made.exit_code, 0) << made.error;
    return path;
  }

  TemporaryDirectory directory_;
};

TEST_F(Cli, HelpIsThereForEveryVerb) {
  for (const std::string verb :
       {"", "models ", "synth ", "inspect ", "run ", "list ", "explain ", "emulate ", "bench ", "bench gemm "}) {
    const Result help = moesaic(verb + "--help");
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_TRUE(mentions(help.out, {"Examples:\n  moesaic ", "Exit codes:", "  3  the device"})) << verb;
  }
  EXPECT_TRUE(mentions(moesaic("--version").out, {"moesaic "}));
}

TEST_F(Cli, SynthThenRunWithACheck) {
  const std::string path = model();
  const Result run = moesaic("run " + path + " --device cpu --check");
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_TRUE(mentions(run.out, {"Qwen3-MoE", "4 experts, 2 for each token, hidden 64", "FP8 dynamic", "device   cpu",
                                 "passed: every stage", "next     moesaic run"}));
  EXPECT_EQ(run.out.find('\x1b'), std::string::npos) << "no colour in a file";
  EXPECT_TRUE(
      mentions(run.error, {"loading model.layers.0.mlp: ", "38.66 kB to read, at most 42.5 kB of memory for it"}));
}

TEST_F(Cli, JsonIsOneObject) {
  const std::string path = (directory_ / "model").string();
  const Result synth = moesaic("synth --json --layers 2 --experts 4 --top-k 3 --hidden 64 --width 48 " + path);
  ASSERT_EQ(synth.exit_code, 0) << synth.error;
  EXPECT_EQ(Json::parse(synth.out)["layers"], 2);
  const Result run = moesaic("run " + path + " --json --check --device cpu --layer 1 --tokens 5 --seed 9");
  ASSERT_EQ(run.exit_code, 0) << run.error;
  const Json json = Json::parse(run.out);
  EXPECT_EQ(json["layer"]["name"], "model.layers.1.mlp");
  EXPECT_EQ(json["layer"]["top_k"], 3);
  EXPECT_EQ(json["tokens"]["count"], 5);
  EXPECT_EQ(json["seed"], 9);
  EXPECT_EQ(json["device"]["asked"], "cpu");
  EXPECT_GT(json["time_s"], 0.0);
  EXPECT_EQ(json["check"]["passed"], true);
  EXPECT_EQ(json["check"]["stages"].size(), 10U);
  int pairs = 0;
  for (const Json& count : json["tokens"]["per_expert"]) pairs += count.get<int>();
  EXPECT_EQ(pairs, 5 * 3);
}

TEST_F(Cli, AnEmulatedCardShowsItsKernelsAndNoTime) {
  const Result run = moesaic("run " + model() + " --json --check --device emulated:gb10 --tokens 3");
  ASSERT_EQ(run.exit_code, 0) << run.error;
  const Json json = Json::parse(run.out);
  EXPECT_TRUE(json["time_s"].is_null());
  EXPECT_FALSE(json["device"]["kernels"].empty());
  EXPECT_TRUE(mentions(json["device"]["place"], {"emulated:gb10"}));
  EXPECT_EQ(json["check"]["passed"], true);
}

TEST_F(Cli, NoTokensAreFine) {
  const Result run = moesaic("run " + model() + " --device cpu --tokens 0 --check");
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_TRUE(mentions(run.out, {"nothing to compare"}));
}

TEST_F(Cli, OutDependsOnTheSeedAlone) {
  const std::string path = model();
  const auto output = [&](const std::string& arguments) {
    const auto file = directory_ / "o.npy";
    EXPECT_EQ(moesaic("run " + path + " --device cpu " + arguments + " --out " + file.string()).exit_code, 0);
    const checkpoint::Matrix matrix = checkpoint::read_npy(file);
    EXPECT_EQ(matrix.cols, 64);
    return matrix.values;
  };
  EXPECT_EQ(output("--seed 3"), output("--seed 3"));
  EXPECT_NE(output("--seed 3"), output("--seed 4"));
}

TEST_F(Cli, OutGoesWhereLinksLeadAndIntoWhatIsNoFile) {
  const std::string run = "run " + model() + " --device cpu --out ";
  const auto file = directory_ / "o.npy";
  for (const std::string name : {"link.npy", "chain.npy"}) {  // to nothing at first, then to a file
    std::filesystem::create_symlink(name == "link.npy" ? "o.npy" : "link.npy", directory_ / name);
    EXPECT_EQ(moesaic(run + (directory_ / name).string()).exit_code, 0);
    EXPECT_TRUE(std::filesystem::is_symlink(directory_ / name));
    EXPECT_EQ(checkpoint::read_npy(file).cols, 64);
  }
  const std::string pipe = (directory_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);  // the pipe holds it all
  EXPECT_EQ(moesaic(run + pipe).exit_code, 0);
  std::string got(65536, '\0');
  got.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(reader, got.data(), got.size()))));
  ::close(reader);
  EXPECT_EQ(got, read_file(file));
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  for (const auto& [out, said] :
       {std::pair("absent/o.npy", "there is no directory"), std::pair("", "is a directory")}) {
    const Result refused = moesaic(run + (directory_ / out).string());
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_TRUE(mentions(refused.error, {"--out ", said}));
    EXPECT_EQ(refused.error.find("loading"), std::string::npos) << "it was known before";
  }
}

TEST_F(Cli, BadInputIsTwoAndNamesWhatIsMeant) {
  const std::string path = model();
  const auto expect = [&](const std::string& arguments, std::initializer_list<std::string_view> parts) {
    const Result result = moesaic(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_EQ(result.out, "") << arguments;
    EXPECT_TRUE(mentions(result.error, parts)) << arguments;
  };
  expect("", {"--help"});
  expect("rnu " + path, {"no verb rnu", "synth, inspect, run", "did you mean run?"});
  expect("--versoin", {"moesaic: no option --versoin; did you mean --version?"});
  expect("--json inspect " + path, {"moesaic: --json stands before the verb; wanted is moesaic inspect --json"});
  expect("--jsno inspect " + path, {"moesaic: no option --jsno\n"});
  expect("bench gem", {"moesaic: bench gem: say what to measure", "did you mean gemm?"});
  expect("bench", {"moesaic: bench: say what to measure: gemm, --device cpu or --emulator\n"});
  expect("run " + path + " --tokns 3", {"--tokns", "did you mean --tokens?"});
  expect("run " + path + " --device emulated:gb1", {"emulated:gb1:", "did you mean emulated:gb10?"});
  expect("run " + path + " --tokens -1", {"--tokens -1", "from 0 to"});
  expect("run " + path + " --tokens 99999999999999", {"--tokens", "from 0 to"});
  expect("run " + path + " --tokens many", {"--tokens many", ".npy"});
  expect("run " + path + " --tokens " + (directory_ / "absent.npy").string(), {"absent.npy: no such file"});
  expect("run " + path + " --tokens " + (kFixture / "../qwen3-fp8-block/hidden.npy").string(),
         {"hidden.npy", "144 wide", "64"});
  expect("run " + path + " --activations mxfp", {"--activations mxfp:", "did you mean mxfp8?"});
  expect("run " + path + " --activations mxfp8", {"--activations mxfp8", "only MXFP4"});
  expect("inspect " + (directory_ / "absent").string(), {"no such directory"});
  expect("run " + path + " --layer 1", {"layer 1 has no experts", "0"});
  expect("run " + (directory_ / "absent").string(), {"no such directory"});
  expect("synth " + path, {"not empty", "--force"});
  expect("synth --model qwen3-30b " + path + "2", {"--model qwen3-30b", "did you mean qwen3-30b-a3b?"});
  expect("synth /proc/absent/model", {"moesaic: /proc/absent/model: the directory cannot be written: No such file"});
  expect("synth --experts 0 " + path + "2", {"--experts: 0 is not possible", "whole number from 1"});
  expect("synth --seed -1 " + path + "2", {"--seed: -1 is not possible", "whole number from 0"});
  expect("run " + path + " --layer -2", {"--layer: -2 is not possible", "whole number from 0"});
  expect("run " + path + " --layer 1e3", {"--layer: 1e3 is not possible", "whole number from 0"});
  expect("bench gemm --sets x", {"--sets: x is not possible", "from 1 to 64, or auto"});
  expect("bench gemm --layout row", {"--layout: row not in {panels,rows}"});
  expect("bench gemm --rounds 0", {"moesaic bench gemm: --rounds: 0 is not", "See: moesaic bench gemm --help"});
  expect("synth --model deepseek-v3 --width 2000000000 " + path + "2", {"width 2000000000 is not possible"});
  expect("synth --model qwen3.5-35b-a3b --width 2147483632 " + path + "2", {"width 2147483632 is not possible"});
  expect("synth --hidden 40 " + path + "2", {"hidden 40", "multiple of 16"});
}

TEST_F(Cli, WithoutAUsableStderrTheExitCodesAreTheSame) {
  const std::string path = model();
  for (const std::string closed : {"2>&-", "2>/dev/full"}) {
    EXPECT_EQ(shell("run " + path + " --device cpu >/dev/null " + closed), 0);
    EXPECT_EQ(shell("rnu " + closed), 2);
    EXPECT_EQ(shell("inspect " + (directory_ / "absent").string() + " " + closed), 2);
    EXPECT_EQ(shell("run " + path + " --device gpu:4095 " + closed), 3);
  }
}

TEST_F(Cli, ALostReportIsTwo) {
  const std::string path = model();
  for (const std::string& arguments :
       {"inspect --json " + path, "run --device cpu " + path, "synth --force " + path, std::string("--help"),
        std::string("--version"), std::string("list"), std::string("emulate --isa")}) {
    for (const std::string lost : {" >&-", " >/dev/full"}) {
      const auto error = directory_ / "error";
      EXPECT_EQ(shell(arguments + lost + " 2>" + error.string()), 2) << arguments << lost;
      EXPECT_TRUE(read_file(error).ends_with("moesaic: stdout: could not be written\n")) << arguments << lost;
      EXPECT_EQ(read_file(error).find("moesaic: "), read_file(error).rfind("moesaic: ")) << "one line";
    }
  }
}

TEST_F(Cli, ASignalLeavesNothingHalfWritten) {
  const auto place = directory_ / "here";
  std::filesystem::create_directory(place);
  ASSERT_EQ(::setenv("TMPDIR", place.c_str(), 1), 0);
  const std::string target = place / "model";
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"synth", "--model", "qwen3-30b-a3b", target},
          std::vector<std::string>{"bench", "--device", "cpu", "--model", "qwen3-30b-a3b"}}) {
      const int status = end_when_it_writes(arguments, place, signal);
      EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << arguments[0] << status;
      EXPECT_TRUE(std::filesystem::is_empty(place)) << arguments[0] << signal;
    }
  }
  ::unsetenv("TMPDIR");
}

TEST_F(Cli, SynthFillsAnEmptyDirectoryAndLeavesItAsItIs) {
  const auto inside = directory_ / "inside";
  const auto link = directory_ / "link";
  std::filesystem::create_directory(inside);
  std::filesystem::create_directory(directory_ / "linked");
  std::filesystem::create_directory_symlink("linked", link);
  std::filesystem::permissions(inside, std::filesystem::perms::owner_all);
  const std::string tiny = "synth --experts 4 --top-k 2 --hidden 64 --width 48 ";
  const std::string program = "cd " + inside.string() + " && " MOESAIC_PROGRAM " " + tiny + ". >/dev/null";
  EXPECT_EQ(std::system(program.c_str()), 0);
  EXPECT_EQ(moesaic(tiny + link.string()).exit_code, 0);
  EXPECT_EQ(std::filesystem::status(inside).permissions(), std::filesystem::perms::owner_all);
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  for (const auto& model : {inside, link}) {
    EXPECT_NO_THROW(checkpoint::open(model));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(model), {}), 2) << "no partial files are left";
  }
}

TEST_F(Cli, SynthReplacesAModelConfigurationLast) {
  const std::string path = model("--scheme nvfp4-modelopt");
  const std::filesystem::path config = path + "/config.json";
  std::filesystem::remove(path + "/model.safetensors");
  std::filesystem::create_directories(path + "/model.safetensors/in the way");
  EXPECT_EQ(moesaic("synth --force --experts 4 --top-k 2 --hidden 64 --width 48 " + path).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(config)) << "of the old model, whose weights were to go first";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path), {}), 1) << "no partial files are left";
}

TEST_F(Cli, JsonOfAPathThatIsNotUtf8) {
  const std::string path = (directory_ / "bad\xff").string();
  for (const std::string& arguments :
       {"synth --experts 4 --top-k 2 --hidden 64 --width 48 --json " + path,
        "bench --device cpu --tokens 1 --pairs 1 --json " + path, "run --json " + path}) {
    const Result result = moesaic(arguments);
    EXPECT_EQ(result.exit_code, 0) << arguments << result.error;
    EXPECT_TRUE(Json::accept(result.out)) << arguments;
    EXPECT_TRUE(mentions(result.out, {"/bad\xef\xbf\xbd"}));
  }
}

TEST_F(Cli, CommandsToTryNextCanBePasted) {
  const std::string path = (directory_ / "it's a model").string();
  const std::string typed = "\"" + path + "\"";
  const Result made = moesaic("synth --experts 4 --top-k 2 --hidden 64 --width 48 --json " + typed);
  ASSERT_EQ(made.exit_code, 0) << made.error;
  const Result run = moesaic("run --device cpu --check --json " + typed);
  ASSERT_EQ(run.exit_code, 0) << run.error;
  for (const std::string& report : {made.out, run.out}) {
    std::string next = Json::parse(report)["next"][0];
    next.resize(next.find(" --"));
    ASSERT_TRUE(next.starts_with("moesaic "));
    EXPECT_EQ(shell(next.substr(8) + " --device cpu --tokens 0 >/dev/null 2>&1"), 0) << next;
  }
  const Result one = moesaic("bench --device cpu --tokens 1 --pairs 1 " + typed);
  EXPECT_TRUE(mentions(one.out, {", 1 token, "}));
}

TEST_F(Cli, InspectSaysWhatIsThereAndWhereItRuns) {
  const std::string path = model("--layers 3");
  const Result text = moesaic("inspect " + path);
  EXPECT_EQ(text.exit_code, 0) << text.error;
  EXPECT_TRUE(
      mentions(text.out, {"Qwen3-MoE, 3 of 3 layers with experts", "4 experts, 2 for each token, hidden 64",
                          "softmax over all experts", "layers 0-2", "FP8 dynamic", "38.66 kB on disk, 40.45 kB loaded",
                          "cpu: yes", "emulated:gb10, ", "next       moesaic run " + path}));
  const Result result = moesaic("inspect --json " + path);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["model"]["moe_layers"], (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(json["layers"].size(), 3U);
  EXPECT_EQ(json["layers"][1]["gate_up"]["weights"], "fp8_channel");
  EXPECT_EQ(json["layers"][1]["down"]["activations"], "fp8_token");
  EXPECT_TRUE(json["layers"][1]["shared_down"].is_null());
  EXPECT_GT(json["layers"][1]["peak_bytes"], json["layers"][1]["bytes"]);
  EXPECT_TRUE(json["runs_on"][0]["why_not"].is_null());
}

TEST_F(Cli, InspectSaysWhyALayerDoesNotRunOnACard) {
  const std::string path = (directory_ / "mxfp4").string();
  ASSERT_EQ(moesaic("synth --model gpt-oss-20b --scheme mxfp4 --experts 4 --hidden 64 --width 64 " + path).exit_code,
            0);
  const Result result = moesaic("inspect --json " + path);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  bool emulated = false;
  const Json json = Json::parse(result.out);
  for (const Json& place : json["runs_on"]) {
    if (place["place"] != "emulated:gb10") continue;
    emulated = true;
    EXPECT_TRUE(mentions(place["why_not"], {"MXFP4"}));
  }
  EXPECT_TRUE(emulated);
  const Result refused = moesaic("run " + path + " --device emulated:gb10 --check");
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_EQ(refused.error.find("loading"), std::string::npos) << "it was known before";
  for (const std::string inputs : {"", " --activations mxfp8"}) {
    const Result run = moesaic("run " + path + " --device cpu --check" + inputs);
    EXPECT_EQ(run.exit_code, 0) << run.error << run.out;
    EXPECT_TRUE(mentions(run.out, {inputs.empty() ? "activations bf16" : "activations e4m3, a power of two per 32"}));
    EXPECT_EQ(run.out.find("emulated:gb10"), std::string::npos) << "no advice that cannot be followed";
  }
}

TEST_F(Cli, AMissingDeviceIsThree) {
  const Result run = moesaic("run " + model() + " --device gpu:4095");
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_EQ(run.error.find("loading"), std::string::npos) << "it was known before";
  EXPECT_EQ(run.out, "");
  EXPECT_NE(run.error, "");
}

/// A checkpoint that others wrote, from its files to the result, against what transformers' own block computed. The
/// interval holds both: it charges what quantizing activations does to these tokens.
TEST_F(Cli, AgreesWithTransformers) {
  const Layer layer = checkpoint::load_layer(checkpoint::open(kFixture / "model"), 1);
  const Tokens tokens = checkpoint::read_tokens(kFixture / "hidden.npy");
  const Routing routing = reference::route(layer, tokens);
  const reference::Interval interval = reference::hull(reference::layer_interval(layer, tokens, routing),
                                                       reference::unquantized_interval(layer, tokens, routing));
  const checkpoint::Matrix theirs = checkpoint::read_npy(kFixture / "output.npy");
  EXPECT_TRUE(reference::judge_output(interval, theirs.values).passed());
  for (const std::string device : {"cpu", "emulated:gb10"}) {
    const auto file = directory_ / "o.npy";
    const Result run =
        moesaic("run " + (kFixture / "model").string() + " --tokens " + (kFixture / "hidden.npy").string() +
                " --check --device " + device + " --out " + file.string());
    EXPECT_EQ(run.exit_code, 0) << run.error << run.out;
    const reference::Stage ours = reference::judge_output(interval, checkpoint::read_npy(file).values);
    EXPECT_TRUE(ours.passed()) << device << ": " << ours.text();
  }
}

}  // namespace
}  // namespace moesaic
