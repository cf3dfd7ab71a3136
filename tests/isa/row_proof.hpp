#pragma once

#include <functional>
#include <string>
#include <vector>

/// Proofs of rows that are no instructions of one lane and that no card of capability 9.0 can run, and the rows that
/// need none.
namespace moesaic::isa {

/// A computation of what some rows do that shares nothing with the emulator's.
struct RowProof {
  std::vector<std::string> rows;
  std::function<std::string()> run;  ///< empty, or what is wrong
};

/// All of them.
const std::vector<RowProof>& row_proofs();

/// Names, or first words of names, of rows whose result depends on time or on scheduling, or of which nothing can be
/// seen in a result: the only ones without a proof.
const std::vector<std::string>& exempt_names();

/// Whether a row is among them.
bool is_exempt(const std::string& row);

// The proofs of a group of rows, each in a file of its own.
std::vector<RowProof> wide_vector_proofs();  ///< ld and st of 256 bits
std::vector<RowProof> mma_proofs();          ///< mma.sync of 12.x
std::vector<RowProof> matrix_copy_proofs();  ///< ldmatrix, stmatrix and copies of 12.x

}  // namespace moesaic::isa
