// Programs that know nothing of this project, run by `moesaic emulate -- PROGRAM`.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <algorithm>

#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "temporary_directory.hpp"

namespace moesaic {
namespace {

struct Result {
  int exit_code = -1;
  std::string text;  ///< stdout and stderr
};

Result shell(const std::string& command) {
  Result result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> part{};
  while (const std::size_t got = std::fread(part.data(), 1, part.size(), pipe)) result.text.append(part.data(), got);
  const int status = pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

/// `moesaic emulate OPTIONS -- PROGRAM ARGUMENTS`, the program one of those beside this test.
Result emulate(const std::string& options, const std::string& program) {
  return shell(std::string(MOESAIC_PROGRAM) + " emulate " + options + " -- " + MOESAIC_PROGRAMS + "/" + program);
}

bool says(const Result& result, const std::string& text) {
  return result.text.find(text) != std::string::npos;
}

TEST(Runtime, VectorAddOnEveryBlackwell) {
  for (const char* card : {"gb10", "rtx5090", "rtxpro6000"}) {
    const Result result = emulate(std::string("--gpu ") + card, "runtime_vector_add");
    EXPECT_EQ(result.exit_code, 0) << card << ": " << result.text;
    EXPECT_EQ(result.text, "ok\n") << card;
  }
}

TEST(Runtime, CallsDoWhatIsDocumented) {
  const Result result = emulate("--sms 2", "runtime_calls");
  EXPECT_EQ(result.exit_code, 0) << result.text;
  EXPECT_TRUE(says(result, "kernel 7\n")) << result.text;
  EXPECT_TRUE(says(result, "ok\n")) << result.text;
}

TEST(Runtime, AFailedKernelStays) {
  const Result result = emulate("--sms 2", "runtime_calls fail");
  EXPECT_EQ(result.exit_code, 4) << result.text;
  EXPECT_TRUE(says(result, "ok\n")) << result.text;
  EXPECT_TRUE(says(result, "write_outside")) << result.text;
}

TEST(Runtime, Graphs) {
  const Result result = emulate("--sms 2", "runtime_graphs");
  EXPECT_EQ(result.exit_code, 0) << result.text;
  EXPECT_EQ(result.text, "ok\n");
}

TEST(Runtime, CubAndThrust) {
  const Result result = emulate("--sms 4", "runtime_algorithms");
  EXPECT_EQ(result.exit_code, 0) << result.text;
  EXPECT_TRUE(says(result, "ok\n")) << result.text;
}

TEST(Runtime, GoogleTest) {
  const Result result = emulate("", "runtime_gtest --gtest_color=no");
  EXPECT_EQ(result.exit_code, 0) << result.text;
  EXPECT_TRUE(says(result, "[  PASSED  ] 3 tests.")) << result.text;
}

TEST(Runtime, GoogleBenchmark) {
  if (MOESAIC_HAS_BENCHMARK == 0) GTEST_SKIP() << "Google Benchmark is not installed";
  const Result result = emulate("", "runtime_benchmark");
  EXPECT_EQ(result.exit_code, 0) << result.text;
  EXPECT_TRUE(says(result, "fill_memory")) << result.text;
  EXPECT_FALSE(says(result, "ERROR")) << result.text;
}

TEST(Runtime, NamesEveryBug) {
  struct Bug {
    const char* name;
    const char* kernel;
  };
  for (const Bug& bug : {Bug{"race", "reverse_without_barrier"}, Bug{"undefined", "copy_uninitialised"},
                         Bug{"out_of_bounds", "write_past_the_end"}, Bug{"deadlock", "wait_alone"}}) {
    const Result result = emulate("--check all", std::string("runtime_bugs ") + bug.name);
    EXPECT_EQ(result.exit_code, 4) << bug.name << ": " << result.text;
    EXPECT_TRUE(says(result, "ended\n")) << result.text;
    EXPECT_TRUE(says(result, bug.kernel)) << bug.name << ": " << result.text;
    EXPECT_TRUE(says(result, bug.name)) << result.text;
    // A deadlock names what waits, by its line of PTX.
    const char* place = std::string_view(bug.name) == "deadlock" ? "barrier.sync 1, 64" : "bugs.cu";
    EXPECT_TRUE(says(result, place)) << bug.name << ": " << result.text;
  }
  EXPECT_EQ(emulate("--check all", "runtime_bugs none").exit_code, 0);
  EXPECT_EQ(emulate("--check none", "runtime_bugs race").exit_code, 0) << "nothing is looked for";
}

TEST(Runtime, ReportsAsJson) {
  const TemporaryDirectory directory;
  const std::string file = directory.path() / "report.json";
  EXPECT_EQ(emulate("--json " + file, "runtime_bugs race").exit_code, 4);
  const nlohmann::json report = nlohmann::json::parse(std::ifstream(file));
  EXPECT_EQ(report["exit_code"], 4);
  EXPECT_EQ(report["processes"], 1);
  ASSERT_FALSE(report["findings"].empty());
  // What it reads before its neighbour has written it is undefined, too.
  EXPECT_TRUE(std::ranges::any_of(report["findings"], [](const auto& finding) { return finding["kind"] == "race"; }));
}

TEST(Runtime, SaysWhatIsMissing) {
  const Result other_card = emulate("--gpu h200", "runtime_vector_add");
  EXPECT_EQ(other_card.exit_code, 1) << other_card.text;
  EXPECT_TRUE(says(other_card, "no PTX for compute capability 9.0")) << other_card.text;
  EXPECT_TRUE(says(other_card, "compute_120f")) << other_card.text;
  const Result no_cuda = shell(std::string(MOESAIC_PROGRAM) + " emulate -- true");
  EXPECT_EQ(no_cuda.exit_code, 0) << no_cuda.text;
  EXPECT_TRUE(says(no_cuda, "-cudart shared")) << no_cuda.text;
  const Result no_program = shell(std::string(MOESAIC_PROGRAM) + " emulate -- /nobody");
  EXPECT_EQ(no_program.exit_code, 127) << no_program.text;
  const Result wrong = emulate("--gpu gb11", "runtime_vector_add");
  EXPECT_EQ(wrong.exit_code, 2) << wrong.text;
}

TEST(Runtime, RefusesARuntimeThatIsLinkedIn) {
  if (MOESAIC_HAS_STATIC == 0) GTEST_SKIP() << "there is no libcudart_static.a";
  const Result result = emulate("", "runtime_static");
  EXPECT_EQ(result.exit_code, 2) << result.text;
  EXPECT_TRUE(says(result, "-cudart shared")) << result.text;
}

TEST(Runtime, GivesTheProgramsExitCode) {
  EXPECT_EQ(shell(std::string(MOESAIC_PROGRAM) + " emulate -- sh -c 'exit 7'").exit_code, 7);
}

}  // namespace
}  // namespace moesaic
