#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/experts_plan.hpp"
#include "checkpoint/file_reader.hpp"
#include "spec/layer.hpp"

/// What loading a layer will read and hold, found in the headers alone.
namespace moesaic::checkpoint {

/// A tensor of floats, and the vector that it fills.
struct VectorPlan {
  const StoredTensor* stored = nullptr;
  std::vector<float>& (*place)(Layer&) = nullptr;
};

/// The model must outlive it.
struct LayerPlan {
  Layer layer;  ///< complete but for its tensors
  ExpertsPlan gate_up;
  ExpertsPlan down;
  ExpertsPlan shared_gate_up;
  ExpertsPlan shared_down;
  std::vector<VectorPlan> vectors;
  std::string_view layout;         ///< how the experts lie, for people
  std::uint64_t disk_bytes = 0;    ///< of the layer's tensors
  std::uint64_t memory_bytes = 0;  ///< of the loaded layer
  std::uint64_t buffer_bytes = 0;  ///< beside it, at most, while it is loaded
  std::uint64_t codes_bytes = 0;   ///< of memory_bytes, what a CodesSink may take
  std::uint64_t matrix_bytes = 0;  ///< held beside it for a CodesSink: one expert's matrix
};

/// Finds one MoE layer. `index` counts all layers of the model. Throws Error when that layer has no experts; when a
/// tensor is missing, unknown, of another dtype or shape; when the experts are not all of one format.
LayerPlan plan_layer(const Model& model, int index, const LoadOptions& options = {});

/// How the layer's matrices are quantized, for people: one sentence, or one for each set of matrices where they differ.
std::string describe_schemes(const LayerPlan& plan);

/// Takes the codes of the experts matrix by matrix, checked and in order, to where they shall stay: those from byte
/// `first` of the whole [experts, rows, row_bytes()] on, in gate_up or in down. Experts::codes then stays empty.
using CodesSink = std::function<void(bool down, std::size_t first, std::span<const std::byte> codes)>;

/// Loads what was found, reading each tensor once, to where it stays. Throws Error for NaN among weights, for scales
/// that are not positive and finite, and when a file has become shorter.
Layer load_layer(const LayerPlan& plan, const Progress& progress = {}, const CodesSink& sink = {},
                 PageCache cache = PageCache::kept);

}  // namespace moesaic::checkpoint
