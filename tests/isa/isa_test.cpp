// Every row of the table of instructions has the proof that `moesaic emulate --isa` claims for it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "device/place.hpp"
#include "emulator/isa.hpp"
#include "isa/isa_fixture.hpp"
#include "isa/judge.hpp"
#include "isa/lanewise_cases.hpp"
#include "isa/row_proof.hpp"
#include "isa/row_signature.hpp"

namespace moesaic::isa {
namespace {

using emulator::InstructionTable;
using emulator::Proof;
using emulator::Row;

device::Driver card(const char* name) {
  device::Place place = device::parse_place(name);
  place.sms = 2;
  return device::open_driver(place);
}

/// Rows that parts of the fixtures prove.
std::set<std::string> rows_of_fixtures() {
  std::set<std::string> rows;
  for (const Family& family : families()) {
    const auto path =
        std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/silicon" / ("isa_" + family.name + ".bin");
    for (const auto& [name, record] : read_records(path)) rows.insert(record.rows.begin(), record.rows.end());
  }
  return rows;
}

std::set<std::string> rows_of_proofs() {
  std::set<std::string> rows;
  for (const RowProof& proof : row_proofs()) rows.insert(proof.rows.begin(), proof.rows.end());
  return rows;
}

TEST(Isa, EveryRowHasItsProof) {
  const std::set<std::string> on_silicon = rows_of_fixtures();
  const std::set<std::string> computed = rows_of_proofs();
  for (const Row& row : InstructionTable::get().rows()) {
    switch (row.proof) {
      case Proof::silicon:
        EXPECT_TRUE(row.target == emulator::Target::any) << row.name << ": no card of capability 9.0 can run it";
        EXPECT_TRUE(on_silicon.contains(row.name)) << row.name << ": no fixture proves it";
        break;
      case Proof::independent:
      case Proof::model:
        EXPECT_TRUE((is_lanewise(row) && judge_of(row)) || computed.contains(row.name))
            << row.name << ": no test computes it";
        break;
      case Proof::unproven:
        EXPECT_TRUE(is_exempt(row.name)) << row.name << ": not in the list of exempt rows";
        break;
    }
  }
}

TEST(Isa, EveryExemptionIsNeeded) {
  for (const std::string& name : exempt_names()) {
    std::size_t rows = 0;
    for (const Row& row : InstructionTable::get().rows()) {
      if (row.name == name || row.name.starts_with(name + ".")) rows += row.proof == Proof::unproven ? 1U : 0U;
    }
    EXPECT_NE(rows, 0U) << name << " exempts nothing";
  }
}

std::uint64_t result_of(const std::uint32_t* words, std::size_t element, bool wide) {
  if (!wide) return words[element];
  return std::uint64_t{words[2 * element + 1]} << 32 | words[2 * element];
}

/// Every element of one test against its judge.
void expect_judged(const LaneTest& test, const std::uint32_t* words) {
  const Judge judge = judge_of(*test.row);
  ASSERT_TRUE(judge) << test.name;
  const std::vector<Values> operands = operand_values(test.sources, kElements);
  const bool wide = test.words == 2 * kElements;
  std::size_t wrong = 0;
  std::string first;
  for (std::size_t element = 0; element < kElements; ++element) {
    std::vector<std::uint64_t> in;
    in.reserve(operands.size());
    for (const Values& values : operands) in.push_back(values[element]);
    const std::uint64_t result = result_of(words, element, wide);
    if (judge(in, result) || ++wrong > 1) continue;
    for (const std::uint64_t operand : in) first += fmt::format(" {:#x}", operand);
    first += fmt::format(" give {:#x}", result);
  }
  EXPECT_EQ(wrong, 0U) << test.name << ":" << first;
}

TEST(Isa, InstructionsOfOneLaneGiveWhatIndependentComputationsGive) {
  const std::vector<LaneTest> tests =
      lane_tests([](const Row& row) { return row.proof == Proof::independent || row.proof == Proof::model; });
  EXPECT_FALSE(tests.empty());
  std::map<std::string, const LaneTest*> by_case;  // one test in each case: a row's name may stand for several rows
  std::vector<Case> cases;
  for (const LaneTest& test : tests) {
    cases.push_back(cases_of({test}, "judged" + std::to_string(cases.size()) + "_").front());
    by_case[cases.back().name] = &test;
  }
  for (const Answer& answer : run_cases(card("emulated:gb10"), "sm_120f", cases)) {
    ASSERT_EQ(answer.error, "") << by_case[answer.of->name]->name;
    expect_judged(*by_case[answer.of->name], answer.words.data());
  }
}

TEST(Isa, OtherIndependentComputationsAgree) {
  for (const RowProof& proof : row_proofs()) EXPECT_EQ(proof.run(), "") << proof.rows.front();
}

/// The names in a text: what follows `before`, up to `after`.
std::multiset<std::string> names_between(const std::string& text, const std::string& before, char after) {
  std::multiset<std::string> names;
  for (std::size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1)) {
    const std::size_t begin = at + before.size();
    names.insert(text.substr(begin, text.find(after, begin) - begin));
  }
  return names;
}

TEST(Isa, TheListNamesEveryRow) {
  std::multiset<std::string> rows;
  for (const Row& row : InstructionTable::get().rows()) rows.insert(row.name);
  EXPECT_EQ(names_between(emulator::isa_json(), "{\"name\": \"", '"'), rows);
  const std::string text = emulator::isa_text();
  EXPECT_EQ(names_between(text.substr(text.find("\n\n") + 1), "\n", ' ').size(), rows.size() + 1);  // the last is empty
}

}  // namespace
}  // namespace moesaic::isa
