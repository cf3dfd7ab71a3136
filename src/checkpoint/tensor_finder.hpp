#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace moesaic::checkpoint {

/// What a tensor must be.
struct Wanted {
  std::vector<std::string_view> dtypes;            ///< one of these
  std::vector<std::vector<std::uint64_t>> shapes;  ///< one of these
  std::string because{};                           ///< why, for errors: "since ..."
};

/// A tensor that is read as float: BF16, F32 or F16.
Wanted floats(std::vector<std::vector<std::uint64_t>> shapes, std::string because = {});

/// Finds the tensors of one layer in a model's headers, checks dtype and shape, and remembers which it was asked for.
class TensorFinder {
 public:
  /// `block`: the layer's module, with a dot at its end.
  TensorFinder(const Model& model, std::string block) : model_(model), block_(std::move(block)) {}

  /// Whether the block has a tensor of that name, or of names that begin so.
  bool has(std::string_view name) const { return model_.tensors.contains(block_ + std::string(name)); }
  bool has_any(std::string_view beginning) const;

  /// The tensor of that name below the block. Throws Error that names the file, the tensor and what it must be.
  const StoredTensor& find(std::string_view name, const Wanted& wanted);

  /// Throws Error when `parts` of the block (all of it when the first is empty) have tensors that find() was not asked
  /// for: ignoring one (a bias, an input scale) would compute something else than the model means.
  void require_no_others(std::span<const std::string_view> parts) const;

  /// Bytes of all that was found.
  std::uint64_t bytes() const { return bytes_; }

  const Model& model() const { return model_; }
  const std::string& block() const { return block_; }

 private:
  void require_no_others_in(const std::string& beginning) const;

  const Model& model_;
  std::string block_;
  std::set<std::string_view> used_;
  std::uint64_t bytes_ = 0;
};

}  // namespace moesaic::checkpoint
