#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "checkpoint/format.hpp"
#include "checkpoint/tensor_finder.hpp"
#include "spec/layer.hpp"

/// Where in the files the matrices of an Experts lie, found in the headers alone.
namespace moesaic::checkpoint {

/// A run of bytes of a tensor; nothing when `stored` is null.
struct Slice {
  const StoredTensor* stored = nullptr;
  std::uint64_t begin = 0;  ///< counted from the tensor's first byte
  std::uint64_t bytes = 0;
};

/// How the rows of a stored matrix become those of an Experts.
struct Order {
  bool transposed = false;  ///< the file has the columns as its rows
  int interleaved = 1;      ///< parts whose rows alternate in the file: 2 for gpt-oss's gate and up

  bool as_stored() const { return !transposed && interleaved == 1; }
  /// The row of the file that becomes row `row` of `rows`.
  int stored_row(int row, int rows) const {
    const int part_rows = rows / interleaved;
    return row % part_rows * interleaved + row / part_rows;
  }
};

/// The matrix of one expert, or of one part of it, in the file.
struct Source {
  int expert = 0;
  int row = 0;   ///< the first of the expert's rows that it fills
  int rows = 0;  ///< how many
  Order order;
  Slice codes;
  Slice scale;  ///< as Format::scales says
  Slice group_scale;
  Slice global_scale;
  Slice input_scale;
  Slice bias;
};

/// All matrices of one Experts.
struct ExpertsPlan {
  const Format* format = nullptr;
  std::vector<Source> sources;
};

/// Finds every matrix where each lies by itself. `into` says how many experts, rows, columns and parts; `modules` names
/// the module of each part, with "{}" for the expert. Throws Error when a tensor is missing, of another dtype or shape,
/// and when not all matrices are of one format.
ExpertsPlan plan_experts(TensorFinder& finder, std::span<const std::string_view> modules, bool bias,
                         const Experts& into);

/// Finds them where one tensor, `name`, holds those of all experts, in the order that `fused` says.
ExpertsPlan plan_fused(TensorFinder& finder, std::string_view name, Fused fused, bool bias, const Experts& into);

/// How many elements each vector of an Experts has, from its dimensions and scheme.
struct ExpertsSizes {
  std::size_t codes = 0;
  std::size_t scales = 0;
  std::size_t group_scales = 0;
  std::size_t input_scales = 0;
  std::size_t bias = 0;

  std::uint64_t bytes() const { return codes + group_scales + (scales + input_scales + bias) * sizeof(float); }
};
ExpertsSizes sizes_of(const Experts& experts, bool bias);

}  // namespace moesaic::checkpoint
