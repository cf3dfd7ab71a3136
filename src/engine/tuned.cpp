#include "engine/tuned.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "spec/error.hpp"

namespace moesaic::engine {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 9> kFields{"card",   "experts",  "n",      "k",      "top_k",
                                                  "layout", "x_format", "tokens", "variant"};

/// One entry of the file; `where` begins every error.
class EntryReader {
 public:
  EntryReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) throw Error(where_ + " is no object");
    for (const auto& [name, value] : json.items()) {
      if (std::find(kFields.begin(), kFields.end(), name) == kFields.end()) {
        throw Error(fmt::format("{}: no field {} is known; fields are {}", where_, name, fmt::join(kFields, ", ")));
      }
    }
  }

  std::string text(const char* field) const {
    const Json& value = get(field);
    if (!value.is_string()) throw Error(fmt::format("{}: {} must be a text", where_, field));
    return value.get<std::string>();
  }

  int number(const char* field) const { return whole(get(field), field); }

  std::pair<int, int> range(const char* field) const {
    const Json& value = get(field);
    if (!value.is_array() || value.size() != 2) {
      throw Error(fmt::format("{}: {} must be [LEAST, MOST], both included", where_, field));
    }
    const std::pair range{whole(value[0], field), whole(value[1], field)};
    if (range.first > range.second) throw Error(fmt::format("{}: {} begin after they end", where_, field));
    return range;
  }

  template <class Value>
  Value word(const char* field, Value otherwise, std::optional<Value> (*parse)(const std::string&)) const {
    if (!json_.contains(field)) return otherwise;
    const std::string given = text(field);
    const std::optional<Value> value = parse(given);
    if (!value) throw Error(fmt::format("{}: {} {} is unknown", where_, field, given));
    return *value;
  }

 private:
  const Json& get(const char* field) const {
    const auto at = json_.find(field);
    if (at == json_.end()) throw Error(fmt::format("{}: {} is missing", where_, field));
    return *at;
  }

  int whole(const Json& value, const char* field) const {
    const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<int>::max();
    if (!fits) throw Error(fmt::format("{}: {} must be whole and not negative", where_, field));
    return value.get<int>();
  }

  const Json& json_;
  std::string where_;
};

TunedEntry read_entry(const Json& json, const std::string& where) {
  const EntryReader reader(json, where);
  const auto [least, most] = reader.range("tokens");
  return {.card = reader.text("card"),
          .problem = {.experts = reader.number("experts"),
                      .n = reader.number("n"),
                      .k = reader.number("k"),
                      .layout = reader.word("layout", WeightLayout::rows, parse_layout),
                      .x_format = reader.word("x_format", TokenFormat::e4m3, parse_token_format)},
          .top_k = reader.number("top_k"),
          .least_tokens = least,
          .most_tokens = most,
          .variant = reader.text("variant")};
}

bool same_problem(const Problem& a, const Problem& b) {
  return a.experts == b.experts && a.n == b.n && a.k == b.k && a.layout == b.layout && a.x_format == b.x_format;
}

bool overlap(const TunedEntry& a, const TunedEntry& b) {
  return a.card == b.card && same_problem(a.problem, b.problem) && a.top_k == b.top_k &&
         a.least_tokens <= b.most_tokens && b.least_tokens <= a.most_tokens;
}

}  // namespace

TunedTable TunedTable::read(const std::string& file, std::span<const Config> variants) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw Error(fmt::format("tuned table {}: the file cannot be read", file));
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.size() != 1 || !json.contains("entries") || !json["entries"].is_array()) {
    throw Error(fmt::format("tuned table {}: the file must be a JSON object with the array \"entries\" alone", file));
  }
  TunedTable table;
  table.file_ = file;
  for (const Json& item : json["entries"]) {
    const std::string where = fmt::format("tuned table {}: entry {}", file, table.entries_.size());
    const TunedEntry entry = read_entry(item, where);
    const auto named = [&](const Config& config) { return variant_name(config) == entry.variant; };
    if (std::none_of(variants.begin(), variants.end(), named)) {
      throw Error(
          fmt::format("{}: variant {} is not in this build; moesaic list has those that are", where, entry.variant));
    }
    const auto twin = std::find_if(table.entries_.begin(), table.entries_.end(),
                                   [&](const TunedEntry& other) { return overlap(entry, other); });
    if (twin != table.entries_.end()) {
      throw Error(fmt::format("{} speaks of tokens that entry {} speaks of", where, twin - table.entries_.begin()));
    }
    table.entries_.push_back(entry);
  }
  return table;
}

const TunedEntry* TunedTable::find(const Work& work, const Device& device) const {
  for (const TunedEntry& entry : entries_) {
    if (entry.card == device.full_name && same_problem(entry.problem, work.problem) && entry.top_k == work.top_k &&
        entry.least_tokens <= work.tokens && work.tokens <= entry.most_tokens) {
      return &entry;
    }
  }
  return nullptr;
}

std::optional<WeightLayout> parse_layout(const std::string& word) {
  if (word == "rows") return WeightLayout::rows;
  if (word == "panels") return WeightLayout::panels;
  return std::nullopt;
}

std::optional<TokenFormat> parse_token_format(const std::string& word) {
  if (word == "e4m3") return TokenFormat::e4m3;
  if (word == "e5m2") return TokenFormat::e5m2;
  return std::nullopt;
}

}  // namespace moesaic::engine
