#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/exit_code.hpp"
#include "cli/gpu_model.hpp"
#include "cli/verbs.hpp"
#include "engine/kernel_set.hpp"

namespace moesaic::cli {
namespace {

struct ListOptions {
  std::string gpu;
  bool json = false;
};

/// Why the variant cannot run on a card whatever the sizes; empty when it can.
std::string why_not(const Config& config, const Device& device) {
  return valid(config, {.experts = 1, .n = 8, .k = 16, .x_format = config.x_format}, device);
}

nlohmann::json as_json(const Config& c, const std::vector<Device>& cards) {
  nlohmann::json on = nlohmann::json::array();
  for (const Device& card : cards) {
    const std::string reason = why_not(c, card);
    on.push_back({{"card", card.name},
                  {"blocks_per_sm", reason.empty() ? c.blocks_per_sm : 0},
                  {"would_fit", reason.empty() ? resident_blocks(c, card) : 0},
                  {"why_not", reason}});
  }
  return {{"name", variant_name(c)},
          {"tile_f", c.tile_f},
          {"tile_t", c.tile_t},
          {"tile_k", c.tile_k},
          {"stages", c.stages},
          {"warps_f", c.warps_f},
          {"warps_t", c.warps_t},
          {"multiply", c.multiply == Multiply::fast ? "fast" : "plain"},
          {"x_format", c.x_format == TokenFormat::e4m3 ? "e4m3" : "e5m2"},
          {"smem_bytes", smem_bytes(c)},
          {"registers_at_launch", registers_at_launch(c)},
          {"threads", c.threads()},
          {"cards", on}};
}

void print(const Config& c, const std::vector<Device>& cards) {
  std::string line = fmt::format("{:42} {:>4} {:>4} {:>4} {:>6} {:>8} {:>9} {:>7} ", variant_name(c), c.tile_f,
                                 c.tile_t, c.tile_k, c.stages, smem_bytes(c), registers_at_launch(c), c.threads());
  for (const Device& card : cards) {
    line += fmt::format(" {:>{}}", why_not(c, card).empty() ? std::to_string(c.blocks_per_sm) : "-", card.name.size());
  }
  fmt::print("{}\n", line);
}

void list(const ListOptions& options) {
  std::vector<Device> cards(kDevices.begin(), kDevices.end());
  const auto model = options.gpu.empty() ? nullptr : std::make_unique<GpuModel>(options.gpu);
  if (model != nullptr) cards = {model->device()};
  const std::span<const Config> variants = engine::KernelSet::variants();
  if (options.json) {
    nlohmann::json all = nlohmann::json::array();
    for (const Config& config : variants) all.push_back(as_json(config, cards));
    fmt::print("{}\n", nlohmann::json{{"variants", all}}.dump(2));
    return;
  }
  std::string names;
  for (const Device& card : cards) names += fmt::format(" {}", card.name);
  fmt::print("{:67} shared registers          blocks per SM\n{:42} {:>4} {:>4} {:>4} {:>6} {:>8} {:>9} {:>7} {}\n", "",
             "variant", "f", "t", "k", "stages", "bytes", "at launch", "threads", names);
  for (const Config& config : variants) print(config, cards);
  std::string reasons;
  for (const Config& config : variants) {
    for (const Device& card : cards) {
      const std::string reason = why_not(config, card);
      if (!reason.empty()) reasons += fmt::format("  {} on {}: {}\n", variant_name(config), card.name, reason);
    }
  }
  if (!reasons.empty()) fmt::print("\nCannot run:\n{}", reasons);
}

}  // namespace

void add_list(CLI::App& program) {
  const auto options = std::make_shared<ListOptions>();
  CLI::App* verb = program.add_subcommand("list", "list the variants of the grouped GEMM and what each needs");
  verb->add_option("--gpu", options->gpu, "for one card: gb10, rtx5090, rtxpro6000, h200, or a file; see below");
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer("No GPU is needed.\n\n" + std::string(kGpuFileHelp) +
               "\nExamples:\n"
               "  moesaic list\n"
               "  moesaic list --gpu gb10 --json\n\n" +
               std::string(kExitCodesHelp));
  verb->callback([options] { list(*options); });
}

}  // namespace moesaic::cli
