#pragma once

#include <string_view>

namespace moesaic::cli {

/// Writes to stderr. When that cannot be, nobody is told, and the program goes on.
void say(std::string_view text);

}  // namespace moesaic::cli
