#include "cli/emulate_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

namespace moesaic::cli {
namespace {

using Json = nlohmann::json;
using emulator::Finding;
using emulator::Statistics;

/// In the order of emulator::Class.
constexpr std::array<std::string_view, emulator::kClasses> kClassNames{
    "integer", "floating", "conversion", "move", "control", "memory", "warp", "barrier", "copy", "matrix"};

/// Bytes that were moved in one way.
struct Space {
  const char* name;
  emulator::Traffic::Bytes emulator::Traffic::*bytes;
};
constexpr std::array kSpaces{Space{"global", &emulator::Traffic::global}, Space{"shared", &emulator::Traffic::shared},
                             Space{"local", &emulator::Traffic::local},
                             Space{"copied_global", &emulator::Traffic::copied_global},
                             Space{"copied_shared", &emulator::Traffic::copied_shared}};

std::string extent(const emulator::Extent& e) {
  return fmt::format("{}x{}x{}", e.x, e.y, e.z);
}

std::uint64_t total(const std::array<std::uint64_t, emulator::kClasses>& counts) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : counts) sum += count;
  return sum;
}

std::string verdict(const EmulateReport& report) {
  if (!report.fault.empty()) return fmt::format("the kernel failed ({})", report.fault_kind);
  if (!report.findings.empty()) {
    return fmt::format("the kernel ran, but not as it should: {} {}", report.findings.size(),
                       report.findings.size() == 1 ? "finding" : "findings");
  }
  const std::string looked = report.checks == "none" ? "nothing was looked for beyond what is always an error"
                                                     : fmt::format("nothing found (checks: {})", report.checks);
  return report.runs == 1 ? looked : fmt::format("{} in {} runs", looked, report.runs);
}

std::string indented(const std::string& text) {
  std::string result = "  ";
  for (const char letter : text) {
    result += letter;
    if (letter == '\n') result += "  ";
  }
  return result;
}

Json party_json(const Finding::Party& party) {
  if (party.line == 0) return nullptr;
  return {{"kernel", party.kernel}, {"line", party.line},   {"instruction", party.instruction},
          {"source", party.source}, {"grid", party.grid},   {"block", party.block},
          {"warp", party.warp},     {"lanes", party.lanes}, {"access", party.access}};
}

Json findings_json(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings) list.push_back(finding_json(finding));
  return list;
}

Json statistics_json(const Statistics& statistics) {
  Json json = {{"mma", statistics.mma}, {"mma_forms", statistics.mma_forms}, {"copied_bytes", statistics.copied_bytes}};
  for (const Space& space : kSpaces) {
    const emulator::Traffic::Bytes& bytes = statistics.traffic.*space.bytes;
    json["bytes"][space.name] = {{"read", bytes.read}, {"written", bytes.written}};
  }
  json["shared_wavefronts"] = Json::array();
  for (const auto& [line, wavefronts] : statistics.wavefronts) {
    json["shared_wavefronts"].push_back({{"line", line}, {"needed", wavefronts.needed}, {"taken", wavefronts.taken}});
  }
  for (std::size_t i = 0; i < kClassNames.size(); ++i) {
    json["warp_instructions"][kClassNames[i]] = statistics.warp_instructions[i];
    json["lane_instructions"][kClassNames[i]] = statistics.lane_instructions[i];
  }
  return json;
}

constexpr std::size_t kConflictsShown = 5;

/// The lines of PTX that lost most to bank conflicts.
std::string conflicts_text(const Statistics& statistics) {
  using Entry = std::pair<std::uint32_t, emulator::Wavefronts>;
  std::vector<Entry> worst;
  for (const auto& [line, wavefronts] : statistics.wavefronts) {
    if (wavefronts.taken > wavefronts.needed) worst.emplace_back(line, wavefronts);
  }
  const auto lost = [](const Entry& entry) { return entry.second.taken - entry.second.needed; };
  std::ranges::stable_sort(worst, std::greater{}, lost);
  std::string text;
  for (std::size_t i = 0; i < std::min(worst.size(), kConflictsShown); ++i) {
    text += fmt::format("PTX line {}: {} wavefronts of shared memory where {} are needed\n", worst[i].first,
                        worst[i].second.taken, worst[i].second.needed);
  }
  if (worst.size() > kConflictsShown)
    text += fmt::format("{} more lines; --json has all\n", worst.size() - kConflictsShown);
  return text;
}

std::string statistics_text(const Statistics& statistics, const std::string& bold, const std::string& plain) {
  std::string text;
  const auto section = [&](std::string_view label, const std::string& lines) {
    std::istringstream stream(lines);
    bool first = true;
    for (std::string line; std::getline(stream, line); first = false) {
      text += fmt::format("{}{:<10}{} {}\n", bold, first ? label : "", plain, line);
    }
  };
  std::string executed = fmt::format("{} instructions by warps, {} by lanes\n", total(statistics.warp_instructions),
                                     total(statistics.lane_instructions));
  for (std::size_t i = 0; i < kClassNames.size(); ++i) {
    if (statistics.warp_instructions[i] == 0) continue;
    executed += fmt::format("{:<10} {:>12} {:>14}\n", kClassNames[i], statistics.warp_instructions[i],
                            statistics.lane_instructions[i]);
  }
  section("executed", executed);
  std::string moved;
  for (const Space& space : kSpaces) {
    const emulator::Traffic::Bytes& bytes = statistics.traffic.*space.bytes;
    if (bytes.read == 0 && bytes.written == 0) continue;
    moved += fmt::format("{:<13} {:>12} read {:>12} written\n", space.name, bytes.read, bytes.written);
  }
  section("bytes", moved);
  std::string multiplies;
  for (const auto& [form, count] : statistics.mma_forms) multiplies += fmt::format("{:>8} {}\n", count, form);
  section("mma", multiplies);
  section("conflicts", conflicts_text(statistics));
  section("time", "not shown: an emulated card says nothing about the speed of a real one");
  return text;
}

}  // namespace

std::string as_text(const EmulateReport& report, bool colour) {
  const std::string bold = colour ? "\x1b[1m" : "";
  const std::string hue = colour ? (report.clean() ? "\x1b[32m" : "\x1b[31m") : "";
  const std::string plain = colour ? "\x1b[0m" : "";
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("{}{:<10}{} {}\n", bold, label, plain, value);
  };
  const emulator::Launch& launch = report.launch;
  line("kernel", fmt::format("{} of {}", report.kernel, report.file));
  line("launch", fmt::format("grid {}, block {}, {} bytes of dynamic shared memory", extent(launch.grid),
                             extent(launch.block), launch.dynamic_shared_bytes));
  line("card", fmt::format("{} ({}), emulated; registers: {}", report.card, report.card_name, report.registers));
  line("result", hue + verdict(report) + plain);
  if (!report.fault.empty()) text += indented(report.fault) + '\n';
  for (const Finding& finding : report.findings) text += indented(finding.sentence()) + '\n';
  if (!report.clean()) {
    line("again", fmt::format("--seed {} --host-threads 1 gives this report again", report.seed));
  }
  if (report.statistics) text += statistics_text(*report.statistics, bold, plain);
  for (const EmulateReport::Printed& printed : report.printed) {
    const bool all = printed.values.size() == printed.count;
    line("buffer " + std::to_string(printed.buffer),
         fmt::format("{}[{}]: {}{}", printed.type, printed.count, fmt::join(printed.values, " "), all ? "" : " ..."));
  }
  for (const std::string& file : report.written) line("written", file);
  return text;
}

std::string as_json(const EmulateReport& report) {
  const auto extents = [](const emulator::Extent& e) { return Json{e.x, e.y, e.z}; };
  Json json = {{"file", report.file},
               {"kernel", report.kernel},
               {"card", {{"name", report.card}, {"full_name", report.card_name}}},
               {"grid", extents(report.launch.grid)},
               {"block", extents(report.launch.block)},
               {"dynamic_shared_bytes", report.launch.dynamic_shared_bytes},
               {"registers", report.registers},
               {"checks", report.checks},
               {"seed", report.seed},
               {"runs", report.runs},
               {"clean", report.clean()},
               {"fault", nullptr},
               {"findings", findings_json(report.findings)},
               {"statistics", report.statistics ? statistics_json(*report.statistics) : Json()},
               {"buffers", Json::array()},
               {"written", report.written}};
  if (!report.fault.empty()) json["fault"] = {{"kind", report.fault_kind}, {"what", report.fault}};
  for (const EmulateReport::Printed& printed : report.printed) {
    json["buffers"].push_back(
        {{"buffer", printed.buffer}, {"type", printed.type}, {"count", printed.count}, {"values", printed.values}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

nlohmann::json finding_json(const Finding& finding) {
  return {{"kind", name_of(finding.kind)},      {"what", finding.what},   {"where", party_json(finding.where)},
          {"other", party_json(finding.other)}, {"count", finding.count}, {"seed", finding.seed}};
}

}  // namespace moesaic::cli
