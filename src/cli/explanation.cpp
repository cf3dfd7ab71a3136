#include "cli/explanation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "spec/error.hpp"

namespace moesaic::cli {
namespace {

using engine::Candidate;
using engine::Cost;
using engine::DecidedBy;
using engine::Floor;
using engine::Work;
using Json = nlohmann::json;

constexpr const char* kPrediction =
    "a prediction of the cost model from the rates of the card's description, not a measurement";

const char* speaker(DecidedBy decided_by) {
  switch (decided_by) {
    case DecidedBy::user:
      return "user";
    case DecidedBy::tuned_table:
      return "tuned table";
    case DecidedBy::cost_model:
      break;
  }
  return "cost model";
}

const char* name_of(OutFormat format) {
  switch (format) {
    case OutFormat::f32:
      return "f32";
    case OutFormat::bf16:
      return "bf16";
    case OutFormat::f16:
      break;
  }
  return "f16";
}

const char* name_of(WeightLayout layout) {
  return layout == WeightLayout::rows ? "rows" : "panels";
}

const char* name_of(TokenFormat format) {
  return format == TokenFormat::e4m3 ? "e4m3" : "e5m2";
}

double tera_flop(const Device& device, double flop_per_clock) {
  return flop_per_clock * device.sms * device.clock_mhz * 1e-6;
}

double us(double seconds) {
  return seconds * 1e6;
}

std::string card_text(const Device& device) {
  return fmt::format(
      "card     {}: {}, compute capability {}.{}, {} SMs at {} MHz\n"
      "rates    {:.4g} GB/s of memory read, {:.4g} bytes per clock from L2 to an SM, {:.4g} TFLOPS fast multiply, "
      "{:.4g} plain\n",
      device.name, device.full_name, device.major, device.minor, device.sms, device.clock_mhz, device.read_gb_per_s,
      device.l2_bytes_per_clock, tera_flop(device, device.fast_flop_per_clock),
      tera_flop(device, device.plain_flop_per_clock));
}

std::string floor_text(const ExplainedGemm& gemm, const Device& device) {
  const Floor& floor = gemm.floor;
  std::string text = fmt::format(
      "  floor    {:.6g} MB: {:.6g} weights of {:.4g} experts, {:.4g} rows of tokens, {:.4g} results in {}; {:.4g} "
      "GFLOP\n",
      floor.bytes() / 1e6, floor.weight_bytes / 1e6, floor.experts, floor.token_bytes / 1e6, floor.out_bytes / 1e6,
      name_of(gemm.work.out_format), floor.operations / 1e9);
  if (const double least = floor.seconds(device); least > 0) {
    text += fmt::format(
        "           {:.4g} us, the larger of bytes over the memory's rate and operations over the faster "
        "multiply\n",
        us(least));
  }
  return text;
}

std::string choice_text(const ExplainedGemm& gemm) {
  if (!gemm.choice) return fmt::format("  chosen   none: {}\n", gemm.why_none);
  const engine::Choice& choice = *gemm.choice;
  const Cost& cost = choice.chosen().cost;
  return fmt::format(
      "  chosen   {}\n"
      "  decided  {}\n"
      "  uses     {} {} per SM, {} bytes of shared memory each\n"
      "  time     {:.4g} us, {}; {} limits it most\n",
      variant_name(choice.config), choice.reason, choice.config.blocks_per_sm,
      choice.config.blocks_per_sm == 1 ? "block" : "blocks", smem_bytes(choice.config), us(cost.time_s), kPrediction,
      cost.limit());
}

std::string candidates_text(const ExplainedGemm& gemm) {
  std::string text;
  for (const Candidate& candidate : gemm.candidates) {
    if (!candidate.rejected.empty()) continue;
    if (text.empty()) {
      text = fmt::format("  {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}  can run\n", "predicted us", "memory",
                         "in flight", "L2", "stages", "multiply", "waves");
    }
    const Cost& cost = candidate.cost;
    text += fmt::format("  {:>12.2f} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f} {:>7.2f}  {}\n", us(cost.time_s),
                        us(cost.memory_s), us(cost.in_flight_s), us(cost.l2_s), us(cost.chain_s), us(cost.multiply_s),
                        cost.waves, variant_name(candidate.config));
  }
  for (const Candidate& candidate : gemm.candidates) {
    if (candidate.rejected.empty()) continue;
    text += fmt::format("  rejected {}: {}\n", variant_name(candidate.config), candidate.rejected);
  }
  return text;
}

Json cost_json(const Cost& cost) {
  return {{"predicted_us", us(cost.time_s)},
          {"memory_us", us(cost.memory_s)},
          {"in_flight_us", us(cost.in_flight_s)},
          {"l2_us", us(cost.l2_s)},
          {"stages_us", us(cost.chain_s)},
          {"multiply_us", us(cost.multiply_s)},
          {"tiles", cost.tiles},
          {"waves", cost.waves},
          {"limit", cost.limit()}};
}

Json candidate_json(const Candidate& candidate) {
  Json json{{"variant", variant_name(candidate.config)},
            {"blocks_per_sm", candidate.config.blocks_per_sm},
            {"smem_bytes", smem_bytes(candidate.config)},
            {"rejected", candidate.rejected}};
  if (candidate.rejected.empty()) json.update(cost_json(candidate.cost));
  return json;
}

Json gemm_json(const ExplainedGemm& gemm, const Device& device) {
  const Work& work = gemm.work;
  const Floor& floor = gemm.floor;
  Json json{{"gemm", gemm.name},
            {"tokens", work.tokens},
            {"experts", work.problem.experts},
            {"top_k", work.top_k},
            {"n", work.problem.n},
            {"k", work.problem.k},
            {"layout", name_of(work.problem.layout)},
            {"x_format", name_of(work.problem.x_format)},
            {"out", name_of(work.out_format)},
            {"floor",
             {{"experts", floor.experts},
              {"weight_bytes", floor.weight_bytes},
              {"token_bytes", floor.token_bytes},
              {"out_bytes", floor.out_bytes},
              {"bytes", floor.bytes()},
              {"operations", floor.operations},
              {"us", us(floor.seconds(device))}}},
            {"chosen", nullptr},
            {"why_none", gemm.why_none},
            {"candidates", Json::array()}};
  if (gemm.choice) {
    json["chosen"] = candidate_json(gemm.choice->chosen());
    json["chosen"]["decided_by"] = speaker(gemm.choice->decided_by);
    json["chosen"]["reason"] = gemm.choice->reason;
  }
  for (const Candidate& candidate : gemm.candidates) json["candidates"].push_back(candidate_json(candidate));
  return json;
}

/// Fastest first; what cannot run last, in the order of the table.
std::vector<Candidate> sorted(std::vector<Candidate> candidates) {
  std::ranges::stable_sort(candidates, [](const Candidate& a, const Candidate& b) {
    if (a.rejected.empty() != b.rejected.empty()) return a.rejected.empty();
    return a.rejected.empty() && a.cost.time_s < b.cost.time_s;
  });
  return candidates;
}

}  // namespace

ExplainedGemm explain_gemm(const std::string& name, const Work& work, const Device& device,
                           std::span<const Config> variants, const engine::Wishes& wishes) {
  ExplainedGemm gemm{name, work, engine::find_floor(work), sorted(engine::weigh(variants, work, device)), {}, {}};
  const bool something_can = !gemm.candidates.empty() && gemm.candidates.front().rejected.empty();
  if (something_can || !wishes.variant.empty()) {
    gemm.choice = engine::choose(variants, work, device, wishes);
  } else if (gemm.why_none = why_no_code(device); gemm.why_none.empty()) {
    gemm.why_none = "every variant is rejected";
  }
  return gemm;
}

std::string as_text(const Explanation& explanation) {
  std::string text = card_text(explanation.device);
  text += fmt::format("sizes    {}\n", explanation.what);
  text += fmt::format("tuned    {}\n",
                      explanation.tuned_file.empty() ? "no table: the cost model decides" : explanation.tuned_file);
  for (const ExplainedGemm& gemm : explanation.gemms) {
    const Work& work = gemm.work;
    text += fmt::format("\n{}, {} {} to {} of {} experts, n {}, k {}\n", gemm.name, work.tokens,
                        work.tokens == 1 ? "token" : "tokens", work.top_k, work.problem.experts, work.problem.n,
                        work.problem.k);
    text += choice_text(gemm) + floor_text(gemm, explanation.device) + candidates_text(gemm);
  }
  return text;
}

std::string as_json(const Explanation& explanation) {
  const Device& device = explanation.device;
  Json gemms = Json::array();
  for (const ExplainedGemm& gemm : explanation.gemms) gemms.push_back(gemm_json(gemm, device));
  const Json json{{"sizes", explanation.what},
                  {"times", kPrediction},
                  {"card",
                   {{"name", device.name},
                    {"full_name", device.full_name},
                    {"compute_capability", fmt::format("{}.{}", device.major, device.minor)},
                    {"sms", device.sms},
                    {"clock_mhz", device.clock_mhz},
                    {"read_gb_per_s", device.read_gb_per_s},
                    {"l2_bytes_per_clock", device.l2_bytes_per_clock},
                    {"fast_flop_per_clock", device.fast_flop_per_clock},
                    {"plain_flop_per_clock", device.plain_flop_per_clock}}},
                  {"tuned", explanation.tuned_file.empty() ? Json() : Json(explanation.tuned_file)},
                  {"gemms", gemms}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace moesaic::cli
