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
        EXPECT_TRUE(exempt_rows().contains(row.name)) << row.name << ": not in the list of exempt rows";
        break;
    }
  }
}

TEST(Isa, NothingThatCouldBeProvenIsExempt) {
  std::set<std::string> unproven;
  for (const Row& row : InstructionTable::get().rows()) {
    if (row.proof == Proof::unproven) unproven.insert(row.name);
  }
  for (const std::string& name : exempt_rows())
    EXPECT_TRUE(unproven.contains(name)) << name << " is not exempt, or no row";
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

TEST(Isa, TheListNamesEveryRow) {
  const std::string text = emulator::isa_text();
  const std::string json = emulator::isa_json();
  for (const Row& row : InstructionTable::get().rows()) {
    EXPECT_NE(text.find("\n" + row.name + " "), std::string::npos) << row.name;
    EXPECT_NE(json.find("\"name\": \"" + row.name + "\""), std::string::npos) << row.name;
  }
}

}  // namespace
}  // namespace moesaic::isa
