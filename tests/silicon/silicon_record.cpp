// Writes what a card answers to the kernels and calls of silicon_probe.cpp:
//   silicon_record gpu:0 tests/fixtures/silicon

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

#include "device/place.hpp"
#include "silicon/silicon_probe.hpp"
#include "spec/error.hpp"

namespace {

void write_file(const std::filesystem::path& path, const char* bytes, std::size_t count) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes, static_cast<std::streamsize>(count));
  file.close();
  if (!file) throw moesaic::Error("cannot write " + path.string());
}

void record(const std::string& place_name, const std::filesystem::path& folder) {
  using namespace moesaic;
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

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fputs("usage: silicon_record gpu:0|emulated:h200 FOLDER\n", stderr);
    return 2;
  }
  try {
    record(arguments[1], arguments[2]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "silicon_record: %s\n", error.what());
    return 1;
  }
}
