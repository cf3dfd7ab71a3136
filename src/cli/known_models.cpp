#include "cli/known_models.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "cli/nearest.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {
namespace {

/// The item of that name.
template <class Item>
const Item& find(std::span<const Item> items, const std::string& name, std::string_view option, std::string_view what) {
  std::vector<std::string> known;
  for (const Item& item : items) {
    if (item.name == name) return item;
    known.emplace_back(item.name);
  }
  throw Error(fmt::format("{} {}: no such {}; known are {}{}", option, name, what, fmt::join(known, ", "),
                          did_you_mean(name, known)));
}

}  // namespace

const checkpoint::KnownModel& find_model(const std::string& name) {
  return find(checkpoint::known_models(), name, "--model", "model");
}

checkpoint::Published find_scheme(const std::string& name) {
  return find(checkpoint::published_schemes(), name, "--scheme", "scheme").scheme;
}

std::string scheme_list() {
  std::string text;
  for (const checkpoint::PublishedScheme& scheme : checkpoint::published_schemes()) {
    text += fmt::format("  {:15} {}\n", scheme.name, scheme.about);
  }
  return text;
}

checkpoint::Synth as_known(const checkpoint::KnownModel& model, checkpoint::Published scheme) {
  return {.family = model.family,
          .scheme = scheme,
          .shape = model.shape,
          .groups = model.groups,
          .top_groups = model.top_groups};
}

}  // namespace moesaic::cli
