#include "isa/row_proof.hpp"

namespace moesaic::isa {

const std::vector<RowProof>& row_proofs() {
  static const std::vector<RowProof> all = [] {
    std::vector<RowProof> proofs;
    for (const auto group : {wide_vector_proofs}) {
      for (RowProof& proof : group()) proofs.push_back(std::move(proof));
    }
    return proofs;
  }();
  return all;
}

const std::set<std::string>& exempt_rows() {
  static const std::set<std::string> rows{
      // Time.
      "mov.b32.%clock",
      // Hints to caches: nothing can be seen of them.
      "prefetch.L1",
  };
  return rows;
}

}  // namespace moesaic::isa
