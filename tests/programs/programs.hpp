#pragma once

#include <span>
#include <string>
#include <string_view>

#include "programs/card.hpp"

/// Whole programs as nvcc compiles them, each with what it must compute, in plain C++. All results are exact, so that
/// every card and every order give the same words.
namespace moesaic::programs {

struct Program {
  std::string_view name;
  Words (*run)(const Card& card);
  Words (*expected)();
};

std::span<const Program> all_programs();

/// What is kept of a result: "name: 1024 words, hash 0123456789abcdef, first 1 2 3 4".
std::string summary(std::string_view name, const Words& words);

// The programs, one by one.
Words run_scan(const Card& card);
Words expected_scan();
Words run_histogram(const Card& card);
Words expected_histogram();
Words run_gemm(const Card& card);
Words expected_gemm();
Words run_store(const Card& card);
Words expected_store();
Words run_pointer_array(const Card& card);
Words expected_pointer_array();
Words run_divergent(const Card& card);
Words expected_divergent();
Words run_overlap(const Card& card);
Words expected_overlap();

}  // namespace moesaic::programs
