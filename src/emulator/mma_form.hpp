#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reference/tensor_core.hpp"

namespace moesaic::emulator {

/// How an mma multiplies, by the types that it names.
enum class MmaArithmetic : std::uint8_t {
  half,        ///< f16 or bf16, f32 sums
  half_f16,    ///< f16, f16 sums
  tf32,        ///< f32 sums
  narrow,      ///< 4 to 8 bits in bytes of their own, f32 sums
  narrow_f16,  ///< likewise, f16 sums
  mxf8,        ///< likewise, f32 sums, one scale for each row of A and column of B
  fp4,         ///< packed e2m1, f32 sums, several scales
  f64,
  integer,  ///< s8, u8, s4, u4 with s32 sums
  bits,     ///< b1 with s32 sums
};

/// One row of mma.sync: D [m, 8] = A [m, k] B [k, 8] + C. Lane l belongs to group l / 4 and is at place l % 4 in it.
/// PTX ISA, "Matrix Fragments for mma...": all shapes but m8n8k4 of f16 follow one rule. Registers of A hold runs of 4
/// (f64: 8) bytes of a row: register r of row group + 8 (r mod m/8), at byte 4 place + 16 (r / (m/8)) (f64: twice
/// that); those of B likewise for column `group`. Registers of C and D hold elements 2 place and the next of row group
/// + 8 (r / 2), in one register when they are f16.
struct MmaForm {
  std::string name{};  ///< of the row of the table of instructions
  MmaArithmetic arithmetic = MmaArithmetic::half;
  int m = 16;
  int k = 16;
  int code_bits = 16;  ///< of an element of A or B in its register
  reference::Half half = reference::Half::kF16;
  reference::Narrow a = reference::Narrow::kE4m3;
  reference::Narrow b = reference::Narrow::kE4m3;
  reference::Integers integers{};
  bool exclusive = false;  ///< of bits: A xor B, else A and B
  int scales = 0;          ///< of each row of A and each column of B; 0: none
  reference::Fp4Scales scale_format = reference::Fp4Scales::kTwoUe8m0;
  bool only_sm120 = false;  ///< cards of compute capability 9.0 have no such instruction

  int register_bytes() const { return arithmetic == MmaArithmetic::f64 ? 8 : 4; }
  int row_bytes() const { return k * code_bits / 8; }  ///< of A and of a column of B
  bool f16_sums() const { return arithmetic == MmaArithmetic::half_f16 || arithmetic == MmaArithmetic::narrow_f16; }
  int a_registers() const { return m / 8 * b_registers(); }
  int b_registers() const { return row_bytes() / (4 * register_bytes()); }
  int sum_registers() const { return m / 8 * (f16_sums() ? 1 : 2); }
  /// The operands as Row::operands spells them; with scales in two ways, because a register may stand in braces.
  std::vector<std::string> operands() const;
};

/// All forms; Row::form of an mma is an index into them.
const std::vector<MmaForm>& mma_forms();

}  // namespace moesaic::emulator
