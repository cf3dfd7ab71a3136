#include "checkpoint/section.hpp"

#include <fmt/format.h>

#include <cmath>

namespace moesaic::checkpoint {

std::string Section::place(std::string_view key) const {
  return fmt::format("{}{}", where_, key);
}

Error Section::fail(std::string_view key, const std::string& what) const {
  return Error(fmt::format("{}: {}", place(key), what));
}

const Json* Section::find(std::string_view key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

int Section::integer(std::string_view key, std::int64_t low, std::int64_t high) const {
  const Json* value = find(key);
  if (value == nullptr) throw fail(key, fmt::format("is missing; must be an integer from {} to {}", low, high));
  const bool whole = value->is_number_integer() &&
                     (!value->is_number_unsigned() || value->get<std::uint64_t>() <= static_cast<std::uint64_t>(high));
  if (!whole || value->get<std::int64_t>() < low || value->get<std::int64_t>() > high) {
    throw fail(key, fmt::format("is {}, must be an integer from {} to {}", shown(*value), low, high));
  }
  return value->get<int>();
}

bool Section::boolean(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) throw fail(key, "is missing; must be true or false");
  if (!value->is_boolean()) throw fail(key, fmt::format("is {}, must be true or false", shown(*value)));
  return value->get<bool>();
}

double Section::number(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) throw fail(key, "is missing; must be a number");
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    throw fail(key, fmt::format("is {}, must be a finite number", shown(*value)));
  }
  return value->get<double>();
}

std::string Section::text(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) throw fail(key, "is missing; must be a text");
  if (!value->is_string()) throw fail(key, fmt::format("is {}, must be a text", shown(*value)));
  return value->get<std::string>();
}

bool Section::boolean_or(std::string_view key, bool absent) const {
  return find(key) == nullptr ? absent : boolean(key);
}

double Section::number_or(std::string_view key, double absent) const {
  return find(key) == nullptr ? absent : number(key);
}

std::vector<std::string> Section::texts(std::string_view key, std::size_t max_count) const {
  std::vector<std::string> list;
  const Json* value = find(key);
  if (value == nullptr) return list;
  if (!value->is_array()) throw fail(key, fmt::format("is {}, must be a list of texts", shown(*value)));
  if (value->size() > max_count) throw fail(key, fmt::format("has {} entries; at most {}", value->size(), max_count));
  for (const Json& item : *value) {
    if (!item.is_string()) throw fail(key, fmt::format("holds {}; must be a list of texts", shown(item)));
    list.push_back(item.get<std::string>());
  }
  return list;
}

void Section::require(std::string_view key, const Json& wanted, const Json& absent) const {
  const Json* value = find(key);
  if ((value != nullptr ? *value : absent) != wanted) {
    throw fail(key, fmt::format("is {}; supported: {}", value != nullptr ? shown(*value) : "missing", shown(wanted)));
  }
}

void Section::require_none(std::string_view key, std::string_view why) const {
  const Json* value = find(key);
  if (value != nullptr && !(value->is_structured() && value->empty())) {
    throw fail(key, fmt::format("is {}, must be empty: {}", shown(*value), why));
  }
}

Section Section::section(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) throw fail(key, "is missing; must be an object");
  if (!value->is_object()) throw fail(key, fmt::format("is {}, must be an object", shown(*value)));
  return {*value, fmt::format("{}{}.", where_, key)};
}

}  // namespace moesaic::checkpoint
