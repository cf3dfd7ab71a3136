#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planted/source_lines.hpp"

/// The kernels with a planted bug, as their sources describe them (planted.cuh).
namespace moesaic::planted {

/// A place where the emulator must find something.
struct Caught {
  SourceLine where;
  std::vector<std::string> kinds;  ///< one of them
};

struct Planted {
  std::string name;
  bool pair = false;  ///< a kernel name_primary comes before it
  std::uint32_t blocks = 0;
  std::uint32_t threads = 0;
  std::vector<Caught> caught;  ///< one of them
  bool always = true;          ///< with every seed; else with one of many
};

/// Reads the sources in a folder. Throws Error for a kernel that does not say what is caught, or a comment that belongs
/// to none.
std::vector<Planted> read_catalogue(const std::string& folder);

}  // namespace moesaic::planted
