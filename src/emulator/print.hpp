#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace moesaic::emulator {

/// What a call of vprintf prints.
struct PrintResult {
  std::string text;
  int arguments = 0;  ///< that the format takes
};

/// Formats as printf of CUDA does. The arguments lie in a buffer, each at a multiple of its size: integers, characters
/// and pointers have 4 or 8 bytes, floating-point numbers are f64. `value(offset, bytes)` reads the buffer,
/// `text(address)` a string. What is no known conversion is printed as it stands. Source: CUDA C++ Programming Guide,
/// "Formatted Output", "Format Specifiers".
PrintResult format_print(std::string_view format,
                         const std::function<std::uint64_t(std::uint32_t offset, std::uint32_t bytes)>& value,
                         const std::function<std::string(std::uint64_t address)>& text);

}  // namespace moesaic::emulator
