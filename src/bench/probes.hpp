#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/gpu.hpp"

/// What a card can do at most, by kernels that do one thing each, and random codes to measure on.
namespace moesaic::bench {

/// Memory read by bulk copies into a ring of 96 KB per SM, evict_first.
struct StreamProbe {
  int blocks_per_sm = 0;
  double tb_per_s = 0;  ///< the best of its runs
};

/// Limits of one run on one card; 0 where no time can be taken.
struct Limits {
  std::vector<StreamProbe> streams;
  double stream_tb_per_s = 0;  ///< the best of them
  /// Multiplies from shared memory by ldmatrix, 8 warps of 64 x 64, the best run: as the GEMM multiplies FP8, and in
  /// s8.
  double fp8_tera_ops = 0;
  double s8_tera_ops = 0;
};

/// How much the probes do.
struct ProbeSize {
  std::size_t stream_bytes = std::size_t{4} << 30;
  int mma_iterations = 4000;
  int mma_blocks = 0;  ///< 0: one for each SM
  int runs = 7;
};

class Probes {
 public:
  explicit Probes(device::Gpu& gpu);
  /// Random e4m3 codes, none of them NaN, in the whole of a buffer, whose bytes are a multiple of 8.
  void fill(const device::Buffer& buffer, std::uint64_t seed);
  /// Runs all probes. An emulated card takes no time: there each runs once and the limits stay 0.
  Limits measure(const ProbeSize& size);

 private:
  double stream_tb_per_s(const device::Buffer& data, int blocks_per_sm, int runs);
  double mma_tera_ops(CUmodule module, const ProbeSize& size);
  /// Microseconds of the fastest of the runs; 0 when the card takes no time.
  template <class Launch>
  double best_us(Launch launch, int runs);

  device::Gpu& gpu_;
  CUmodule module_;
  CUmodule s8_module_;
  bool timed_;
};

}  // namespace moesaic::bench
