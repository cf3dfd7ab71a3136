#include "emulator/isa.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace moesaic::emulator {
namespace {

constexpr std::array kProofs{Proof::silicon, Proof::independent, Proof::model, Proof::unproven};

std::string_view meaning_of(Proof proof) {
  switch (proof) {
    case Proof::silicon:
      return "an H200 answered the same, bit for bit";
    case Proof::independent:
      return "a test computes it another way, or holds it to the ISA's bound; no 12.x silicon has been asked";
    case Proof::model:
      return "a test computes it another way from a published model; no 12.x silicon has been asked";
    case Proof::unproven:
      return "depends on time or scheduling, or nothing can be seen of it";
  }
  return {};
}

std::vector<const Row*> sorted_rows() {
  std::vector<const Row*> rows;
  for (const Row& row : InstructionTable::get().rows()) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [](const Row* a, const Row* b) { return a->name < b->name; });
  return rows;
}

}  // namespace

std::string_view name_of(Proof proof) {
  static constexpr std::string_view kNames[] = {"silicon", "independent", "model", "exempt"};
  return kNames[static_cast<std::size_t>(proof)];
}

std::string_view name_of(Target target) {
  static constexpr std::string_view kNames[] = {"sm_90", "sm_100", "sm_120f"};
  return kNames[static_cast<std::size_t>(target)];
}

std::string isa_text() {
  const std::vector<const Row*> rows = sorted_rows();
  std::string text = fmt::format(
      "{} rows: opcode and the modifiers that change the result, the least target, the proof\n", rows.size());
  for (const Proof proof : kProofs) {
    const auto count = std::count_if(rows.begin(), rows.end(), [&](const Row* row) { return row->proof == proof; });
    text += fmt::format("{:<12}{:>6}  {}\n", name_of(proof), count, meaning_of(proof));
  }
  text += "\n";
  for (const Row* row : rows) {
    text += fmt::format("{:<56} {:<8} {}\n", row->name, name_of(row->target), name_of(row->proof));
  }
  return text;
}

std::string isa_json() {
  std::string text;
  for (const Row* row : sorted_rows()) {
    text += fmt::format(R"({}    {{"name": "{}", "operands": "{}", "target": "{}", "proof": "{}"}})",
                        text.empty() ? "" : ",\n", row->name, row->operands, name_of(row->target), name_of(row->proof));
  }
  return "{\n  \"rows\": [\n" + text + "\n  ]\n}\n";
}

}  // namespace moesaic::emulator
