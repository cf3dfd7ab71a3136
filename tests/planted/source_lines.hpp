#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// Where instructions of a PTX text that nvcc wrote with -lineinfo come from.
namespace moesaic::planted {

struct SourceLine {
  std::string file;  ///< its last part: "copies.cuh"
  int line = 0;

  bool operator==(const SourceLine&) const = default;
};

/// Reads .loc and .file (PTX ISA, "Debugging Directives"): an independent reading, to judge what the emulator says.
class SourceLines {
 public:
  explicit SourceLines(const std::string& ptx);

  /// The source line of the instruction in that line of the text, counted from 1, then the line that it was inlined at,
  /// and so on outwards. Empty when the text does not say.
  std::vector<SourceLine> of(std::uint32_t ptx_line) const;

 private:
  struct Location {
    int file = 0;
    int line = 0;
    int column = 0;

    auto operator<=>(const Location&) const = default;
  };
  struct Statement {
    std::uint32_t ptx_line = 0;
    Location here;
    Location inlined_at;  ///< all zero: not inlined
  };

  std::vector<Statement> statements_;  ///< in the order of the text
  std::map<int, std::string> files_;
};

}  // namespace moesaic::planted
