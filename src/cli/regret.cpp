#include "cli/regret.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/selection.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {
namespace {

using Json = nlohmann::json;

/// A measured variant.
struct Measured {
  Config config;
  double us = 0;
};

Json read_report(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw Error(fmt::format("--against {}: the file cannot be read", file));
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("bench", "") != "gemm") {
    throw Error(fmt::format("--against {}: the file is no report of moesaic bench gemm --json", file));
  }
  return json;
}

const Device& card_of(const Json& report) {
  const std::string name = report.at("device").at("name");
  for (const Device& known : kDevices) {
    if (known.full_name == name) return known;
  }
  throw Error(fmt::format("the report's card {} is not known; say --gpu", name));
}

/// The limits of the run take the place of the card's rates.
void take_limits(const Json& report, Regret& regret) {
  Device& device = regret.device;
  regret.rates = "the card's description";
  const auto limits = report.find("limits");
  if (limits == report.end()) return;
  const bool proxy = report.contains("proxy") && !report.at("proxy").is_null();
  const double stream = limits->value("stream_tb_per_s", 0.0);
  const double multiply = limits->value(proxy ? "s8_tera_ops" : "fp8_tera_ops", 0.0);
  if (stream > 0) device.read_gb_per_s = stream * 1e3;
  if (multiply > 0) device.fast_flop_per_clock = multiply * 1e6 / (static_cast<double>(device.sms) * device.clock_mhz);
  regret.rates =
      fmt::format("the run's own limits: {:.4g} GB/s, {:.4g} TFLOPS{}", device.read_gb_per_s,
                  device.fast_flop_per_clock * device.sms * device.clock_mhz * 1e-6, proxy ? " (a proxy's)" : "");
}

engine::Work work_of(const Json& point, const std::string& layout) {
  const std::string out = point.value("out", "f32");
  return {.problem = {.experts = point.at("experts"),
                      .n = point.at("n"),
                      .k = point.at("k"),
                      .layout = layout == "panels" ? WeightLayout::panels : WeightLayout::rows},
          .tokens = point.at("tokens"),
          .top_k = point.at("top_k"),
          .out_format = out == "bf16"  ? OutFormat::bf16
                        : out == "f16" ? OutFormat::f16
                                       : OutFormat::f32};
}

/// The measured variants of a point by layout and dependence. Results of other engines and without a time are left out.
std::map<std::pair<std::string, std::string>, std::vector<Measured>> results_of(const Json& point,
                                                                                std::span<const Config> variants,
                                                                                int& not_in_build) {
  std::map<std::pair<std::string, std::string>, std::vector<Measured>> groups;
  for (const Json& result : point.at("results")) {
    if (result.value("engine", "moesaic") != "moesaic" || !result.contains("median_us")) continue;
    const std::string name = result.at("variant");
    const auto config =
        std::ranges::find_if(variants, [&](const Config& known) { return variant_name(known) == name; });
    if (config == variants.end()) {
      ++not_in_build;
      continue;
    }
    groups[{result.value("layout", "rows"), result.value("dependence", "full")}].push_back(
        {*config, result.at("median_us")});
  }
  return groups;
}

RegretPoint judge(const engine::Work& work, std::span<const Measured> measured, const Device& device) {
  const engine::Rows rows = engine::expect_rows(work);
  RegretPoint point;
  point.work = work;
  for (const Measured& variant : measured) {
    const double predicted_us = engine::predict(variant.config, work, rows, device).time_s * 1e6;
    if (point.chosen.empty() || predicted_us < point.predicted_us) {
      point.chosen = variant_name(variant.config);
      point.predicted_us = predicted_us;
      point.chosen_us = variant.us;
    }
    if (point.best.empty() || variant.us < point.best_us) {
      point.best = variant_name(variant.config);
      point.best_us = variant.us;
    }
  }
  return point;
}

}  // namespace

double Regret::worst() const {
  double worst = 0;
  for (const RegretPoint& point : points) worst = std::max(worst, point.regret());
  return worst;
}

Regret measure_regret(const std::string& file, const std::optional<Device>& device, std::span<const Config> variants) {
  try {
    const Json report = read_report(file);
    Regret regret;
    regret.device = device ? *device : card_of(report);
    take_limits(report, regret);
    for (const Json& point : report.at("points")) {
      for (const auto& [form, measured] : results_of(point, variants, regret.not_in_build)) {
        RegretPoint judged = judge(work_of(point, form.first), measured, regret.device);
        judged.what =
            fmt::format("{} {} {} {}", point.value("model", ""), point.value("gemm", ""), form.first, form.second);
        regret.points.push_back(std::move(judged));
      }
    }
    if (regret.points.empty()) throw Error("no point has a time of a variant that this build has");
    return regret;
  } catch (const Json::exception& error) {
    throw Error(fmt::format("--against {}: {}", file, error.what()));
  }
}

std::string as_text(const Regret& regret) {
  std::string text = fmt::format("card     {}; rates: {}\n", regret.device.full_name, regret.rates);
  if (regret.not_in_build > 0) {
    text += fmt::format("left out {} results of variants that are not in this build\n", regret.not_in_build);
  }
  text += fmt::format("\n{:>8} {:>7} {:>10} {:>10} {:>10}  {}\n", "regret", "tokens", "predicted", "chosen us",
                      "best us", "point: chosen; best");
  for (const RegretPoint& point : regret.points) {
    text += fmt::format("{:>6.1f} % {:>7} {:>10.2f} {:>10.2f} {:>10.2f}  {}: {}; {}\n", 100 * point.regret(),
                        point.work.tokens, point.predicted_us, point.chosen_us, point.best_us, point.what, point.chosen,
                        point.best);
  }
  return text + fmt::format("\nworst    {:.1f} % of {} points\n", 100 * regret.worst(), regret.points.size());
}

std::string as_json(const Regret& regret) {
  Json points = Json::array();
  for (const RegretPoint& point : regret.points) {
    points.push_back({{"what", point.what},
                      {"experts", point.work.problem.experts},
                      {"top_k", point.work.top_k},
                      {"n", point.work.problem.n},
                      {"k", point.work.problem.k},
                      {"tokens", point.work.tokens},
                      {"chosen", point.chosen},
                      {"predicted_us", point.predicted_us},
                      {"chosen_us", point.chosen_us},
                      {"best", point.best},
                      {"best_us", point.best_us},
                      {"regret", point.regret()}});
  }
  const Json json{{"card", regret.device.full_name},
                  {"rates", regret.rates},
                  {"not_in_build", regret.not_in_build},
                  {"points", points},
                  {"worst", regret.worst()}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace moesaic::cli
