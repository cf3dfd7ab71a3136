#include "bench/probes.hpp"

#include <algorithm>
#include <limits>

#include "bench/probe_params.hpp"
#include "device/graph.hpp"
#include "spec/card_limits.hpp"
#include "spec/config.hpp"

extern "C" const unsigned char moesaic_probes_begin[];     // NOLINT: an array whose end the linker knows
extern "C" const unsigned char moesaic_s8_probes_begin[];  // NOLINT

namespace moesaic::bench {

Probes::Probes(device::Gpu& gpu)
    : gpu_(gpu),
      module_(gpu.load(moesaic_probes_begin)),
      s8_module_(gpu.load(moesaic_s8_probes_begin)),
      timed_(!gpu.emulated()) {}

void Probes::fill(const device::Buffer& buffer, std::uint64_t seed) {
  const FillParams params{
      .words = buffer.as<std::uint64_t>(), .count = static_cast<std::int64_t>(buffer.bytes() / 8), .seed = seed};
  if (params.count == 0) return;
  const std::int64_t blocks =
      std::min<std::int64_t>(ceil_div<std::int64_t>(params.count, kFillThreads), std::int64_t{8} * gpu_.device().sms);
  gpu_.launch(gpu_.function(module_, "bench_fill"), {static_cast<unsigned>(blocks), kFillThreads, 0}, params);
}

template <class Launch>
double Probes::best_us(Launch launch, int runs) {
  launch();
  gpu_.synchronize();
  if (!timed_) return 0;
  const device::Stopwatch watch(gpu_);
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) {
    watch.start();
    launch();
    watch.stop();
    best = std::min(best, watch.elapsed_us());
  }
  return best;
}

double Probes::stream_tb_per_s(const device::Buffer& data, int blocks_per_sm, int runs) {
  const int chunk_bytes = kStreamBytesPerSm / blocks_per_sm / kStreamStages;
  const StreamProbeParams params{.data = data.as<const std::uint8_t>(),
                                 .chunks = static_cast<std::int64_t>(data.bytes()) / chunk_bytes,
                                 .chunk_bytes = chunk_bytes};
  const auto smem_bytes =
      static_cast<unsigned>(std::max(kStreamStages * chunk_bytes, smem_bytes_for(gpu_.device(), blocks_per_sm)));
  CUfunction function = gpu_.function(module_, "bench_stream");
  gpu_.allow_smem(function, smem_bytes);
  const device::Grid grid{static_cast<unsigned>(blocks_per_sm * gpu_.device().sms), kStreamThreads, smem_bytes};
  const double us = best_us([&] { gpu_.launch(function, grid, params); }, runs);
  const double bytes = static_cast<double>(params.chunks) * chunk_bytes;
  return us > 0 ? bytes / us / 1e6 : 0;
}

double Probes::mma_tera_ops(CUmodule module, const ProbeSize& size) {
  const auto blocks = static_cast<unsigned>(size.mma_blocks > 0 ? size.mma_blocks : gpu_.device().sms);
  const device::Buffer out = gpu_.allocate(sizeof(float) * blocks * kMmaProbeThreads);
  const MmaProbeParams params{.out = out.as<float>(), .iterations = size.mma_iterations};
  CUfunction function = gpu_.function(module, "bench_mma");
  gpu_.allow_smem(function, kMmaProbeSmemBytes);
  const device::Grid grid{blocks, kMmaProbeThreads, kMmaProbeSmemBytes};
  const double us = best_us([&] { gpu_.launch(function, grid, params); }, size.runs);
  const double operations =
      2.0 * kMmaProbeFeatures * kMmaProbeTokens * kMmaProbeDepth * kMmaProbeStages * size.mma_iterations * blocks;
  return us > 0 ? operations / us / 1e6 : 0;
}

Limits Probes::measure(const ProbeSize& size) {
  Limits limits;
  {
    const device::Buffer data = gpu_.allocate(size.stream_bytes);
    fill(data, 1);
    for (const int blocks : {1, 2, 4}) {
      limits.streams.push_back({blocks, stream_tb_per_s(data, blocks, size.runs)});
      limits.stream_tb_per_s = std::max(limits.stream_tb_per_s, limits.streams.back().tb_per_s);
    }
  }
  limits.fp8_tera_ops = mma_tera_ops(module_, size);
  limits.s8_tera_ops = mma_tera_ops(s8_module_, size);
  return limits;
}

}  // namespace moesaic::bench
