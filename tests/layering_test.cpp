// Holds the table "Who may include whom" of docs/design.md by reading the #include lines of src/.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

/// One room: what its files may include beside the room itself ("spec/": the whole of it), which headers in angle
/// brackets they may not, and which room only one of its files may see.
struct Room {
  std::vector<std::string> may_include;
  std::regex foreign;
  std::string seen_by_one_file;
};

const std::regex kCuda{"cu[a-z_0-9]*\\.h(pp)?"};
const std::regex kNotStandard{".*[./].*"};  // no header of the standard library has a dot or a slash in its name
const std::regex kDeviceCode{"(?!cu[a-z_0-9]*\\.h).*[./].*|cstdlib|cstdio|iostream|fstream|filesystem"};
const std::regex kNothing{"(?!)"};

const std::map<std::string, Room> kRooms{
    {"spec", {{}, kNotStandard, ""}},
    {"kernels", {{"spec/"}, kDeviceCode, ""}},
    {"reference", {{"spec/"}, kCuda, ""}},
    {"checkpoint", {{"spec/"}, kCuda, ""}},
    {"emulator",
     {{"spec/formats.hpp", "spec/device.hpp", "spec/error.hpp", "spec/split_mix.hpp", "reference/tensor_core.hpp"},
      kNothing,
      ""}},
    {"device", {{"spec/"}, kNothing, "emulator/"}},
    {"engine", {{"spec/", "device/"}, kNothing, "kernels/"}},
    {"runtime", {{"spec/", "emulator/", "driver_entries.def"}, kNothing, ""}},  // the build makes its list of entries
    {"bench", {{"spec/", "device/", "engine/"}, kNothing, "kernels/"}},
    {"cli",
     {{"spec/", "checkpoint/", "reference/", "emulator/", "device/", "engine/", "bench/", "runtime/"}, kNothing, ""}},
};

struct Source {
  std::string path;  ///< relative to src/: "engine/engine.hpp"
  std::string text;
};

bool starts_with_any(const std::string& name, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const auto& prefix) { return name.starts_with(prefix); });
}

/// Whether a header that the emulator may include would bring it another one.
bool brings_more_to_emulator(const std::string& path, const std::string& header) {
  const auto& allowed = kRooms.at("emulator").may_include;
  return starts_with_any(path, allowed) && !starts_with_any(header, allowed);
}

/// One sentence for each #include that the table forbids.
std::vector<std::string> violations(const std::vector<Source>& sources) {
  static const std::regex kInclude{R"re(^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]*)[>"])re", std::regex::multiline};
  std::vector<std::string> found;
  std::map<std::string, std::set<std::string>> special;  // room -> its files that see what only one may see
  for (const auto& [path, text] : sources) {
    const std::string name = path.substr(0, path.find('/'));
    const auto entry = kRooms.find(name);
    if (entry == kRooms.end()) {
      found.push_back(path + ": " + name + " is not a room of the table");
      continue;
    }
    const Room& room = entry->second;
    for (std::sregex_iterator match{text.begin(), text.end(), kInclude}, end; match != end; ++match) {
      const std::string header = (*match)[2];
      if ((*match)[1] == "<") {
        if (std::regex_match(header, room.foreign)) found.push_back(path + " may not include <" + header + ">");
      } else if (!room.seen_by_one_file.empty() && header.starts_with(room.seen_by_one_file)) {
        special[name].insert(path);
      } else if (!header.starts_with(name + "/") && !starts_with_any(header, room.may_include)) {
        found.push_back(path + " may not include \"" + header + "\"");
      } else if (brings_more_to_emulator(path, header)) {
        found.push_back(path + " is included by the emulator, which may not see \"" + header + "\"");
      }
    }
  }
  for (const auto& [name, files] : special) {
    if (files.size() < 2) continue;
    std::string sentence = "more than one file of " + name + " sees " + kRooms.at(name).seen_by_one_file + ":";
    for (const auto& file : files) sentence += " " + file;
    found.push_back(sentence);
  }
  return found;
}

std::vector<Source> sources_of_this_project() {
  const std::filesystem::path root = std::filesystem::path{MOESAIC_SOURCE_DIR} / "src";
  const std::set<std::string> extensions{".hpp", ".cpp", ".h", ".c", ".cuh", ".cu", ".def"};
  std::vector<Source> sources;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{root}) {
    if (!entry.is_regular_file() || !extensions.contains(entry.path().extension())) continue;
    std::ostringstream text;
    text << std::ifstream{entry.path()}.rdbuf();
    sources.push_back({std::filesystem::relative(entry.path(), root).generic_string(), text.str()});
  }
  return sources;
}

TEST(Layering, EveryIncludeIsAllowed) {
  const auto sources = sources_of_this_project();
  ASSERT_GT(sources.size(), 4u);
  for (const auto& sentence : violations(sources)) ADD_FAILURE() << sentence;
}

TEST(Layering, AllowedIncludesPass) {
  EXPECT_EQ(violations({{"spec/a.hpp", "#pragma once\n#include <vector>\n#include \"spec/formats.hpp\"\n"},
                        {"kernels/a.cuh", "#include <cuda_fp8.h>\n#include \"spec/formats.hpp\"\n"},
                        {"emulator/a.cpp", "#include <cuda.h>\n#include \"reference/tensor_core.hpp\"\n"},
                        {"engine/a.cpp", "#include \"kernels/table.hpp\"\n#include \"device/driver.hpp\"\n"},
                        {"device/a.cpp", "#include \"emulator/driver.hpp\"\n#include \"spec/device.hpp\"\n"}}),
            std::vector<std::string>{});
}

TEST(Layering, EachForbiddenIncludeIsFound) {
  const std::vector<Source> forbidden{
      {"spec/a.hpp", "#include <fmt/format.h>\n"},
      {"spec/a.hpp", "#include \"reference/layer.hpp\"\n"},
      {"kernels/a.cu", "#include <cstdlib>\n"},
      {"kernels/a.cu", "#include \"engine/engine.hpp\"\n"},
      {"reference/a.cpp", "  #  include \"kernels/gemm.cuh\"\n"},
      {"checkpoint/a.cpp", "#include <cuda_runtime.h>\n"},
      {"emulator/a.cpp", "#include \"spec/layer.hpp\"\n"},
      {"emulator/a.cpp", "#include \"reference/layer.hpp\"\n"},
      {"spec/device.hpp", "#include \"spec/config.hpp\"\n"},
      {"reference/tensor_core.hpp", "#include \"reference/layer.hpp\"\n"},
      {"device/a.cpp", "#include \"engine/engine.hpp\"\n"},
      {"engine/a.cpp", "#include \"reference/layer.hpp\"\n"},
      {"engine/a.cpp", "#include \"emulator/machine.hpp\"\n"},
      {"engine/a.cpp", "#include \"../kernels/gemm.cuh\"\n"},
      {"cli/a.cpp", "#include \"kernels/gemm.cuh\"\n"},
      {"runtime/a.cpp", "#include \"device/driver.hpp\"\n"},
      {"emulator/a.cpp", "#include \"runtime/journal.hpp\"\n"},
      {"attic/a.cpp", "\n"},
  };
  for (const auto& source : forbidden) EXPECT_EQ(violations({source}).size(), 1u) << source.path << ": " << source.text;
}

TEST(Layering, OnlyOneFileSeesAcrossTheTable) {
  const std::string kernels = "#include \"kernels/table.hpp\"\n";
  EXPECT_EQ(violations({{"engine/a.cpp", kernels}}).size(), 0u);
  EXPECT_EQ(violations({{"engine/a.cpp", kernels}, {"engine/b.cpp", kernels}}).size(), 1u);
  const std::string emulator = "#include \"emulator/driver.hpp\"\n";
  EXPECT_EQ(violations({{"device/a.cpp", emulator}, {"device/b.cpp", emulator}}).size(), 1u);
}

}  // namespace
