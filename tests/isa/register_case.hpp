#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "isa/isa_case.hpp"

namespace moesaic::isa {

/// Registers of a warp-wide instruction: loaded for each thread before it, stored for each thread after it.
struct RegisterSet {
  std::string prefix;  ///< "a": %a0, %a1, ...
  int count = 0;
  int bits = 32;  ///< 32 or 64
};

/// Makes the value of a register of a thread.
using ValueOf = std::function<std::uint64_t(const RegisterSet& set, int reg, unsigned thread)>;

/// A case that loads registers from the input, runs `statements` and stores registers: all of one register for all
/// threads, then the next. Its one part proves `rows`.
Case register_case(const std::string& name, const std::vector<std::string>& rows, const std::string& statements,
                   const std::vector<RegisterSet>& loaded, const std::vector<RegisterSet>& stored, unsigned blocks,
                   unsigned threads, const ValueOf& value_of);

/// "{%a0, %a1}"
std::string braced(const RegisterSet& set);

}  // namespace moesaic::isa
