#include "cli/size_words.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace moesaic::cli {

std::string size_words(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // What four digits would round up to 1000 is 1 of the next unit.
  for (; value >= 999.95 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return fmt::format("{:.4g} {}", value, kUnits[unit]);
}

}  // namespace moesaic::cli
