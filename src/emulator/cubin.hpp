#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace moesaic::emulator {

/// The registers that a thread of each kernel or function has, as the assembler gave them out. Throws Error when the
/// bytes are no ELF file of machine code for CUDA cards, or a malformed one. The layout of .nv.info is not documented;
/// it was read off what ptxas 13.0 writes.
std::vector<std::pair<std::string, std::uint32_t>> read_registers(std::span<const std::byte> cubin);

}  // namespace moesaic::emulator
