#pragma once

#include <cstdint>
#include <string>

namespace moesaic::cli {

/// Bytes as people read them, in powers of 1000: "940 B", "41.23 kB", "603.8 MB", "25.28 GB".
std::string size_words(std::uint64_t bytes);

}  // namespace moesaic::cli
