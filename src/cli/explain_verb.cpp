#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit_code.hpp"
#include "cli/explanation.hpp"
#include "cli/gpu_model.hpp"
#include "cli/known_models.hpp"
#include "cli/nearest.hpp"
#include "cli/regret.hpp"
#include "cli/verbs.hpp"
#include "cli/whole_number.hpp"
#include "cli/wish.hpp"
#include "engine/kernel_set.hpp"

namespace moesaic::cli {
namespace {

struct ExplainOptions {
  std::string model;
  int experts = 0;
  int top_k = 0;
  int hidden = 0;
  int width = 0;
  std::vector<int> tokens{1, 16, 64, 256, 1024, 4096};
  std::string gpu;
  std::string layout = "rows";
  std::string x_format = "e4m3";
  std::string out = "f32";
  WishOptions wish;
  std::string against;
  std::optional<double> within;
  bool json = false;
};

constexpr int kMaxTokens = 1 << 20;

/// The value of a word of a fixed choice.
template <class Value>
Value read_word(const char* option, const std::string& word, const std::vector<std::pair<std::string, Value>>& known) {
  std::vector<std::string> words;
  for (const auto& [name, value] : known) {
    if (name == word) return value;
    words.push_back(name);
  }
  throw Error(
      fmt::format("{} {}: must be one of {}{}", option, word, fmt::join(words, ", "), did_you_mean(word, words)));
}

/// Sizes of the model, or as the options give them.
Shape shape_of(const ExplainOptions& options) {
  const bool any = options.experts != 0 || options.top_k != 0 || options.hidden != 0 || options.width != 0;
  if (!options.model.empty()) {
    if (any) throw Error("--model says the sizes: leave out --experts, --top-k, --hidden and --width");
    return find_model(options.model).shape;
  }
  if (options.experts < 1 || options.top_k < 1 || options.hidden < 1 || options.width < 1) {
    throw Error("say --model NAME (moesaic models lists them), or --experts, --top-k, --hidden and --width");
  }
  return {.experts = options.experts, .top_k = options.top_k, .hidden = options.hidden, .width = options.width};
}

void explain(const ExplainOptions& options) {
  const Shape shape = shape_of(options);
  if (options.gpu.empty()) throw Error("say --gpu: gb10, rtx5090, rtxpro6000, h200, or a file that describes a card");
  const GpuModel gpu(options.gpu);
  const std::span<const Config> variants = engine::KernelSet::variants();
  const engine::Wishes wishes = read_wishes(options.wish, variants);
  const auto layout = read_word<WeightLayout>("--layout", options.layout,
                                              {{"rows", WeightLayout::rows}, {"panels", WeightLayout::panels}});
  const auto x_format = read_word<TokenFormat>("--x-format", options.x_format,
                                               {{"e4m3", TokenFormat::e4m3}, {"e5m2", TokenFormat::e5m2}});
  const auto out = read_word<OutFormat>("--out", options.out,
                                        {{"f32", OutFormat::f32}, {"bf16", OutFormat::bf16}, {"f16", OutFormat::f16}});

  Explanation explanation{.what = fmt::format("{}{} experts, top {}, hidden {}, width {}",
                                              options.model.empty() ? "" : options.model + ": ", shape.experts,
                                              shape.top_k, shape.hidden, shape.width),
                          .device = gpu.device(),
                          .tuned_file = wishes.tuned.file(),
                          .gemms = {}};
  for (const int tokens : options.tokens) {
    const auto add = [&](const char* name, int n, int k) {
      const engine::Work work{.problem = {shape.experts, n, k, layout, x_format},
                              .tokens = tokens,
                              .top_k = shape.top_k,
                              .out_format = out};
      explanation.gemms.push_back(explain_gemm(name, work, gpu.device(), variants, wishes));
    };
    add("gate_up", 2 * shape.width, shape.hidden);
    add("down", shape.hidden, shape.width);
  }
  fmt::print("{}", options.json ? as_json(explanation) + "\n" : as_text(explanation));
}

int judge(const ExplainOptions& options) {
  std::optional<Device> device;
  const auto gpu = options.gpu.empty() ? nullptr : std::make_unique<GpuModel>(options.gpu);
  if (gpu != nullptr) device = gpu->device();
  const Regret regret = measure_regret(options.against, device, engine::KernelSet::variants());
  fmt::print("{}", options.json ? as_json(regret) + "\n" : as_text(regret));
  return options.within && 100 * regret.worst() > *options.within ? kCheckFailed : kOk;
}

}  // namespace

void add_explain(CLI::App& program, int& exit_code) {
  const auto options = std::make_shared<ExplainOptions>();
  CLI::App* verb = program.add_subcommand("explain", "say which variant of the grouped GEMM would run, and why");
  verb->add_option("--model", options->model, "a model whose sizes are known; moesaic models lists them");
  verb->add_option("--experts", options->experts, "of a layer of one's own")->check(whole_number(1));
  verb->add_option("--top-k", options->top_k, "experts for each token")->check(whole_number(1));
  verb->add_option("--hidden", options->hidden, "width of a token")->check(whole_number(1));
  verb->add_option("--width", options->width, "width of an expert")->check(whole_number(1));
  verb->add_option("--tokens", options->tokens, "how many, several with commas")
      ->delimiter(',')
      ->check(whole_number(0, kMaxTokens))
      ->capture_default_str();
  verb->add_option("--gpu", options->gpu, "gb10, rtx5090, rtxpro6000, h200, or a file; see below");
  verb->add_option("--layout", options->layout, "of the weights: rows or panels")->capture_default_str();
  verb->add_option("--x-format", options->x_format, "of the tokens' codes: e4m3 or e5m2")->capture_default_str();
  verb->add_option("--out", options->out, "format of the results: f32, bf16 or f16")->capture_default_str();
  add_wish_options(*verb, options->wish);
  verb->add_option("--against", options->against,
                   "hold the cost model against this report of moesaic bench gemm --json instead");
  verb->add_option("--within", options->within, "with --against: percent that a choice may cost; more is exit code 1")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer(
      "No GPU is needed. Every time is a prediction. That nothing can run is an answer too, with exit code 0.\n\n" +
      std::string(kGpuFileHelp) +
      "\nExamples:\n"
      "  moesaic explain --model qwen3-30b-a3b --tokens 1,16,256 --gpu gb10\n"
      "  moesaic explain --experts 8 --top-k 2 --hidden 4096 --width 14336 --tokens 64 --gpu rtx5090 --json\n"
      "  moesaic explain --against h200.json --within 5\n\n" +
      std::string(kExitCodesHelp));
  verb->callback([options, &exit_code] {
    if (!options->against.empty()) {
      exit_code = judge(*options);
    } else {
      explain(*options);
    }
  });
}

}  // namespace moesaic::cli
