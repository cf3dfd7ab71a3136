#pragma once

#include <string>
#include <vector>

#include "isa/isa_case.hpp"

namespace moesaic::silicon {

/// isa::run_cases on a place, in child processes: a fault on a real card may leave the process that made it without a
/// card, so what follows a case that failed runs in a new one. The caller must not have opened the place's driver.
/// Throws Error when a child ends without an answer to its first case.
std::vector<isa::Answer> run_isolated(const std::string& place, const std::string& target,
                                      const std::vector<isa::Case>& cases);

}  // namespace moesaic::silicon
