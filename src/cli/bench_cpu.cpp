#include "cli/bench_cpu.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <thread>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/layer_plan.hpp"
#include "checkpoint/scrap.hpp"
#include "cli/activity.hpp"
#include "cli/exit_code.hpp"
#include "cli/loading.hpp"
#include "cli/size_words.hpp"
#include "engine/cpu_baseline.hpp"
#include "engine/engine.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {
namespace {

namespace fs = std::filesystem;

/// A directory of our own for a model; removed at the end.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string name = (fs::temp_directory_path() / "moesaic-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw Error(name + ": cannot be made; set TMPDIR to where there is room");
    path_ = name;
    scraps_.emplace_back(path_);
    for (const std::string_view file : checkpoint::kModelFiles) scraps_.emplace_back(path_ / file);
  }

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  std::deque<checkpoint::Scrap> scraps_;
};

Layer load_first(const fs::path& directory) {
  const checkpoint::Model model = checkpoint::open(directory);
  return load(checkpoint::plan_layer(model, model.config.moe_layers.front()));
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

/// The median of the pairs' own ratios: what slows both in a pair cancels.
double median_ratio(const CpuTimes& times) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < times.engine.size(); ++i) ratios.push_back(times.engine[i] / times.sgemm[i]);
  return median(ratios);
}

std::string spread(const std::vector<double>& seconds) {
  const auto [lo, hi] = std::minmax_element(seconds.begin(), seconds.end());
  return fmt::format("{:9.3f} ms   ({:.3f} to {:.3f})", median(seconds) * 1e3, *lo * 1e3, *hi * 1e3);
}

nlohmann::json spread_json(const std::vector<double>& seconds) {
  const auto [lo, hi] = std::minmax_element(seconds.begin(), seconds.end());
  return {{"median_s", median(seconds)}, {"min_s", *lo}, {"max_s", *hi}};
}

/// Says first how much memory that takes. Throws Error when there is not enough.
engine::FloatGemms expanded(const Layer& layer, const Routing& routing, int threads) {
  const std::string size = size_words(engine::float_bytes(layer, routing));
  const Activity activity(fmt::format("expanding the weights to {} of floats", size));
  try {
    return {layer, routing, threads};
  } catch (const std::bad_alloc&) {
    throw Error(fmt::format(
        "not enough memory for {} of weights expanded to float; fewer --experts or --tokens take less", size));
  }
}

}  // namespace

Layer layer_to_bench(const std::string& directory, const checkpoint::Synth& synth) {
  if (!directory.empty()) return load_first(directory);
  const ScratchDirectory scratch;
  {
    Activity activity("making up weights");
    checkpoint::synthesize(synth, scratch.path(),
                           [&](std::uint64_t done, std::uint64_t total) { activity.update(done, total); });
  }
  return load_first(scratch.path());
}

CpuTimes measure_cpu(const Layer& layer, const Tokens& tokens, int pairs) {
  const Activity activity("measuring");
  CpuTimes times;
  times.tokens = tokens.count;
  times.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const std::unique_ptr<engine::Engine> engine = engine::make_cpu_engine(layer, times.threads);
  const Routing routing = engine->run(tokens, engine::Keep::output).routing;
  engine::FloatGemms sgemm = expanded(layer, routing, times.threads);
  times.sgemm_each_by_itself = sgemm.each_by_itself();
  for (int pair = 0; pair < pairs; ++pair) {
    const auto start = std::chrono::steady_clock::now();
    engine->run(tokens, engine::Keep::output);
    times.engine.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    times.sgemm.push_back(sgemm.run());
  }
  times.bytes = engine::bytes_read(layer, routing);
  times.stream = engine::measure_stream(times.threads);
  return times;
}

std::string as_text(const CpuTimes& times) {
  return fmt::format(
      "{}, {} {}, {} {}; medians of {} interleaved pairs (fastest to slowest)\n"
      "cpu engine, the whole layer              {}\n"
      "sgemm on weights expanded to float       {}   both GEMMs alone, by OpenBLAS, {}\n"
      "reading {:>11} of stored weights     {:9.3f} ms   at {:.1f} GB/s, measured\n"
      "The engine takes {:.2f} times the time of sgemm (median of the pairs' ratios).\n",
      times.what, times.tokens, times.tokens == 1 ? "token" : "tokens", times.threads,
      times.threads == 1 ? "thread" : "threads", times.engine.size(), spread(times.engine), spread(times.sgemm),
      times.sgemm_each_by_itself ? "an expert a thread" : "all threads on each expert", size_words(times.bytes),
      times.floor() * 1e3, times.stream / 1e9, median_ratio(times));
}

std::string as_json(const CpuTimes& times) {
  const nlohmann::json json = {
      {"device", "cpu"},
      {"what", times.what},
      {"tokens", times.tokens},
      {"threads", times.threads},
      {"pairs", times.engine.size()},
      {"engine", spread_json(times.engine)},
      {"sgemm", spread_json(times.sgemm)},
      {"sgemm_threads", times.sgemm_each_by_itself ? "each on its own expert" : "all on each expert"},
      {"ratio", median_ratio(times)},
      {"floor", {{"bytes", times.bytes}, {"stream_bytes_per_s", times.stream}, {"seconds", times.floor()}}}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace moesaic::cli
