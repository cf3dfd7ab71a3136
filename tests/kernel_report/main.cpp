// kernel_report [--json]: what the assembler made of every kernel of the fat binary, and whether it is what the table
// of variants says. Exits with 1 when something is not, with 2 when a file cannot be read. docs/measurements.md
// explains it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernel_report/judge.hpp"
#include "kernels/kernels.hpp"
#include "spec/error.hpp"

namespace moesaic::kernel_report {
namespace {

using Json = nlohmann::json;

std::string read_text(const std::string& path) {
  std::ifstream file{path};
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.view().empty()) {
    throw Error(
        path +
        " cannot be read; a disassembly is there after a build that found cuobjdump beside nvcc or in .venv, where "
        "scripts/bootstrap.sh check puts it");
  }
  return text.str();
}

Json counts_json(const Counts& counts) {
  Json json;
  for (std::size_t kind = 0; kind < counts.size(); ++kind) json[std::string(kKindNames[kind])] = counts[kind];
  return json;
}

Json row_json(const Row& row) {
  const Compiled& c = row.compiled;
  Json json{{"name", row.name},
            {"entry", c.entry},
            {"target", c.target},
            {"registers", c.registers},
            {"stack_bytes", c.stack_bytes},
            {"spill_store_bytes", c.spill_store_bytes},
            {"spill_load_bytes", c.spill_load_bytes},
            {"smem_bytes", row.smem_bytes},
            {"instructions", row.instructions},
            {"loops", Json::array()}};
  if (row.config) {
    json["registers_allowed"] = registers_at_launch(*row.config);
    json["blocks_per_sm"] = row.blocks_per_sm;
  }
  for (const LoopCounts& loop : row.loops) {
    json["loops"].push_back(
        {{"mma", loop.mma}, {"between", counts_json(loop.between)}, {"whole", counts_json(loop.whole)}});
  }
  return json;
}

std::string as_json(const Report& report) {
  Json rows = Json::array();
  for (const Row& row : report.rows) rows.push_back(row_json(row));
  return Json{{"entries", rows}, {"problems", report.problems}}.dump(1) + "\n";
}

std::string loop_line(const LoopCounts& loop) {
  int between = 0;
  for (const int count : loop.between) between += count;
  int whole = 0;
  for (const int count : loop.whole) whole += count;
  std::string text = fmt::format("  {:>5} {:>6.2f}", loop.mma, static_cast<double>(between) / loop.mma);
  for (std::size_t kind = 1; kind < loop.between.size(); ++kind) {
    text += fmt::format(" {:>10.2f}", static_cast<double>(loop.between[kind]) / loop.mma);
  }
  return text + fmt::format(" {:>10}\n", whole);
}

std::string as_text(const Report& report) {
  std::string text = fmt::format("{:<46} {:<8} {:>9} {:>11} {:>7} {:>6}\n", "entry", "target", "registers",
                                 "stack+spill", "smem", "blocks");
  for (const Row& row : report.rows) {
    const Compiled& c = row.compiled;
    text += fmt::format("{:<46} {:<8} {:>9} {:>11} {:>7} {:>6}\n", row.name, c.target,
                        row.config ? fmt::format("{}/{}", c.registers, registers_at_launch(*row.config))
                                   : fmt::format("{}", c.registers),
                        c.stack_bytes + c.spill_store_bytes + c.spill_load_bytes, row.smem_bytes,
                        row.config ? fmt::format("{}", row.blocks_per_sm) : "");
  }
  text += "\nMain loops: instructions from the first mma to the last, for each mma; and how many the whole loop has.\n";
  text += "    mma    all";
  for (std::size_t kind = 1; kind < kKindNames.size(); ++kind) text += fmt::format(" {:>10}", kKindNames[kind]);
  text += fmt::format(" {:>10}\n", "whole loop");
  for (const Row& row : report.rows) {
    if (!row.loops.empty()) text += fmt::format("{} {}\n", row.name, row.compiled.target);
    for (const LoopCounts& loop : row.loops) text += loop_line(loop);
  }
  for (const std::string& problem : report.problems) text += fmt::format("\nPROBLEM: {}", problem);
  return text + (report.problems.empty() ? "\nEvery kernel is what the table of variants says.\n" : "\n");
}

int run(int argc, char** argv) {
  CLI::App program{"What the assembler made of every kernel, and whether it is what the table of variants says."};
  std::string ptxas = MOESAIC_PTXAS_REPORT;
  std::vector<std::string> sass{MOESAIC_SASS};
  bool json = false;
  program.add_option("--ptxas", ptxas, "what ptxas -v said")->capture_default_str();
  program.add_option("--sass", sass, "files that cuobjdump --dump-sass wrote")->capture_default_str();
  program.add_flag("--json", json, "report as one JSON object");
  CLI11_PARSE(program, argc, argv);

  std::vector<Code> code;
  for (const std::string& path : sass) {
    for (Code& function : parse_sass(read_text(path))) code.push_back(std::move(function));
  }
  const Report report = judge(parse_ptxas_report(read_text(ptxas)), code, kernels::kGemmVariants);
  fmt::print("{}", json ? as_json(report) : as_text(report));
  return report.problems.empty() ? 0 : 1;
}

}  // namespace
}  // namespace moesaic::kernel_report

int main(int argc, char** argv) {
  try {
    return moesaic::kernel_report::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "kernel_report: {}\n", error.what());
    return 2;
  }
}
