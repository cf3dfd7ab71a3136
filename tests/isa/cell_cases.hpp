#pragma once

#include <string>
#include <vector>

#include "emulator/instruction.hpp"

/// What cases of loads, stores and atomics have in common: every thread works on 16 bytes of its own, or 32 of vectors
/// that are as long, in one of the state spaces.
namespace moesaic::isa {

/// A row of ld, st, atom or red, taken apart.
struct MemoryRow {
  const emulator::Row* row = nullptr;
  std::string opcode;
  std::string space;      ///< ".global", ...; empty: generic
  std::string operation;  ///< "add", ... of atomics
  std::string type;       ///< "f32"
  int count = 1;          ///< elements of the vector
};

/// All rows of those opcodes that a card of capability 9.0 has.
std::vector<MemoryRow> memory_rows(const std::vector<std::string>& opcodes);

/// ".b32" for the registers of a type: never narrower than 16 bits, and .b128.
std::string register_of(const std::string& type);

/// "%d0", or "{%d0, %d1}" for vectors.
std::string operand(const std::string& prefix, int count);

}  // namespace moesaic::isa
