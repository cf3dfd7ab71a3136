#pragma once

#include <CLI/CLI.hpp>

namespace moesaic::cli {

/// `moesaic bench gemm`: the grouped GEMM's variants on a card, in turns.
void add_bench_gemm(CLI::App& bench);

}  // namespace moesaic::cli
