#pragma once

#include <string>

namespace moesaic::cli {

/// A path as it is typed into a shell.
std::string quoted(const std::string& path);

}  // namespace moesaic::cli
