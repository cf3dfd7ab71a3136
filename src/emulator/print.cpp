#include "emulator/print.hpp"

#include <array>
#include <bit>
#include <cstdio>
#include <optional>

namespace moesaic::emulator {
namespace {

/// One conversion of a format: %[flags][width][.precision][size]kind.
struct Conversion {
  std::string spec;  ///< all of it, without the size
  bool is_wide = false;
  char kind = 0;
  std::size_t length = 0;  ///< in the format
};

/// What `format` begins with, a '%' known; none when it is no conversion. `star` reads the next int argument.
std::optional<Conversion> conversion_at(std::string_view format, const std::function<int()>& star) {
  Conversion result;
  std::size_t at = 1;
  const auto peek = [&] { return at < format.size() ? format[at] : '\0'; };
  result.spec = "%";
  while (peek() != '\0' && std::string_view("#0- +").find(peek()) != std::string_view::npos) {
    result.spec += format[at++];
  }
  const auto number = [&] {
    if (peek() == '*') {
      ++at;
      result.spec += std::to_string(star());
    }
    while (peek() >= '0' && peek() <= '9') result.spec += format[at++];
  };
  number();
  if (peek() == '.') {
    result.spec += format[at++];
    number();
  }
  for (; peek() != '\0' && std::string_view("hlLzjt").find(peek()) != std::string_view::npos; ++at) {
    if (peek() != 'h') result.is_wide = true;
  }
  result.kind = peek();
  result.length = at + 1;
  if (result.kind == '\0' || std::string_view("diouxXpaAcfFeEgGsaA").find(result.kind) == std::string_view::npos) {
    return std::nullopt;
  }
  return result;
}

template <typename T>
std::string with(const std::string& spec, T argument) {
  std::array<char, 512> small{};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const int length = std::snprintf(small.data(), small.size(), spec.c_str(), argument);
  if (length < 0) return {};
  if (static_cast<std::size_t>(length) < small.size()) return {small.data(), static_cast<std::size_t>(length)};
  std::string large(static_cast<std::size_t>(length) + 1, '\0');
  std::snprintf(large.data(), large.size(), spec.c_str(), argument);
#pragma GCC diagnostic pop
  large.pop_back();
  return large;
}

}  // namespace

PrintResult format_print(std::string_view format,
                         const std::function<std::uint64_t(std::uint32_t offset, std::uint32_t bytes)>& value,
                         const std::function<std::string(std::uint64_t address)>& text) {
  PrintResult result;
  std::uint32_t offset = 0;
  const auto next = [&](std::uint32_t bytes) {
    offset = (offset + bytes - 1) / bytes * bytes;
    const std::uint64_t bits = value(offset, bytes);
    offset += bytes;
    ++result.arguments;
    return bits;
  };
  for (std::size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      result.text += format[at++];
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == '%') {
      result.text += '%';
      at += 2;
      continue;
    }
    const auto found = conversion_at(format.substr(at), [&] { return static_cast<int>(next(4)); });
    if (!found) {
      result.text += format[at++];
      continue;
    }
    at += found->length;
    const char kind = found->kind;
    if (std::string_view("fFeEgGaA").find(kind) != std::string_view::npos) {
      result.text += with(found->spec + kind, std::bit_cast<double>(next(8)));
    } else if (kind == 's') {
      result.text += with(found->spec + kind, text(next(8)).c_str());
    } else if (kind == 'p') {
      result.text += with(found->spec + "#llx", static_cast<unsigned long long>(next(8)));
    } else if (kind == 'c') {
      result.text += with(found->spec + kind, static_cast<int>(next(4)));
    } else if (found->is_wide) {
      result.text += with(found->spec + "ll" + kind, static_cast<unsigned long long>(next(8)));
    } else {
      result.text += with(found->spec + kind, static_cast<unsigned int>(next(4)));
    }
  }
  return result;
}

}  // namespace moesaic::emulator
