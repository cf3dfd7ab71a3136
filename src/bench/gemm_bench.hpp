#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/probes.hpp"
#include "bench/workload.hpp"
#include "engine/kernel_set.hpp"

/// Times variants of the grouped GEMM against each other, in turns, on weights that are never in the L2 and on a new
/// routing for each launch.
namespace moesaic::bench {

/// How to measure; what to measure is a Workload.
struct GemmBenchOptions {
  std::vector<std::string> variants;  ///< full names; empty: all that can run
  std::vector<WeightLayout> layouts{WeightLayout::rows};
  std::vector<Dependence> dependences{Dependence::full};
  OutFormat out = OutFormat::bf16;
  bool as_12x = false;  ///< held to what a 12.x card allows, exactly as many blocks per SM included
  double seconds = 1;   ///< for a point; rounds decide when they are not 0
  int rounds = 0;
  int launches = 20;  ///< in one graph, at least; a multiple of the sets is taken
  int sets = 0;       ///< of weights; 0: as many as the L2 makes necessary
  std::uint64_t seed = 1;
};

/// A way to compute the workload.
struct Candidate {
  Config config;
  WeightLayout layout = WeightLayout::rows;
  Dependence dependence = Dependence::full;
};

struct Timed {
  Candidate candidate;
  int blocks_per_sm = 0;           ///< resident, as the driver says, at most as many as the config counts on
  std::size_t smem_bytes = 0;      ///< dynamic, padding included
  std::vector<double> samples_us;  ///< time of a launch, the mean over one graph; empty on an emulated card
};

struct Rejected {
  std::string variant;
  std::string reason;
};

struct Point {
  Workload workload;
  OutFormat out = OutFormat::bf16;
  int sets = 0;
  int launches = 0;    ///< in one graph
  double touched = 0;  ///< experts with rows, the mean over the launches
  Cost cost;           ///< the mean over the launches
  std::vector<Timed> timed;
  std::vector<Rejected> rejected;
};

class GemmBench {
 public:
  /// Holds the kernels to 12.x when the options say so.
  GemmBench(device::Gpu& gpu, engine::KernelSet& kernels, Probes& probes, GemmBenchOptions options);
  /// Throws Error when a variant that was asked for by name is unknown or cannot run, and when none can.
  Point measure(const Workload& workload);

 private:
  struct Operands;
  std::vector<Candidate> candidates(const Workload& workload, std::vector<Rejected>& rejected) const;
  Operands make_operands(const Workload& workload, Point& point);
  void time(Point& point, const Operands& operands);
  engine::GroupedGemm gemm_of(const Candidate& candidate, const Operands& operands, int launch) const;

  device::Gpu& gpu_;
  engine::KernelSet& kernels_;
  Probes& probes_;
  GemmBenchOptions options_;
  Device limits_;
};

std::string name_of(WeightLayout layout);
std::string name_of(Dependence dependence);
std::string name_of(OutFormat format);

}  // namespace moesaic::bench
