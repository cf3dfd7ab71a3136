#include "engine/cost.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "spec/error.hpp"

namespace moesaic::engine {
namespace {

constexpr double kGiga = 1e9;

/// Probability of r successes in n trials of probability p, 0 < p < 1.
double binomial(int n, int r, double p) {
  const double ways = std::lgamma(n + 1.0) - std::lgamma(r + 1.0) - std::lgamma(n - r + 1.0);
  return std::exp(ways + r * std::log(p) + (n - r) * std::log1p(-p));
}

/// Probabilities of how many experts get rows, one token after the other: of its top_k experts, those that no token
/// before it chose are hypergeometric.
std::vector<double> touched_experts(const Work& work) {
  const int experts = work.problem.experts;
  const double p = static_cast<double>(work.top_k) / experts;
  std::vector<double> touched(experts + 1, 0);
  if (experts * std::pow(1 - p, work.tokens) < 1e-3) {  // hardly ever is one left out
    touched.back() = 1;
    return touched;
  }
  std::vector<double> log_factorial(experts + 1, 0);
  for (int n = 1; n <= experts; ++n) log_factorial[n] = log_factorial[n - 1] + std::log(n);
  const auto log_choose = [&](int n, int r) { return log_factorial[n] - log_factorial[r] - log_factorial[n - r]; };
  const double all_ways = log_choose(experts, work.top_k);
  touched[0] = 1;
  for (int token = 0; token < work.tokens; ++token) {
    std::vector<double> next(experts + 1, 0);
    for (int before = 0; before <= experts; ++before) {
      if (touched[before] < 1e-9) continue;
      for (int fresh = std::max(0, work.top_k - before); fresh <= std::min(work.top_k, experts - before); ++fresh) {
        const double ways = log_choose(experts - before, fresh) + log_choose(before, work.top_k - fresh);
        next[before + fresh] += touched[before] * std::exp(ways - all_ways);
      }
    }
    touched = std::move(next);
  }
  return touched;
}

/// Groups of 8 rows that each warp multiplies: the warps share a tile's groups out, and above 8 there are loops for
/// even numbers alone.
int groups_of_warp(const Config& c, int rows) {
  const int groups = ceil_div(ceil_div(rows, kMmaN), c.warps_t);
  return groups < 8 ? groups : ceil_div(groups, 2) * 2;
}

/// Clocks that a tile of `rows` rows keeps its SM's units busy.
double clocks_of_tile(const Config& c, const Problem& problem, int rows, const Device& device,
                      const CostNumbers& numbers) {
  const int groups = groups_of_warp(c, rows);
  const double columns = c.warps_t * groups * kMmaN;
  const double k = ceil_div(problem.k, c.tile_k) * c.tile_k;
  const double rate = c.multiply == Multiply::plain ? device.plain_flop_per_clock : device.fast_flop_per_clock;
  const double multiply = 2.0 * c.tile_f * columns * k / rate;
  const double copied = c.tile_f + rows;
  const double read = c.tile_f * c.warps_t + columns * c.warps_f;
  const double shared = (copied + read) * k * numbers.shared_clocks_per_byte;
  return multiply + shared + numbers.tile_clocks / c.blocks_per_sm;  // other blocks multiply meanwhile
}

/// Clocks that an mma warp takes for a tile of `rows` rows if nothing but itself holds it up.
double chain_of_tile(const Config& c, const Problem& problem, int rows, const CostNumbers& numbers) {
  const int blocks = c.m_blocks() * groups_of_warp(c, rows);
  const double stages = ceil_div(problem.k, c.tile_k);
  return stages * (numbers.stage_clocks + numbers.step_clocks * blocks * c.tile_k / kMmaK) + numbers.tile_clocks;
}

/// All tiles of a launch, by their numbers.
struct Tiles {
  double count = 0;
  double clocks = 0;    ///< of all tiles together
  double chain = 0;     ///< likewise
  double rows = 0;      ///< of all tiles together, once for each feature tile
  double l2_bytes = 0;  ///< of all tiles together
};

Tiles tiles_of(const Config& c, const Work& work, const Rows& rows, const Device& device, const CostNumbers& numbers) {
  const Problem& problem = work.problem;
  const double f_tiles = ceil_div(problem.n, c.tile_f);
  Tiles tiles;
  for (const Rows::Share& share : rows.shares) {
    const int t_tiles = ceil_div(share.rows, c.tile_t);
    const int fewer = share.rows / t_tiles;
    const int with_one_more = share.rows % t_tiles;
    const auto add = [&](int rows_of_tile, int count) {
      if (count == 0) return;
      const double times = share.experts * count * f_tiles;
      tiles.count += times;
      tiles.clocks += times * clocks_of_tile(c, problem, rows_of_tile, device, numbers);
      tiles.chain += times * chain_of_tile(c, problem, rows_of_tile, numbers);
    };
    add(fewer, t_tiles - with_one_more);
    add(fewer + 1, with_one_more);
    tiles.rows += share.experts * share.rows * f_tiles;
    tiles.l2_bytes += share.experts * problem.k * (t_tiles * static_cast<double>(problem.n) + f_tiles * share.rows);
  }
  return tiles;
}

/// Near the largest of these times, above it where others come close: limits that are near each other add to each
/// other.
double smooth_maximum(std::initializer_list<double> times) {
  const double largest = std::max(times);
  if (!(largest > 0)) return 0;
  double sum = 0;
  for (const double time : times) {
    const double square = time * time / (largest * largest);
    sum += square * square;
  }
  return largest * std::sqrt(std::sqrt(sum));
}

}  // namespace

double Rows::experts() const {
  double sum = 0;
  for (const Share& share : shares) sum += share.experts;
  return sum;
}

Rows expect_rows(const Work& work) {
  const int experts = work.problem.experts;
  if (work.top_k < 1 || work.top_k > experts) {
    throw Error("top-k " + std::to_string(work.top_k) + " is not between 1 and the " + std::to_string(experts) +
                " experts");
  }
  if (work.tokens < 0) throw Error("tokens " + std::to_string(work.tokens) + " are negative");
  Rows rows;
  if (work.tokens == 0) return rows;
  if (work.top_k == experts) {
    rows.shares.push_back({work.tokens, static_cast<double>(experts)});
    rows.touched.assign(experts + 1, 0);
    rows.touched.back() = 1;
    return rows;
  }
  const double p = static_cast<double>(work.top_k) / experts;
  rows.touched = touched_experts(work);
  const double mean = work.tokens * p;
  const double reach = 8 * std::sqrt(mean * (1 - p)) + 16;  // beyond it less than one expert in 10^12
  const int least = std::max(1, static_cast<int>(mean - reach));
  const int most = static_cast<int>(std::min<double>(work.tokens, mean + reach));
  for (int r = least; r <= most; ++r) {
    const double share = experts * binomial(work.tokens, r, p);
    if (share > 1e-12) rows.shares.push_back({r, share});
  }
  return rows;
}

double Floor::seconds(const Device& device) const {
  const double reading = device.read_gb_per_s * kGiga;
  const double flop = std::max(device.fast_flop_per_clock, device.plain_flop_per_clock);
  const double computing = flop * device.sms * device.clock_mhz * 1e6;
  if (!(reading > 0) || !(computing > 0)) return 0;
  return std::max(bytes() / reading, operations / computing);
}

Floor find_floor(const Work& work, const Rows& expected) {
  const Problem& problem = work.problem;
  const double rows = static_cast<double>(work.tokens) * work.top_k;
  Floor floor;
  floor.experts = expected.experts();
  floor.weight_bytes = floor.experts * problem.n * (problem.k + 4.0);
  floor.token_bytes = rows * (problem.k + 4.0);
  floor.out_bytes = rows * problem.n * out_bytes(work.out_format);
  floor.operations = 2 * rows * problem.n * problem.k;
  return floor;
}

std::string_view Cost::limit() const {
  const std::array<std::pair<double, std::string_view>, 5> limits{{{memory_s, "memory"},
                                                                   {in_flight_s, "bytes in flight"},
                                                                   {l2_s, "L2"},
                                                                   {chain_s, "a warp's stages"},
                                                                   {multiply_s, "multiply"}}};
  return std::max_element(limits.begin(), limits.end())->second;
}

Cost predict(const Config& config, const Work& work, const Rows& rows, const Device& device,
             const CostNumbers& numbers) {
  Cost cost;
  const Tiles tiles = tiles_of(config, work, rows, device, numbers);
  cost.tiles = tiles.count;
  cost.time_s = numbers.start_us * 1e-6;
  if (!(cost.tiles > 0)) return cost;

  const double clock = device.clock_mhz * 1e6;
  const double slots = static_cast<double>(device.sms) * config.blocks_per_sm;
  cost.waves = cost.tiles / slots;
  const double bytes_of_tile = find_floor(work, rows).bytes() / cost.tiles;
  const double l2_bytes_of_tile = tiles.l2_bytes / cost.tiles;
  const double ring_bytes = config.stages * config.tile_k * (config.tile_f + tiles.rows / cost.tiles);

  const auto wave = [&](double blocks, double times) {
    const double busy_sms = std::min<double>(blocks, device.sms);
    // How many tiles are left over for the last wave is known to about one on each SM.
    const double on_busiest =
        blocks == slots ? config.blocks_per_sm : std::clamp<double>(blocks / device.sms + 0.5, 1, config.blocks_per_sm);
    const double memory = blocks * bytes_of_tile / (device.read_gb_per_s * kGiga);
    const double in_flight = bytes_of_tile * numbers.latency_us * 1e-6 / ring_bytes;
    const double l2 = blocks * l2_bytes_of_tile / (busy_sms * device.l2_bytes_per_clock * clock);
    const double chain = tiles.chain / tiles.count / clock;
    const double multiply = on_busiest * tiles.clocks / tiles.count / clock;
    cost.memory_s += times * memory;
    cost.in_flight_s += times * in_flight;
    cost.l2_s += times * l2;
    cost.chain_s += times * chain;
    cost.multiply_s += times * multiply;
    cost.time_s += times * smooth_maximum({memory, in_flight, l2, chain, multiply});
  };
  // Whether the last tiles want a further wave is a matter of how many experts the routing touches.
  constexpr double kRare = 1e-3;
  double seen = 0;
  for (const double probability : rows.touched) seen += probability < kRare ? 0 : probability;
  for (std::size_t experts = 1; experts < rows.touched.size(); ++experts) {
    if (rows.touched[experts] < kRare) continue;
    const double weight = rows.touched[experts] / seen;
    const double count = cost.tiles * static_cast<double>(experts) / rows.experts();
    const double full = std::floor(count / slots);
    if (full > 0) wave(slots, weight * full);
    if (count > full * slots) wave(count - full * slots, weight);
  }
  return cost;
}

}  // namespace moesaic::engine
