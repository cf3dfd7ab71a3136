#include "planted/catalogue.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "spec/error.hpp"

namespace moesaic::planted {
namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char letter : text) {
    if (letter == '|') {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  return parts;
}

std::vector<Planted> read_source(const std::filesystem::path& path) {
  static const std::regex kFunction{R"(__device__ void (\w+)\(const Params& p)"};
  static const std::regex kCaught{R"(// caught( sometimes)?: ([\w|]+))"};
  static const std::regex kPlanted{R"(^PLANTED(_PAIR|_BY_HAND|)\((\w+), (\d+), (\d+)\))"};
  constexpr std::string_view kPrimary = "_primary";
  std::map<std::string, std::vector<Caught>> caught;
  std::set<std::string> sometimes;
  std::vector<Planted> found;
  std::string function;
  std::string text;
  std::ifstream lines(path);
  for (int number = 1; std::getline(lines, text); ++number) {
    std::smatch match;
    if (std::regex_search(text, match, kFunction)) {
      function = match[1];
      if (function.ends_with(kPrimary)) function.resize(function.size() - kPrimary.size());
    }
    if (std::regex_search(text, match, kCaught)) {
      caught[function].push_back({{path.filename().string(), number}, split(match[2])});
      if (match[1].matched) sometimes.insert(function);
    }
    if (std::regex_search(text, match, kPlanted)) {
      const std::string name = match[2];
      found.push_back({.name = name,
                       .pair = match[1] == "_PAIR",
                       .blocks = static_cast<std::uint32_t>(std::stoul(match[3])),
                       .threads = static_cast<std::uint32_t>(std::stoul(match[4])),
                       .caught = caught[name],
                       .always = sometimes.count(name) == 0});
      if (found.back().caught.empty()) throw Error(path.string() + ": " + name + " does not say what is caught");
      caught.erase(name);
    }
  }
  if (!caught.empty()) throw Error(path.string() + ": " + caught.begin()->first + " is not planted");
  return found;
}

}  // namespace

std::vector<Planted> read_catalogue(const std::string& folder) {
  std::vector<std::filesystem::path> sources;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".cuh" && entry.path().stem() != "planted") sources.push_back(entry.path());
  }
  std::ranges::sort(sources);
  std::vector<Planted> all;
  for (const std::filesystem::path& source : sources) {
    const std::vector<Planted> found = read_source(source);
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

}  // namespace moesaic::planted
