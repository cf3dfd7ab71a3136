#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moesaic::cli {

/// A type of numbers in arguments and buffers of `moesaic emulate`.
struct ValueType {
  enum class Kind : std::uint8_t { integer, signed_integer, floating };
  std::string_view name;
  std::size_t bytes = 0;
  Kind kind = Kind::integer;
};

/// All of them.
std::span<const ValueType> value_types();

/// The type of that name ("u32", "bf16"). Throws Error that names what is known; `where` begins the sentence.
const ValueType& find_value_type(std::string_view name, const std::string& where);

/// The bits of a number written out: 5, -1, 0x1f, 1.5, inf. Throws Error when it is none or does not fit the type.
std::uint64_t parse_value(const ValueType& type, std::string_view text, const std::string& where);

/// The bits of the value of the type nearest to a number that is within the type's range.
std::uint64_t encode_value(const ValueType& type, double value);

/// The number that bits of the type stand for, as text.
std::string show_value(const ValueType& type, std::uint64_t bits);

}  // namespace moesaic::cli
