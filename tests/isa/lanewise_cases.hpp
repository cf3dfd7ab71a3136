#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "emulator/instruction.hpp"
#include "isa/isa_case.hpp"
#include "isa/operand_values.hpp"

/// Cases for instructions of one lane, made from the table of instructions.
namespace moesaic::isa {

/// Elements that every instruction is run on.
inline constexpr std::size_t kElements = 2048;

/// One instruction over kElements elements: a part of a case.
struct LaneTest {
  const emulator::Row* row = nullptr;
  std::string name;                  ///< the row's, and what tells several tests of one row apart
  std::vector<std::string> sources;  ///< types of the elements' operands
  std::string statements;            ///< PTX, in a block of its own: from %s0, %s1, ... to stores at %o4 and %o8
  std::size_t words = 0;
};

/// The tests of a row; several where an operand is an immediate.
std::vector<LaneTest> lane_tests(const emulator::Row& row);

/// The cases that run these tests, many tests in each; parts are in the tests' order within a case.
std::vector<Case> cases_of(const std::vector<LaneTest>& tests, const std::string& name);

/// The rows of the table that are instructions of one lane and that `wanted` wants.
std::vector<LaneTest> lane_tests(const std::function<bool(const emulator::Row&)>& wanted);

}  // namespace moesaic::isa
