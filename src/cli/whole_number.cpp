#include "cli/whole_number.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>

namespace moesaic::cli {

CLI::Validator whole_number(std::uint64_t low, std::uint64_t high) {
  return {[=](const std::string& text) {
            std::uint64_t value = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            const bool whole = error == std::errc() && end == text.data() + text.size();
            if (whole && value >= low && value <= high) return std::string();
            return fmt::format("{} is not possible, must be a whole number from {} to {}", text, low, high);
          },
          ""};
}

}  // namespace moesaic::cli
