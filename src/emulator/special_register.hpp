#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace moesaic::emulator {

/// Registers that hold one value per thread for a block's whole life. PTX ISA, "Special Registers".
enum class Special : std::uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  smid,
  nsmid,
  gridid,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  dynamic_smem_size,
  total_smem_size,
  workspace_low,  ///< of the address of a cooperative grid's workspace, else zero
  workspace_high,
  zero,
  one,
};

/// The register of that name ("%tid.x"), if there is one. Clusters are of one block.
std::optional<Special> find_special(std::string_view name);

}  // namespace moesaic::emulator
