#include "kernel_report/ptxas_report.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "spec/error.hpp"

namespace moesaic::kernel_report {
namespace {

/// The text between `before` and `after`; nothing when the line does not have both.
std::optional<std::string> between(const std::string& line, std::string_view before, std::string_view after) {
  const std::size_t start = line.find(before);
  if (start == std::string::npos) return std::nullopt;
  const std::size_t end = line.find(after, start + before.size());
  if (end == std::string::npos) return std::nullopt;
  return line.substr(start + before.size(), end - start - before.size());
}

/// The whole number that stands in front of `what`; 0 when the line does not say.
int number_before(const std::string& line, std::string_view what) {
  const std::size_t end = line.find(what);
  if (end == std::string::npos) return 0;
  std::size_t start = end;
  while (start > 0 && line[start - 1] >= '0' && line[start - 1] <= '9') --start;
  int value = 0;
  std::from_chars(line.data() + start, line.data() + end, value);
  return value;
}

/// `awaited`: an entry was announced and its registers have not been told yet.
void check_order(bool awaited, const PtxasReport& report) {
  if (!awaited) return;
  throw Error("ptxas's report is torn: it announces the entry " + report.entries.back().entry + " for " +
              report.entries.back().target + " and does not say how many registers it uses");
}

}  // namespace

PtxasReport parse_ptxas_report(std::string_view text) {
  PtxasReport report;
  bool awaited = false;
  std::istringstream lines{std::string{text}};
  for (std::string line; std::getline(lines, line);) {
    if (line.find("setmaxnreg") != std::string::npos && line.find("ignored") != std::string::npos) {
      report.ignored.push_back(line);
    } else if (const auto entry = between(line, "Compiling entry function '", "'")) {
      check_order(awaited, report);
      report.entries.push_back({.entry = *entry, .target = between(line, "' for '", "'").value_or("")});
      awaited = true;
    } else if (awaited) {
      Compiled& last = report.entries.back();
      if (line.find("bytes stack frame") != std::string::npos) {
        last.stack_bytes = std::max(last.stack_bytes, number_before(line, " bytes stack frame"));
        last.spill_store_bytes = std::max(last.spill_store_bytes, number_before(line, " bytes spill stores"));
        last.spill_load_bytes = std::max(last.spill_load_bytes, number_before(line, " bytes spill loads"));
      } else if (line.find(": Used ") != std::string::npos) {
        last.registers = number_before(line, " registers");
        last.static_smem_bytes = number_before(line, " bytes smem");
        last.stack_bytes = std::max(last.stack_bytes, number_before(line, " bytes cumulative stack size"));
        awaited = false;
      }
    }
  }
  check_order(awaited, report);
  return report;
}

}  // namespace moesaic::kernel_report
