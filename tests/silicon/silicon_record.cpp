// Writes what a card answers to the kernels and calls of silicon_probe.cpp, and hashes of what it answers to the cases
// of isa/isa_case.hpp; with a third argument also what an emulated H200 answers otherwise to those:
//   silicon_record gpu:0 tests/fixtures/silicon [DIFFERENCES.txt]

#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

#include "device/place.hpp"
#include "isa/isa_fixture.hpp"
#include "silicon/isolated_run.hpp"
#include "silicon/silicon_probe.hpp"
#include "spec/error.hpp"

namespace moesaic {
namespace {

void write_file(const std::filesystem::path& path, const char* bytes, std::size_t count) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes, static_cast<std::streamsize>(count));
  file.close();
  if (!file) throw Error("cannot write " + path.string());
}

void record(const std::string& place_name, const std::filesystem::path& folder) {
  const device::Place place = device::parse_place(place_name);
  std::filesystem::create_directories(folder);
  for (const silicon::Section& section : silicon::run_kernels(device::open_driver(place))) {
    write_file(folder / (section.name + ".bin"), reinterpret_cast<const char*>(section.words.data()),
               section.words.size() * 4);
    std::printf("%-16s %zu words\n", section.name.c_str(), section.words.size());
  }
  const std::string card = silicon::card_name(device::open_driver(place)) + "\n";
  write_file(folder / "card.txt", card.data(), card.size());
  std::string lines;
  for (const std::string& line : silicon::run_wrong_calls(device::open_driver(place))) lines += line + "\n";
  write_file(folder / "wrong_calls.txt", lines.data(), lines.size());
  std::fputs(lines.c_str(), stdout);
}

constexpr std::size_t kDifferencesShown = 48;

/// What an emulated card answers otherwise than this one: for each part a line with its name and the number of words
/// that differ, then the first of them: index, this card's, the emulated one's.
std::string differences(const std::vector<isa::Answer>& here, const std::vector<isa::Answer>& there) {
  std::string text;
  for (std::size_t i = 0; i < here.size(); ++i) {
    if (!here[i].error.empty()) continue;
    if (!there[i].error.empty()) {
      text += here[i].of->name + ": " + there[i].error + "\n";
      continue;
    }
    std::size_t first = 0;
    for (const isa::Part& part : here[i].of->parts) {
      std::string lines;
      std::size_t count = 0;
      for (std::size_t word = 0; word < part.words; ++word) {
        const std::uint32_t want = here[i].words[first + word];
        const std::uint32_t got = there[i].words[first + word];
        if (want == got || ++count > kDifferencesShown) continue;
        std::array<char, 64> line{};
        std::snprintf(line.data(), line.size(), "  %zu %08x %08x\n", word, want, got);
        lines += line.data();
      }
      if (count != 0) text += part.name + ": " + std::to_string(count) + "\n" + lines;
      first += part.words;
    }
  }
  return text;
}

/// Cases that the card rejects are told of and have no record.
void record_instructions(const std::string& place_name, const std::filesystem::path& folder,
                         const char* differences_path) {
  std::string found;
  for (const isa::Family& family : isa::families()) {
    const std::vector<isa::Case> cases = family.cases();
    const std::vector<isa::Answer> answers = silicon::run_isolated(place_name, "sm_90a", cases);
    std::size_t failed = 0;
    for (const isa::Answer& answer : answers) {
      if (answer.error.empty()) continue;
      ++failed;
      std::printf("%s (%s, ...): %s\n", answer.of->name.c_str(), answer.of->parts.front().name.c_str(),
                  answer.error.c_str());
    }
    write_records(folder / ("isa_" + family.name + ".bin"), isa::records_of(answers));
    std::printf("%-16s %zu cases, %zu failed\n", family.name.c_str(), cases.size(), failed);
    if (differences_path == nullptr) continue;
    found += differences(answers,
                         isa::run_cases(device::open_driver(device::parse_place("emulated:h200")), "sm_90a", cases));
  }
  if (differences_path != nullptr) write_file(differences_path, found.data(), found.size());
}

}  // namespace
}  // namespace moesaic

int main(int count, char** arguments) {
  if (count != 3 && count != 4) {
    std::fputs("usage: silicon_record gpu:0|emulated:h200 FOLDER [DIFFERENCES.txt]\n", stderr);
    return 2;
  }
  try {
    moesaic::record_instructions(arguments[1], arguments[2], count == 4 ? arguments[3] : nullptr);
    moesaic::record(arguments[1], arguments[2]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "silicon_record: %s\n", error.what());
    return 1;
  }
}
