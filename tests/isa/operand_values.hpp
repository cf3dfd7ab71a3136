#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Operands for instructions of one lane, the same on every machine.
namespace moesaic::isa {

/// The values that all elements have for one operand, each in the low bits.
using Values = std::vector<std::uint64_t>;

/// Values for operands of these PTX types ("f32", "f16x2", "e4m3x2", ...; "shift" is a b32 that is mostly below 72,
/// "pred" has its bit 0 drawn). The first elements pair edges of the types with each other; then come random bits,
/// numbers of like size that cancel, subnormal and huge ones, and those at the boundaries of shorter formats.
std::vector<Values> operand_values(const std::vector<std::string>& types, std::size_t count);

/// Bits of a value of that type.
unsigned type_bits(std::string_view type);

}  // namespace moesaic::isa
