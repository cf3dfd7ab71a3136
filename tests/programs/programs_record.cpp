// Runs all programs on a card and writes the summaries of what they computed:
//   programs_record gpu:0 tests/fixtures/programs/h200.txt
// Fails when a result is not what plain C++ computes.

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

#include "device/place.hpp"
#include "programs/programs.hpp"
#include "spec/error.hpp"

namespace moesaic {
namespace {

int record(const std::string& place, const std::filesystem::path& path) {
  const device::Driver driver = device::open_driver(device::parse_place(place));
  std::string text;
  int wrong = 0;
  for (const programs::Program& program : programs::all_programs()) {
    const programs::Card card(driver);
    const programs::Words words = program.run(card);
    const std::string line = programs::summary(program.name, words);
    const bool right = words == program.expected();
    std::printf("%s%s\n", line.c_str(), right ? "" : "   NOT what plain C++ computes");
    wrong += right ? 0 : 1;
    text += line + "\n";
  }
  if (wrong != 0) return 1;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) throw Error("cannot write " + path.string());
  return 0;
}

}  // namespace
}  // namespace moesaic

int main(int count, char** arguments) {
  if (count != 3) {
    std::fputs("usage: programs_record gpu:0|emulated:h200 FILE\n", stderr);
    return 2;
  }
  try {
    return moesaic::record(arguments[1], arguments[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "programs_record: %s\n", error.what());
    return 1;
  }
}
