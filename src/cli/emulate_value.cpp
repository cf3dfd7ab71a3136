#include "cli/emulate_value.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <vector>

#include "cli/nearest.hpp"
#include "spec/error.hpp"
#include "spec/formats.hpp"

namespace moesaic::cli {
namespace {

using Kind = ValueType::Kind;

constexpr std::array kTypes{
    ValueType{"u8", 1, Kind::integer},         ValueType{"u16", 2, Kind::integer},
    ValueType{"u32", 4, Kind::integer},        ValueType{"u64", 8, Kind::integer},
    ValueType{"s8", 1, Kind::signed_integer},  ValueType{"s16", 2, Kind::signed_integer},
    ValueType{"s32", 4, Kind::signed_integer}, ValueType{"s64", 8, Kind::signed_integer},
    ValueType{"e4m3", 1, Kind::floating},      ValueType{"f16", 2, Kind::floating},
    ValueType{"bf16", 2, Kind::floating},      ValueType{"f32", 4, Kind::floating},
    ValueType{"f64", 8, Kind::floating},
};

/// The low bytes of a value, by the type's size.
std::uint64_t cut(const ValueType& type, std::uint64_t bits) {
  return type.bytes == 8 ? bits : bits & ((std::uint64_t{1} << (8 * type.bytes)) - 1);
}

std::int64_t sign_extended(const ValueType& type, std::uint64_t bits) {
  const int unused = 64 - 8 * static_cast<int>(type.bytes);
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

double decode_floating(const ValueType& type, std::uint64_t bits) {
  if (type.name == "e4m3") return static_cast<double>(decode_e4m3(static_cast<std::uint8_t>(bits)));
  if (type.name == "f16") return static_cast<double>(decode_f16(static_cast<std::uint16_t>(bits)));
  if (type.name == "bf16") return static_cast<double>(decode_bf16(static_cast<std::uint16_t>(bits)));
  if (type.name == "f32") return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  return std::bit_cast<double>(bits);
}

/// Reads all of `text` as a number of type T.
template <typename T, typename... Base>
bool read_number(std::string_view text, T& value, Base... base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base...);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

}  // namespace

std::span<const ValueType> value_types() {
  return kTypes;
}

const ValueType& find_value_type(std::string_view name, const std::string& where) {
  const auto found = std::ranges::find(kTypes, name, &ValueType::name);
  if (found != kTypes.end()) return *found;
  std::vector<std::string> known;
  known.reserve(kTypes.size());
  for (const ValueType& type : kTypes) known.emplace_back(type.name);
  throw Error(
      fmt::format("{}: no type {}; known are {}{}", where, name, fmt::join(known, ", "), did_you_mean(name, known)));
}

std::uint64_t parse_value(const ValueType& type, std::string_view text, const std::string& where) {
  const auto wrong = [&] { return Error(fmt::format("{}: {} is no value of {}", where, text, type.name)); };
  if (type.kind == Kind::floating) {
    double value = 0;
    if (!read_number(text, value)) throw wrong();
    return encode_value(type, value);
  }
  const bool negative = text.starts_with('-');
  std::string_view digits = text.substr(negative ? 1 : 0);
  const bool hexadecimal = digits.starts_with("0x");
  if (hexadecimal) digits.remove_prefix(2);
  std::uint64_t magnitude = 0;
  if (!read_number(digits, magnitude, hexadecimal ? 16 : 10)) throw wrong();
  const std::uint64_t half = std::uint64_t{1} << (8 * type.bytes - 1);
  std::uint64_t most = negative ? 0 : half - 1 + half;
  if (type.kind == Kind::signed_integer && !hexadecimal) most = negative ? half : half - 1;
  if (magnitude > most) throw wrong();
  return cut(type, negative ? 0 - magnitude : magnitude);
}

std::uint64_t encode_value(const ValueType& type, double value) {
  const auto single = static_cast<float>(value);
  if (type.kind == Kind::signed_integer) {
    return cut(type, static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
  }
  if (type.kind == Kind::integer) return cut(type, static_cast<std::uint64_t>(value));
  if (type.name == "e4m3") return encode_e4m3(single);
  if (type.name == "f16") return encode_f16(single);
  if (type.name == "bf16") return encode_bf16(single);
  if (type.name == "f32") return std::bit_cast<std::uint32_t>(single);
  return std::bit_cast<std::uint64_t>(value);
}

std::string show_value(const ValueType& type, std::uint64_t bits) {
  if (type.kind == Kind::integer) return fmt::format("{}", bits);
  if (type.kind == Kind::signed_integer) return fmt::format("{}", sign_extended(type, bits));
  if (type.name == "f64") return fmt::format("{}", std::bit_cast<double>(bits));
  return fmt::format("{}", static_cast<float>(decode_floating(type, bits)));  // the shortest text that names it
}

}  // namespace moesaic::cli
