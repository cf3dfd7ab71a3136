#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace moesaic::emulator {

/// One row of ldmatrix or stmatrix: `rows` rows of 16 bytes of shared memory, the i-th at the address of lane i, and
/// `registers` registers of each lane.
struct MatrixForm {
  /// How a row of 16 elements lies in its 16 bytes (PTX ISA, "Optional Decompression"): as it is, or as 4-bit or 6-bit
  /// elements side by side and padding. In a register each has a byte of its own, in the low bits.
  enum class Packing : std::uint8_t { none, four, six };
  /// Which byte of the rows lies where in a register; group and place are lane / 4 and lane % 4.
  enum class Layout : std::uint8_t {
    plain,           ///< m8n8, m8n16: register i has bytes 4 place to 4 place + 3 of row 8 i + group
    trans_b16,       ///< m8n8: register i has elements `group` of rows 8 i + 2 place and the next
    load_trans_b8,   ///< m16n16: register 2 i + h has byte group + 8 h of rows 16 i + 4 place to 16 i + 4 place + 3
    store_trans_b8,  ///< m16n8: register i has bytes `group` of rows 8 i + 2 place and the next, then bytes group + 8
  };

  std::string name{};  ///< of the row of the table of instructions, without its state space
  bool stores = false;
  int registers = 1;
  int rows = 8;
  Layout layout = Layout::plain;
  Packing packing = Packing::none;
  bool only_sm120 = false;  ///< cards of compute capability 9.0 have no such instruction

  /// Where byte `byte` of register `reg` of a lane lies in the rows: 16 times the row, plus the byte of the (unpacked)
  /// row.
  std::size_t place(std::size_t reg, std::size_t lane, std::size_t byte) const;
};

/// All forms; Row::form of ldmatrix and stmatrix is an index into them.
const std::vector<MatrixForm>& matrix_forms();

}  // namespace moesaic::emulator
