#include "bench/gemm_bench.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "device/graph.hpp"
#include "spec/card_limits.hpp"
#include "spec/error.hpp"
#include "spec/split_mix.hpp"

namespace moesaic::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// With fewer rounds no spread can be told.
constexpr int kLeastRounds = 5;
constexpr double kWarmUpSeconds = 0.2;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Between 0.5 and 1.5 thousandths: sums of products of codes then fit every format of the result.
std::vector<float> random_scales(std::size_t count, std::uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> scales(count);
  for (float& scale : scales) scale = 0.0005F + 0.001F * static_cast<float>(random.next() >> 40) / 16777216.0F;
  return scales;
}

/// Bytes of one set of weights: enough for each of the layouts, since random codes are as good in any.
std::size_t weight_bytes(const Workload& workload) {
  return static_cast<std::size_t>(workload.experts) * static_cast<std::size_t>(workload.n) *
         static_cast<std::size_t>(ceil_div(workload.k, kPanelBytes) * kPanelBytes);
}

void shuffle(std::vector<std::size_t>& order, SplitMix64& random) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.next() % i]);
}

}  // namespace

/// What the launches of a point read and write: launch i takes set i % sets and routing i.
struct GemmBench::Operands {
  std::vector<device::Buffer> w;
  std::vector<device::Buffer> w_scales;
  std::vector<device::Buffer> first;
  device::Buffer x;
  device::Buffer x_scales;
  device::Buffer out;
  Workload workload;
};

GemmBench::GemmBench(device::Gpu& gpu, engine::KernelSet& kernels, Probes& probes, GemmBenchOptions options)
    : gpu_(gpu),
      kernels_(kernels),
      probes_(probes),
      options_(std::move(options)),
      limits_(options_.as_12x ? held_to_12x(gpu.device()) : gpu.device()) {
  kernels_.hold_to_12x(options_.as_12x);
}

std::vector<Candidate> GemmBench::candidates(const Workload& workload, std::vector<Rejected>& rejected) const {
  std::vector<Candidate> found;
  const auto& wanted = options_.variants;
  for (const std::string& name : wanted) {
    const auto named = [&](const Config& config) { return variant_name(config) == name; };
    if (std::ranges::none_of(engine::KernelSet::variants(), named)) {
      throw Error("--variant " + name + ": no such variant was compiled");
    }
  }
  for (const Config& config : engine::KernelSet::variants()) {
    const std::string name = variant_name(config);
    if (!wanted.empty() && std::ranges::find(wanted, name) == wanted.end()) continue;
    for (const WeightLayout layout : options_.layouts) {
      const Problem problem{workload.experts, workload.n, workload.k, layout, TokenFormat::e4m3};
      if (const std::string reason = valid(config, problem, limits_); !reason.empty()) {
        if (!wanted.empty()) throw Error("--variant " + name + ": " + reason);
        rejected.push_back({name, reason});
        continue;
      }
      for (const Dependence dependence : options_.dependences) found.push_back({config, layout, dependence});
    }
  }
  if (found.empty()) throw Error("no variant can run " + workload.model + " " + workload.gemm + " on this card");
  return found;
}

GemmBench::Operands GemmBench::make_operands(const Workload& workload, Point& point) {
  const std::uint64_t seed = options_.seed;
  const Cost one = cost(workload, launch_routing(workload, seed, 0), options_.out);
  const auto room = static_cast<double>(gpu_.device().memory_bytes) / 2;
  const int most = static_cast<int>(std::min(room / static_cast<double>(weight_bytes(workload)), 64.0));
  point.sets = options_.sets > 0 ? options_.sets
               : gpu_.emulated() ? 2
                                 : sets_needed(one.bytes, gpu_.device().l2_bytes, most);
  point.launches = ceil_div(options_.launches, point.sets) * point.sets;

  Operands operands;
  operands.workload = workload;
  for (int set = 0; set < point.sets; ++set) {
    operands.w.push_back(gpu_.allocate(weight_bytes(workload)));
    probes_.fill(operands.w.back(), static_cast<std::uint64_t>(set) << 40);
    const auto scales =
        random_scales(static_cast<std::size_t>(workload.experts) * static_cast<std::size_t>(workload.n), seed + 1);
    operands.w_scales.push_back(gpu_.upload<float>(scales));
  }
  for (int launch = 0; launch < point.launches; ++launch) {
    const std::vector<std::int32_t> first = launch_routing(workload, seed, launch);
    const Cost costs = cost(workload, first, options_.out);
    point.cost.bytes += costs.bytes / point.launches;
    point.cost.operations += costs.operations / point.launches;
    point.touched += static_cast<double>(touched_experts(first)) / point.launches;
    operands.first.push_back(gpu_.upload<std::int32_t>(first));
  }
  const auto rows = static_cast<std::size_t>(workload.rows());
  operands.x = gpu_.allocate(rows * static_cast<std::size_t>(workload.k));
  probes_.fill(operands.x, std::uint64_t{1} << 60);
  operands.x_scales = gpu_.upload<float>(random_scales(rows, seed + 2));
  operands.out = gpu_.allocate(rows * static_cast<std::size_t>(workload.n * out_bytes(options_.out)));
  return operands;
}

engine::GroupedGemm GemmBench::gemm_of(const Candidate& candidate, const Operands& operands, int launch) const {
  const auto set = static_cast<std::size_t>(launch) % operands.w.size();
  const Workload& workload = operands.workload;
  return {.problem = {workload.experts, workload.n, workload.k, candidate.layout, TokenFormat::e4m3},
          .rows = workload.rows(),
          .w = &operands.w[set],
          .w_scales = &operands.w_scales[set],
          .x = &operands.x,
          .x_scales = &operands.x_scales,
          .first = &operands.first[static_cast<std::size_t>(launch)],
          .out = &operands.out,
          .out_format = options_.out,
          .dependence = candidate.dependence};
}

void GemmBench::time(Point& point, const Operands& operands) {
  std::vector<device::Graph> graphs;
  for (const Timed& timed : point.timed) {
    kernels_.gemm(timed.candidate.config, gemm_of(timed.candidate, operands, 0));  // loads it: a capture may not
    gpu_.synchronize();
    graphs.emplace_back(gpu_, [this, &timed, &operands, &point] {
      for (int launch = 0; launch < point.launches; ++launch) {
        kernels_.gemm(timed.candidate.config, gemm_of(timed.candidate, operands, launch));
      }
    });
    graphs.back().launch();
    gpu_.synchronize();
  }
  if (gpu_.emulated()) return;

  const auto warm_up = Clock::now();
  while (seconds_since(warm_up) < kWarmUpSeconds) {
    for (const device::Graph& graph : graphs) graph.launch();
    gpu_.synchronize();
  }
  std::vector<device::Stopwatch> watches;
  for (std::size_t i = 0; i < graphs.size(); ++i) watches.emplace_back(gpu_);
  std::vector<std::size_t> order(graphs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  SplitMix64 random(options_.seed);
  const auto start = Clock::now();
  for (int round = 0;
       options_.rounds > 0 ? round < options_.rounds : round < kLeastRounds || seconds_since(start) < options_.seconds;
       ++round) {
    shuffle(order, random);
    graphs[order.back()].launch();  // keeps the card busy while the host queues what is timed
    for (const std::size_t i : order) {
      watches[i].start();
      graphs[i].launch();
      watches[i].stop();
    }
    for (const std::size_t i : order) point.timed[i].samples_us.push_back(watches[i].elapsed_us() / point.launches);
  }
  gpu_.synchronize();
}

Point GemmBench::measure(const Workload& workload) {
  Point point;
  point.workload = workload;
  point.out = options_.out;
  for (const Candidate& candidate : candidates(workload, point.rejected))
    point.timed.emplace_back().candidate = candidate;
  const Operands operands = make_operands(workload, point);
  time(point, operands);
  for (Timed& timed : point.timed) {
    const engine::Residence residence = kernels_.residence(timed.candidate.config);
    timed.blocks_per_sm = residence.blocks_per_sm;
    timed.smem_bytes = residence.smem_bytes;
  }
  return point;
}

std::string name_of(WeightLayout layout) {
  return layout == WeightLayout::rows ? "rows" : "panels";
}

std::string name_of(Dependence dependence) {
  return dependence == Dependence::full ? "full" : dependence == Dependence::strict ? "strict" : "early";
}

std::string name_of(OutFormat format) {
  return format == OutFormat::f32 ? "f32" : format == OutFormat::bf16 ? "bf16" : "f16";
}

}  // namespace moesaic::bench
