#include "cli/report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/size_words.hpp"

namespace moesaic::cli {
namespace {

using Json = nlohmann::json;
using reference::Judgement;
using reference::Stage;

/// The stage whose worst value came nearest to its bound, or went farthest past it.
const Stage* worst_stage(const Judgement& judgement) {
  const auto worst = std::ranges::max_element(judgement.stages, {}, &Stage::ratio);
  return worst == judgement.stages.end() ? nullptr : &*worst;
}

std::string busy_experts(const std::vector<int>& tokens_per_expert) {
  const auto used = std::ranges::count_if(tokens_per_expert, [](int n) { return n > 0; });
  const int most = tokens_per_expert.empty() ? 0 : *std::ranges::max_element(tokens_per_expert);
  return fmt::format("{} of {} experts get work, the busiest {} {}", used, tokens_per_expert.size(), most,
                     most == 1 ? "token" : "tokens");
}

std::string verdict(const Judgement& judgement) {
  if (const Stage* failure = judgement.first_failure()) {
    return fmt::format("FAILED at the stage {}: later stages are judged by what it gave", failure->name);
  }
  const Stage* worst = worst_stage(judgement);
  if (worst == nullptr || worst->compared == 0) return "passed: without tokens there is nothing to compare";
  return fmt::format("passed: every stage is within its bound; the largest error is {:.3f} of its bound (stage {})",
                     worst->ratio, worst->name);
}

/// One line of the table of stages; all that is known of one that failed.
std::string stage_line(const Stage& stage) {
  if (!stage.passed()) return stage.text();
  const std::string error = stage.ratio == 0 ? "exact" : fmt::format("largest error {:.3g} of its bound", stage.ratio);
  return fmt::format("{:<9} {:>9} values  {}", stage.name, stage.compared, stage.compared == 0 ? "" : error);
}

Json stage_json(const Stage& stage) {
  return {{"name", stage.name},       {"passed", stage.passed()}, {"problem", stage.problem},
          {"values", stage.compared}, {"outside", stage.failed},  {"error_of_bound", stage.ratio},
          {"row", stage.row},         {"column", stage.column},   {"got", stage.got},
          {"want", stage.want},       {"bound", stage.bound}};
}

}  // namespace

ExitCode exit_code(const RunReport& report) {
  return report.check && !report.check->passed() ? kCheckFailed : kOk;
}

std::string as_text(const RunReport& report, bool colour) {
  const std::string bold = colour ? "\x1b[1m" : "";
  const std::string green = colour ? "\x1b[32m" : "";
  const std::string red = colour ? "\x1b[31m" : "";
  const std::string plain = colour ? "\x1b[0m" : "";
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("{}{:<8}{} {}\n", bold, label, plain, value);
  };
  const Shape& shape = report.shape;
  line("model", fmt::format("{}: {}, {} of {} layers with experts", report.directory, report.architecture,
                            report.moe_layer_count, report.layer_count));
  line("layer", fmt::format("{} ({}): {} experts, {} for each token, hidden {}, expert width {}{}, {}",
                            report.layer_index, report.layer_name, shape.experts, shape.top_k, shape.hidden,
                            shape.width, shape.shared_width > 0 ? fmt::format(", shared {}", shape.shared_width) : "",
                            size_words(report.layer_bytes)));
  line("scheme", report.scheme);
  line("tokens", fmt::format("{}, {}; {}", report.tokens, report.token_source, busy_experts(report.tokens_per_expert)));
  line("device", fmt::format("{}: {}", report.place, report.reason));
  if (!report.kernels.empty()) line("kernels", fmt::format("{}", fmt::join(report.kernels, ", ")));
  for (std::size_t i = 0; i < report.choices.size(); ++i) line(i == 0 ? "chosen" : "", report.choices[i]);
  if (report.time_s) {
    line("time", fmt::format("{:.4g} ms: one run, first use included, by the host's clock; not a benchmark",
                             *report.time_s * 1e3));
  } else {
    line("time", "not shown: an emulated card says nothing about the speed of a real one");
  }
  if (report.check) {
    line("check", fmt::format("{}{}{}", report.check->passed() ? green : red, verdict(*report.check), plain));
    for (const Stage& stage : report.check->stages) text += fmt::format("           {}\n", stage_line(stage));
  } else {
    line("check", "not done; --check compares every stage with a double-precision reference");
  }
  if (!report.out.empty()) {
    line("output", fmt::format("{}: float32 [{}, {}]", report.out, report.tokens, shape.hidden));
  }
  for (std::size_t i = 0; i < report.next.size(); ++i) line(i == 0 ? "next" : "", report.next[i]);
  return text;
}

std::string as_json(const RunReport& report) {
  const Shape& shape = report.shape;
  Json json = {
      {"model",
       {{"directory", report.directory},
        {"architecture", report.architecture},
        {"layers", report.layer_count},
        {"moe_layers", report.moe_layer_count}}},
      {"layer",
       {{"index", report.layer_index},
        {"name", report.layer_name},
        {"experts", shape.experts},
        {"top_k", shape.top_k},
        {"hidden", shape.hidden},
        {"width", shape.width},
        {"shared_width", shape.shared_width},
        {"layout", report.layout},
        {"bytes", report.layer_bytes},
        {"disk_bytes", report.disk_bytes},
        {"peak_bytes", report.peak_bytes}}},
      {"scheme", report.scheme},
      {"tokens", {{"count", report.tokens}, {"source", report.token_source}, {"per_expert", report.tokens_per_expert}}},
      {"seed", report.seed},
      {"device",
       {{"asked", report.device_asked},
        {"place", report.place},
        {"reason", report.reason},
        {"kernels", report.kernels},
        {"choices", report.choices}}},
      {"time_s", report.time_s ? Json(*report.time_s) : Json()},
      {"check", nullptr},
      {"out", report.out.empty() ? Json() : Json(report.out)},
      {"next", report.next},
  };
  if (report.check) {
    Json stages = Json::array();
    for (const Stage& stage : report.check->stages) stages.push_back(stage_json(stage));
    json["check"] = {{"passed", report.check->passed()}, {"stages", stages}};
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace moesaic::cli
