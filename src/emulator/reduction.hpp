#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace moesaic::emulator {

/// One operation of asynchronous reductions on one type: an element in memory becomes its combination with another.
struct Reduction {
  std::string_view operation;  ///< "add", "min", "max", "inc", "dec", "and", "or", "xor"
  std::string_view type;       ///< "f16", "bf16", "f32", "f64", "u32", "s32", "u64", "s64", "b32", "b64"
  std::uint32_t bytes = 0;     ///< of an element
  /// In one step for all host threads.
  void (*run)(std::byte* to, const std::byte* from) = nullptr;
};

/// The reduction of that name, or null when there is none.
const Reduction* find_reduction(std::string_view operation, std::string_view type);

}  // namespace moesaic::emulator
