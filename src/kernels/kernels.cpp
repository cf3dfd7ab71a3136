#include "kernels/kernels.hpp"

extern "C" const unsigned char moesaic_kernels_begin[];  // NOLINT: an array whose end the linker knows
extern "C" const unsigned char moesaic_kernels_end[];    // NOLINT

namespace moesaic::kernels {

std::span<const unsigned char> fat_binary() {
  return {moesaic_kernels_begin, moesaic_kernels_end};
}

}  // namespace moesaic::kernels
