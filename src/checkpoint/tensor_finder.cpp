#include "checkpoint/tensor_finder.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

/// "BF16 or F32 [48, 1] or [48], since quantization_config makes it FP8 dynamic"
std::string words(const Wanted& wanted) {
  std::vector<std::string> shapes;
  for (const auto& shape : wanted.shapes) shapes.push_back(fmt::format("[{}]", fmt::join(shape, ", ")));
  const std::string because = wanted.because.empty() ? "" : fmt::format(", {}", wanted.because);
  return fmt::format("{} {}{}", fmt::join(wanted.dtypes, " or "), fmt::join(shapes, " or "), because);
}

}  // namespace

Wanted floats(std::vector<std::vector<std::uint64_t>> shapes, std::string because) {
  return {{"BF16", "F32", "F16"}, std::move(shapes), std::move(because)};
}

bool TensorFinder::has_any(std::string_view beginning) const {
  const std::string full = block_ + std::string(beginning);
  const auto at = model_.tensors.lower_bound(full);
  return at != model_.tensors.end() && at->first.starts_with(full);
}

const StoredTensor& TensorFinder::find(std::string_view name, const Wanted& wanted) {
  const std::string full = block_ + std::string(name);
  const auto found = model_.tensors.find(full);
  if (found == model_.tensors.end()) {
    throw Error(fmt::format("{}: tensor {} is missing; it must be {}", model_.directory.string(), full, words(wanted)));
  }
  const Tensor& tensor = found->second.tensor;
  if (std::ranges::find(wanted.dtypes, tensor.dtype) == wanted.dtypes.end() ||
      std::ranges::find(wanted.shapes, tensor.shape) == wanted.shapes.end()) {
    throw Error(fmt::format("{}: {} is {}, must be {}", found->second.file.string(), full,
                            describe(tensor.dtype, tensor.shape), words(wanted)));
  }
  if (used_.insert(found->first).second) bytes_ += tensor.end - tensor.begin;
  return found->second;
}

void TensorFinder::require_no_others(std::span<const std::string_view> parts) const {
  if (parts.front().empty()) return require_no_others_in(block_);
  for (const std::string_view part : parts) {
    if (!part.empty()) require_no_others_in(fmt::format("{}{}.", block_, part));
  }
}

void TensorFinder::require_no_others_in(const std::string& beginning) const {
  for (auto at = model_.tensors.lower_bound(beginning); at != model_.tensors.end(); ++at) {
    if (!at->first.starts_with(beginning)) break;
    if (!used_.contains(at->first)) {
      throw Error(fmt::format("{}: {} has no meaning in a {} layer of this scheme", at->second.file.string(), at->first,
                              model_.config.architecture->title));
    }
  }
}

}  // namespace moesaic::checkpoint
