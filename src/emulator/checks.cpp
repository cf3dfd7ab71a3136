#include "emulator/checks.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "spec/error.hpp"

namespace moesaic::emulator {
namespace {

constexpr std::pair<std::string_view, bool Checks::*> kNames[] = {{"undefined", &Checks::undefined},
                                                                  {"races", &Checks::races},
                                                                  {"proxies", &Checks::proxies},
                                                                  {"early_reads", &Checks::early_reads},
                                                                  {"bank_conflicts", &Checks::bank_conflicts},
                                                                  {"counts", &Checks::counts}};

}  // namespace

std::vector<std::string> check_names() {
  std::vector<std::string> names{"all", "none"};
  for (const auto& [name, member] : kNames) names.emplace_back(name);
  return names;
}

Checks parse_checks(std::string_view text) {
  if (text == "all") return Checks::all();
  if (text == "none") return Checks::none();
  Checks checks;
  for (std::string_view rest = text;;) {
    const std::string_view word = rest.substr(0, rest.find(','));
    const auto* const found =
        std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& entry) { return entry.first == word; });
    if (found == std::end(kNames)) {
      std::string known;
      for (const std::string& name : check_names()) known += (known.empty() ? "" : ", ") + name;
      throw Error("there is no check '" + std::string(word) + "'; known are " + known);
    }
    checks.*found->second = true;
    if (word.size() == rest.size()) return checks;
    rest.remove_prefix(word.size() + 1);
  }
}

}  // namespace moesaic::emulator
