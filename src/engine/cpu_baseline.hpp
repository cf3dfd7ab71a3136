#pragma once

#include <cstdint>
#include <vector>

#include "spec/layer.hpp"

/// What the cpu engine's time is held against: a BLAS on weights that need no expanding, and the time that reading the
/// stored weights takes at least.
namespace moesaic::engine {

/// Both GEMMs of each set of experts by OpenBLAS sgemm, on weights expanded to float beforehand and made-up float
/// inputs; no routing, no quantization, no activation, no scales.
class FloatGemms {
 public:
  /// Expands all weights of the layer: 4 bytes for each. `threads`: as many as OpenBLAS uses.
  FloatGemms(const Layer& layer, const Routing& routing, int threads);

  /// Multiplies once and returns the seconds that it took.
  double run();

 private:
  /// One product: out[rows, n] = in[rows, k] * weights[n, k]^T.
  struct Product {
    std::vector<float> weights;
    int rows;
    int n;
    int k;
  };
  void add(const Experts& experts, const std::vector<std::int32_t>& first);

  std::vector<Product> products_;
  std::vector<float> in_;
  std::vector<float> out_;
  int threads_;
};

/// Bytes of stored weights and their scales that a run with this routing has to read.
std::uint64_t bytes_read(const Layer& layer, const Routing& routing);

/// Bytes per second that `threads` threads read from a buffer much larger than caches are: the best of several passes.
double measure_stream(int threads);

}  // namespace moesaic::engine
