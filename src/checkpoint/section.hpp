#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/json.hpp"
#include "spec/error.hpp"

namespace moesaic::checkpoint {

/// One JSON object of a configuration and the path that leads to it, so that errors can name the key. The object must
/// outlive it.
class Section {
 public:
  Section(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  /// A key as errors name it: "FILE: path.key".
  std::string place(std::string_view key) const;

  /// The sentence about a key: "FILE: path.key: what".
  Error fail(std::string_view key, const std::string& what) const;

  /// Null when absent. Absent and null are the same: older files leave out what newer ones write as null.
  const Json* find(std::string_view key) const;

  /// Throws Error unless the value is an integer from low to high, or true or false, or a finite number, or a text.
  int integer(std::string_view key, std::int64_t low, std::int64_t high) const;
  bool boolean(std::string_view key) const;
  double number(std::string_view key) const;
  std::string text(std::string_view key) const;

  /// The same, where the key may be absent.
  bool boolean_or(std::string_view key, bool absent) const;
  double number_or(std::string_view key, double absent) const;

  /// A list of texts; empty when absent. Throws Error when it is something else or longer than `max_count`.
  std::vector<std::string> texts(std::string_view key, std::size_t max_count) const;

  /// Throws Error unless the value is exactly `wanted`. Absent counts as `absent`.
  void require(std::string_view key, const Json& wanted, const Json& absent = nullptr) const;

  /// Throws Error unless the value is absent, null or empty.
  void require_none(std::string_view key, std::string_view why) const;

  /// The object of that key. Throws Error when it is missing or something else.
  Section section(std::string_view key) const;

  const Json& object() const { return object_; }

 private:
  const Json& object_;
  std::string where_;
};

}  // namespace moesaic::checkpoint
