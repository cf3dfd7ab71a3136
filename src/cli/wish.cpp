#include "cli/wish.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "cli/nearest.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {
namespace {

constexpr const char* kVariantVariable = "MOESAIC_VARIANT";
constexpr const char* kTunedVariable = "MOESAIC_TUNED";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string who_wished(const std::string& option, const std::string& variable) {
  if (option.empty()) return kVariantVariable;
  if (variable.empty() || variable == option) return "--variant";
  return fmt::format("--variant, which wins over {}={}", kVariantVariable, variable);
}

}  // namespace

void add_wish_options(CLI::App& verb, WishOptions& options) {
  verb.add_option("--variant", options.variant,
                  "the variant of the grouped GEMM that must run, by its full name (moesaic list); wins over the "
                  "environment's MOESAIC_VARIANT");
  verb.add_option("--tuned", options.tuned,
                  "table of variants that were measured to be the fastest; wins over the environment's MOESAIC_TUNED");
}

engine::Wishes read_wishes(const WishOptions& options, std::span<const Config> variants) {
  engine::Wishes wishes;
  const std::string variable = environment(kVariantVariable);
  wishes.variant = options.variant.empty() ? variable : options.variant;
  if (!wishes.variant.empty()) {
    wishes.wished_by = who_wished(options.variant, variable);
    std::vector<std::string> known;
    for (const Config& config : variants) known.push_back(variant_name(config));
    if (std::find(known.begin(), known.end(), wishes.variant) == known.end()) {
      throw Error(
          fmt::format("variant {} was asked for by {} and is not in this build{}; moesaic list has those that are",
                      wishes.variant, wishes.wished_by, did_you_mean(wishes.variant, known)));
    }
  }
  const std::string file = options.tuned.empty() ? environment(kTunedVariable) : options.tuned;
  if (!file.empty()) wishes.tuned = engine::TunedTable::read(file, variants);
  return wishes;
}

}  // namespace moesaic::cli
