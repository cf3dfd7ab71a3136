#include "isa/row_proof.hpp"

#include <algorithm>

namespace moesaic::isa {

const std::vector<RowProof>& row_proofs() {
  static const std::vector<RowProof> all = [] {
    std::vector<RowProof> proofs;
    for (const auto group : {wide_vector_proofs, mma_proofs, matrix_copy_proofs}) {
      for (RowProof& proof : group()) proofs.push_back(std::move(proof));
    }
    return proofs;
  }();
  return all;
}

const std::vector<std::string>& exempt_names() {
  static const std::vector<std::string> names{
      // Time.
      "mov.u32.%clock", "mov.u32.%clock64", "mov.u32.%clock_hi", "mov.u32.%globaltimer", "mov.u32.%globaltimer_lo",
      "mov.u32.%globaltimer_hi", "mov.b32.%clock", "mov.b32.%clock64", "mov.b32.%clock_hi", "mov.b32.%globaltimer",
      "mov.b32.%globaltimer_lo", "mov.b32.%globaltimer_hi", "mov.u64.%clock", "mov.u64.%clock64",
      "mov.u64.%globaltimer", "mov.u64.%globaltimer_lo", "mov.b64.%clock", "mov.b64.%clock64", "mov.b64.%globaltimer",
      "mov.b64.%globaltimer_lo", "nanosleep",
      // Scheduling: which lanes, grids or blocks come when, and who has how many registers.
      "activemask", "griddepcontrol", "setmaxnreg", "clusterlaunchcontrol",
      // Order: its lack is found by the observers (planted bugs), its presence changes no result.
      "fence", "membar",
      // The launch ends.
      "trap", "brkpt",
      // Hints to caches.
      "prefetch", "prefetchu", "applypriority", "discard", "createpolicy",
      "cp.async.shared.global.L2::cache_hint",  // as without the hint; an H200 refuses to run them
  };
  return names;
}

bool is_exempt(const std::string& row) {
  return std::any_of(exempt_names().begin(), exempt_names().end(),
                     [&](const std::string& name) { return row == name || row.starts_with(name + "."); });
}

}  // namespace moesaic::isa
