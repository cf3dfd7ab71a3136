// Whole programs compiled by nvcc, on emulated cards with every check on: they compute what plain C++ computes, over
// several seeds, and nothing is found. What a real H200 computed lies in tests/fixtures/programs.

#include <gtest/gtest.h>

#include <sstream>

#include "device/place.hpp"
#include "programs/programs.hpp"
#include "temporary_directory.hpp"

namespace moesaic::programs {

// For the names of tests.
void PrintTo(const Program& program, std::ostream* out) {
  *out << program.name;
}

namespace {

constexpr std::uint64_t kSeeds = 5;

device::Driver checked_card(const std::string& name, std::uint64_t seed) {
  device::Place place = device::parse_place(name);
  place.seed = seed;
  place.checks = "all";
  return device::open_driver(place);
}

class WholeProgram : public testing::TestWithParam<Program> {};

TEST_P(WholeProgram, ComputesWhatPlainCppComputes) {
  const Program& program = GetParam();
  const Words expected = program.expected();
  for (const char* place : {"emulated:h200", "emulated:gb10"}) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      SCOPED_TRACE(std::string(place) + ", seed " + std::to_string(seed));
      const device::Driver driver = checked_card(place, seed);
      const Words words = program.run(Card(driver));
      ASSERT_EQ(words.size(), expected.size());
      for (std::size_t i = 0; i < words.size(); ++i) ASSERT_EQ(words[i], expected[i]) << "word " << i;
      ASSERT_EQ(driver.take_findings(), "");
    }
  }
}

TEST_P(WholeProgram, ComputesWhatAnH200Computed) {
  std::istringstream lines(read_file(MOESAIC_SOURCE_DIR "/tests/fixtures/programs/h200.txt"));
  const std::string prefix = std::string(GetParam().name) + ":";
  std::string recorded;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(prefix)) recorded = line;
  }
  const device::Driver driver = device::open_driver(device::parse_place("emulated:h200"));
  EXPECT_EQ(summary(GetParam().name, GetParam().run(Card(driver))), recorded);
}

INSTANTIATE_TEST_SUITE_P(All, WholeProgram, testing::ValuesIn(all_programs().begin(), all_programs().end()),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace moesaic::programs
