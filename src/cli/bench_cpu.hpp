#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/synth.hpp"
#include "spec/layer.hpp"

namespace moesaic::cli {

/// The cpu engine on one layer, beside what it is held against. Times in seconds, one for each pair.
struct CpuTimes {
  std::string what;  ///< model, scheme and layer, in words
  int tokens = 0;
  int threads = 0;
  std::vector<double> engine;         ///< the whole layer
  std::vector<double> sgemm;          ///< both GEMMs alone, by OpenBLAS on weights already expanded to float
  bool sgemm_each_by_itself = false;  ///< a thread takes a product; else all share each one: whichever is faster
  std::uint64_t bytes = 0;            ///< of stored weights that the routing makes the engine read
  double stream = 0;                  ///< bytes per second that this machine reads, measured

  double floor() const { return static_cast<double>(bytes) / stream; }
};

/// Runs engine and sgemm in turns, `pairs` times after one run of each that is not counted.
CpuTimes measure_cpu(const Layer& layer, const Tokens& tokens, int pairs);

/// The first layer of a checkpoint; or, when `directory` is empty, one that is made up in a temporary directory, which
/// is removed again.
Layer layer_to_bench(const std::string& directory, const checkpoint::Synth& synth);

std::string as_text(const CpuTimes& times);
std::string as_json(const CpuTimes& times);

}  // namespace moesaic::cli
