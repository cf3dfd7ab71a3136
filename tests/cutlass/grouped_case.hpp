#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spec/gemm.hpp"

/// Operands of a grouped GEMM and the judgement of its result. C++17, so that nvcc's programs can include it.
namespace moesaic::test {

struct GroupedCase {
  std::vector<int> rows;  ///< of each expert
  int n;
  int k;
  bool per_token;    ///< a scale for each row, else one for all
  bool per_channel;  ///< a scale for each channel of each expert, else one for each expert
  bool biased;
  TokenFormat a_format;
  std::vector<std::uint8_t> a;  ///< [all rows, k] in a_format
  std::vector<std::uint8_t> b;  ///< [experts, n, k] e4m3
  std::vector<float> a_scales;
  std::vector<float> b_scales;
  std::vector<float> bias;  ///< [experts, n] or empty

  int experts() const { return static_cast<int>(rows.size()); }
  int all_rows() const;
};

/// The same operands on every machine for a seed.
GroupedCase grouped_case(std::vector<int> rows, int n, int k, bool per_token, bool per_channel, bool biased,
                         std::uint64_t seed, TokenFormat a_format = TokenFormat::e4m3);

/// What tile.cu computes for every tile: token and channel scales, then tensor and expert scales.
std::vector<GroupedCase> tile_cases(bool biased, TokenFormat a_format);

/// Compares out, [all rows, n] in `format`, with double precision, each value within the bound of its own operands
/// (reference/bounds.hpp). Empty when all are, else one line about the worst.
std::string judge(const GroupedCase& grouped, const void* out, OutFormat format);

/// The bits that m16n8k32 steps in ascending k and the epilogue's roundings give on compute capability 12.x (reference/
/// tensor_core.hpp). Empty when `out` has them, else one line about the first difference.
std::string judge_bits(const GroupedCase& grouped, const void* out, OutFormat format);

}  // namespace moesaic::test
