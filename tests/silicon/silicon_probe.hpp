#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/driver.hpp"

/// Runs single instructions on a card, real or emulated, over operands made from fixed seeds. What a real card answered
/// lies in tests/fixtures/silicon; an emulated card of the same kind must answer the same.
namespace moesaic::silicon {

/// What one group of kernels wrote.
struct Section {
  std::string name;
  std::vector<std::uint32_t> words;
};

/// Runs all kernels of silicon_kernels.cu. Throws Error when the driver reports a failure.
std::vector<Section> run_kernels(const device::Driver& driver);

/// How the driver answers calls that are wrong: a line for each, "what: CUDA_ERROR_...". The last one makes the context
/// unusable.
std::vector<std::string> run_wrong_calls(const device::Driver& driver);

/// The name of device 0, as its driver reports it.
std::string card_name(const device::Driver& driver);

}  // namespace moesaic::silicon
