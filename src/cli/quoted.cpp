#include "cli/quoted.hpp"

#include <string_view>

namespace moesaic::cli {

std::string quoted(const std::string& path) {
  constexpr std::string_view kSpecial = " \t\n\"'`$&|;<>()[]{}*?!#~\\";
  if (!path.empty() && path.find_first_of(kSpecial) == std::string::npos) return path;
  std::string text = "'";
  for (const char c : path) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace moesaic::cli
