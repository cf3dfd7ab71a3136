#include "programs/programs.hpp"

#include <array>
#include <cstdio>

namespace moesaic::programs {

std::span<const Program> all_programs() {
  static constexpr std::array kPrograms{
      Program{"scan", run_scan, expected_scan},
      Program{"histogram", run_histogram, expected_histogram},
      Program{"gemm", run_gemm, expected_gemm},
      Program{"store", run_store, expected_store},
      Program{"pointer_array", run_pointer_array, expected_pointer_array},
      Program{"divergent", run_divergent, expected_divergent},
      Program{"overlap", run_overlap, expected_overlap},
  };
  return kPrograms;
}

std::string summary(std::string_view name, const Words& words) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a, 64 bits
  for (const std::uint32_t word : words) {
    for (int byte = 0; byte < 4; ++byte) hash = (hash ^ (word >> (8 * byte) & 0xff)) * 0x100000001b3U;
  }
  std::array<char, 160> text{};
  int length =
      std::snprintf(text.data(), text.size(), "%.*s: %zu words, hash %016llx, first", static_cast<int>(name.size()),
                    name.data(), words.size(), static_cast<unsigned long long>(hash));
  for (std::size_t i = 0; i < std::min<std::size_t>(4, words.size()); ++i) {
    const auto at = static_cast<std::size_t>(length);
    length += std::snprintf(text.data() + at, text.size() - at, " %u", words[i]);
  }
  return text.data();
}

}  // namespace moesaic::programs
