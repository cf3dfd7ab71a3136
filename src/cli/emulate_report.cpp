#include "cli/emulate_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>

namespace moesaic::cli {
namespace {

using Json = nlohmann::json;
using emulator::Finding;
using emulator::Statistics;

/// In the order of emulator::Class.
constexpr std::array<std::string_view, emulator::kClasses> kClassNames{
    "integer", "floating", "conversion", "move", "control", "memory", "warp", "barrier", "copy", "matrix"};

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
  for (const Finding& finding : findings) {
    list.push_back({{"kind", name_of(finding.kind)},
                    {"what", finding.what},
                    {"where", party_json(finding.where)},
                    {"other", party_json(finding.other)},
                    {"count", finding.count},
                    {"seed", finding.seed}});
  }
  return list;
}

Json statistics_json(const Statistics& statistics) {
  Json json = {{"mma", statistics.mma}, {"copied_bytes", statistics.copied_bytes}};
  for (std::size_t i = 0; i < kClassNames.size(); ++i) {
    json["warp_instructions"][kClassNames[i]] = statistics.warp_instructions[i];
    json["lane_instructions"][kClassNames[i]] = statistics.lane_instructions[i];
  }
  return json;
}

std::string statistics_text(const Statistics& statistics) {
  std::string text = fmt::format("{} by warps, {} by lanes\n", total(statistics.warp_instructions),
                                 total(statistics.lane_instructions));
  for (std::size_t i = 0; i < kClassNames.size(); ++i) {
    if (statistics.warp_instructions[i] == 0) continue;
    text += fmt::format("           {:<10} {:>12} {:>14}\n", kClassNames[i], statistics.warp_instructions[i],
                        statistics.lane_instructions[i]);
  }
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
  if (report.statistics) {
    line("executed", statistics_text(*report.statistics));
    text.pop_back();
    if (report.statistics->mma != 0) line("mma", fmt::format("{}", report.statistics->mma));
    if (report.statistics->copied_bytes != 0) {
      line("copies", fmt::format("{} bytes by asynchronous copies", report.statistics->copied_bytes));
    }
    line("time", "not shown: an emulated card says nothing about the speed of a real one");
  }
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

}  // namespace moesaic::cli
