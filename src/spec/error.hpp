#pragma once

#include <stdexcept>
#include <string>

namespace moesaic {

/// What went wrong, as the sentence that the user reads: it names the file, tensor or option, and what would be right.
/// Thrown for bad input, for what a card does not support, and for failures of the machine (memory, driver, files).
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace moesaic
