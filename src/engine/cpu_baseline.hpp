#pragma once

#include <cstdint>
#include <vector>

#include "spec/layer.hpp"

/// What the cpu engine's time is held against: a BLAS on weights that need no expanding, and the time that reading the
/// stored weights takes at least.
namespace moesaic::engine {

/// Both GEMMs of each set of experts by OpenBLAS sgemm, on weights expanded to float beforehand and made-up float
/// inputs; no routing, no quantization, no activation, no scales. `threads` of them either share each product, as
/// OpenBLAS splits it, or take one product each: the way that is faster for this layer.
class FloatGemms {
 public:
  /// Expands the weights of all experts that have rows: 4 bytes for each, `float_bytes` in all.
  FloatGemms(const Layer& layer, const Routing& routing, int threads);

  /// Multiplies once and returns the seconds that it took.
  double run() { return run(each_by_itself_); }

  /// Whether each thread takes a product of its own.
  bool each_by_itself() const { return each_by_itself_; }

 private:
  /// One product: out[rows, n] = in[rows, k] * weights[n, k]^T.
  struct Product {
    std::vector<float> weights;
    std::vector<float> out;
    int rows;
    int n;
    int k;
  };
  void add(const Experts& experts, const std::vector<std::int32_t>& first);
  void multiply(Product& product) const;
  double run(bool each_by_itself);

  std::vector<Product> products_;
  std::vector<float> in_;
  int threads_;
  bool each_by_itself_ = false;
};

/// Bytes of memory that the expanded weights of FloatGemms take.
std::uint64_t float_bytes(const Layer& layer, const Routing& routing);

/// Bytes of stored weights and their scales that a run with this routing has to read.
std::uint64_t bytes_read(const Layer& layer, const Routing& routing);

/// Bytes per second that `threads` threads read from a buffer much larger than caches are: the best of several passes.
double measure_stream(int threads);

}  // namespace moesaic::engine
