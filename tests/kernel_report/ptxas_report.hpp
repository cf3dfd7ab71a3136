#pragma once

#include <string>
#include <string_view>
#include <vector>

/// What the assembler says of the kernels: the text of `ptxas -v`, as ptxas 12.9 to 13.2 write it.
namespace moesaic::kernel_report {

/// One entry point for one target.
struct Compiled {
  std::string entry;
  std::string target;   ///< as ptxas spells it: "sm_120f"
  int registers = 0;    ///< of a thread, when the kernel starts
  int stack_bytes = 0;  ///< of the entry, or of a function compiled with it, whichever is more; so are the spills
  int spill_store_bytes = 0;
  int spill_load_bytes = 0;
  int static_smem_bytes = 0;
};

struct PtxasReport {
  std::vector<Compiled> entries;
  std::vector<std::string> ignored;  ///< lines that say that a setmaxnreg was ignored; they name no entry
};

/// Throws Error when an entry is announced and its registers do not follow.
PtxasReport parse_ptxas_report(std::string_view text);

}  // namespace moesaic::kernel_report
