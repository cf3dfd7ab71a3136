#pragma once

#include <span>
#include <string>
#include <string_view>

namespace moesaic::cli {

/// "; did you mean NAME?" with the known name that takes the fewest single-letter edits, or nothing when none is near.
std::string did_you_mean(std::string_view given, std::span<const std::string> known);

}  // namespace moesaic::cli
