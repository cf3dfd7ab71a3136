#include "cli/bench_gemm.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/gemm_bench.hpp"
#include "bench/report.hpp"
#include "cli/exit_code.hpp"
#include "cli/known_models.hpp"
#include "cli/places.hpp"
#include "cli/whole_number.hpp"

namespace moesaic::cli {
namespace {

const std::map<std::string, WeightLayout> kLayouts{{"rows", WeightLayout::rows}, {"panels", WeightLayout::panels}};
const std::map<std::string, Dependence> kDependences{
    {"full", Dependence::full}, {"strict", Dependence::strict}, {"early", Dependence::early}};
const std::map<std::string, OutFormat> kOutFormats{
    {"f32", OutFormat::f32}, {"bf16", OutFormat::bf16}, {"f16", OutFormat::f16}};

struct BenchGemmOptions {
  std::string device = "gpu:0";
  std::string model = "qwen3-30b-a3b";
  std::vector<int> shape;  ///< experts, top_k, hidden, width; empty: the model's
  std::string gemm = "both";
  std::vector<int> tokens{1, 4, 16, 64, 256, 1024, 4096};
  bench::GemmBenchOptions measure;
  std::string proxy;
  std::string json;
  double stream_tb_per_s = 0;
  int most = 8;
};

/// The layer's shape and what to call it.
std::pair<Shape, std::string> shape_of(const BenchGemmOptions& options) {
  if (options.shape.empty()) return {find_model(options.model).shape, options.model};
  const auto& sizes = options.shape;
  if (sizes[1] > sizes[0]) {
    throw Error(fmt::format("--shape: {} experts of {} for each token cannot be distinct", sizes[1], sizes[0]));
  }
  return {{.experts = sizes[0], .top_k = sizes[1], .hidden = sizes[2], .width = sizes[3]},
          fmt::format("{}", fmt::join(sizes, "-"))};
}

std::vector<bench::Workload> workloads(const BenchGemmOptions& options) {
  const auto [shape, name] = shape_of(options);
  std::vector<bench::Workload> all;
  for (const std::string gemm : {"gate_up", "down"}) {
    if (options.gemm != "both" && options.gemm != gemm) continue;
    const bool up = gemm == "gate_up";
    for (const int tokens : options.tokens) {
      all.push_back({.model = name,
                     .gemm = gemm,
                     .experts = shape.experts,
                     .top_k = shape.top_k,
                     .n = up ? 2 * shape.width : shape.hidden,
                     .k = up ? shape.hidden : shape.width,
                     .tokens = tokens});
    }
  }
  return all;
}

std::vector<unsigned char> read_image(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<unsigned char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty())
    throw Error(fmt::format("--proxy {}: no such fat binary; build the target moesaic_s8_proxy", path));
  return bytes;
}

void write_json(const std::string& path, const nlohmann::json& json) {
  if (path.empty()) return;
  std::ofstream file(path);
  file << json.dump() << '\n';
  if (!file.flush()) throw Error("--json " + path + ": cannot be written");
}

/// On an emulated card the probes are only run.
bench::ProbeSize probe_size(const device::Gpu& gpu) {
  if (gpu.emulated()) return {.stream_bytes = std::size_t{1} << 20, .mma_iterations = 1, .mma_blocks = 1, .runs = 1};
  return {};
}

void bench_gemm(const BenchGemmOptions& options) {
  const device::Place place = choose_place(options.device, options.measure.seed).place;
  if (place.kind == device::Place::Kind::cpu) {
    throw Error("--device cpu: bench gemm times kernels, which need gpu:0; on an emulated card it only runs them");
  }
  const std::vector<bench::Workload> all = workloads(options);
  const std::vector<unsigned char> image =
      options.proxy.empty() ? std::vector<unsigned char>{} : read_image(options.proxy);
  device::Gpu gpu(place);
  engine::KernelSet kernels(gpu, image.empty() ? nullptr : image.data());
  bench::Probes probes(gpu);
  bench::Session session = bench::begin_session(gpu);
  session.as_12x = options.measure.as_12x;
  session.proxy = options.proxy;
  session.seed = options.measure.seed;
  session.given_stream_tb_per_s = options.stream_tb_per_s;
  session.limits = probes.measure(probe_size(gpu));
  fmt::print("{}", bench::as_text(session));

  bench::GemmBench bench(gpu, kernels, probes, options.measure);
  std::vector<bench::Point> points;
  for (const bench::Workload& workload : all) {
    points.push_back(bench.measure(workload));
    fmt::print("{}", bench::as_text(session, points.back(), options.most));
    std::fflush(stdout);
    write_json(options.json, bench::as_json(session, points));  // each time: a run that is cut short leaves what it has
  }
}

/// An option that takes one or several of the names in `choices`, with commas.
template <typename T>
void add_choices(CLI::App& verb, const std::string& name, std::vector<T>& values,
                 const std::map<std::string, T>& choices, const std::string& unless_given,
                 const std::string& description) {
  verb.add_option_function<std::vector<std::string>>(
          name,
          [&values, &choices](const std::vector<std::string>& names) {
            values.clear();
            for (const std::string& chosen : names) values.push_back(choices.at(chosen));
          },
          description)
      ->delimiter(',')
      ->default_str(unless_given)
      ->check(CLI::IsMember(choices));
}

void add_measure_options(CLI::App& verb, bench::GemmBenchOptions& measure) {
  add_choices(verb, "--layout", measure.layouts, kLayouts, "rows", "of the weights");
  add_choices(verb, "--dependence", measure.dependences, kDependences, "full",
              "what a launch reads before the one in front has finished");
  verb.add_option_function<std::string>(
          "--out", [&measure](const std::string& name) { measure.out = kOutFormats.at(name); }, "format of the result")
      ->default_str("bf16")
      ->check(CLI::IsMember(kOutFormats));
  verb.add_flag("--as-12x", measure.as_12x, "hold the card to a 12.x one's shared memory and blocks per SM");
  verb.add_option("--seconds", measure.seconds, "for each point")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 3600.0));
  verb.add_option("--rounds", measure.rounds, "for each point, in place of --seconds")->check(whole_number(1, 100000));
  verb.add_option("--launches", measure.launches, "in one graph, at least")
      ->capture_default_str()
      ->check(whole_number(1, 1000));
  verb.add_option_function<std::string>(
          "--sets", [&measure](const std::string& text) { measure.sets = text == "auto" ? 0 : std::stoi(text); },
          "sets of weights to rotate among; auto: as many as the L2 makes necessary")
      ->default_str("auto")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const std::string wrong = text == "auto" ? std::string() : whole_number(1, 64)(text);
            return wrong.empty() ? wrong : wrong + ", or auto";
          },
          ""));
  verb.add_option("--seed", measure.seed, "of routings and of the order in a round")
      ->capture_default_str()
      ->check(any_seed());
}

}  // namespace

void add_bench_gemm(CLI::App& bench) {
  const auto options = std::make_shared<BenchGemmOptions>();
  CLI::App* verb = bench.add_subcommand("gemm", "time the grouped GEMM's variants on a card, in turns");
  verb->add_option("--device", options->device, "gpu:0; an emulated card runs all and takes no time")
      ->capture_default_str();
  verb->add_option("--model", options->model, "whose shapes; moesaic models lists them")->capture_default_str();
  verb->add_option("--shape", options->shape, "of a layer in place of a model: EXPERTS,TOP_K,HIDDEN,WIDTH")
      ->delimiter(',')
      ->expected(4)
      ->check(whole_number(1))
      ->excludes("--model");
  verb->add_option("--gemm", options->gemm, "which of a layer's two")
      ->capture_default_str()
      ->check(CLI::IsMember({"gate_up", "down", "both"}));
  verb->add_option("--tokens", options->tokens, "how many, with commas")
      ->delimiter(',')
      ->capture_default_str()
      ->check(whole_number(1, 65536));
  verb->add_option_function<std::vector<std::string>>(
          "--variant",
          [options](const std::vector<std::string>& names) {
            options->measure.variants = names == std::vector<std::string>{"all"} ? std::vector<std::string>{} : names;
          },
          "full names with commas; all: every one that can run")
      ->delimiter(',')
      ->default_str("all");
  add_measure_options(*verb, options->measure);
  verb->add_option("--stream-tbps", options->stream_tb_per_s,
                   "streaming limit for the floor; the run's probe if larger")
      ->check(CLI::Range(0.0, 100.0));
  verb->add_option("--proxy", options->proxy, "fat binary to time in place of the shipped kernels: s8 multiplies");
  verb->add_option("--top", options->most, "results to print for each point")
      ->capture_default_str()
      ->check(whole_number(0));
  verb->add_option("--json", options->json, "file for everything, each sample included");
  verb->footer(
      "Examples:\n"
      "  moesaic bench gemm --as-12x --tokens 1,16,64 --dependence full,strict --json h200.json\n"
      "  moesaic bench gemm --model mixtral-8x7b --gemm gate_up --variant moe_fp8_gemm/f64t8k128.s5.c2.w4x1\n\n" +
      std::string(kExitCodesHelp));
  verb->callback([options] { bench_gemm(*options); });
}

}  // namespace moesaic::cli
