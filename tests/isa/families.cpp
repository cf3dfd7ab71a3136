#include "isa/isa_case.hpp"

namespace moesaic::isa {

const std::vector<Family>& families() {
  static const std::vector<Family> all{
      {"lanewise", lanewise_cases}, {"memory", memory_cases},   {"atomic", atomic_cases}, {"move", move_cases},
      {"control", control_cases},   {"barrier", barrier_cases}, {"warp", warp_cases},     {"matrix", matrix_cases},
      {"async", async_cases},       {"tensor", tensor_cases}};
  return all;
}

}  // namespace moesaic::isa
