#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>

#include "engine/selection.hpp"

/// What the user wishes of the choice of a variant, by options or by the environment.
namespace moesaic::cli {

struct WishOptions {
  std::string variant;
  std::string tuned;
};

/// Adds --variant and --tuned.
void add_wish_options(CLI::App& verb, WishOptions& options);

/// An option wins over its environment variable, MOESAIC_VARIANT or MOESAIC_TUNED, and Wishes::wished_by says so.
/// Throws Error when the variant is not among `variants`, with the nearest, and when the table cannot be used.
engine::Wishes read_wishes(const WishOptions& options, std::span<const Config> variants);

}  // namespace moesaic::cli
