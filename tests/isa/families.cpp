#include "isa/isa_case.hpp"

namespace moesaic::isa {

const std::vector<Family>& families() {
  static const std::vector<Family> all{{"lanewise", lanewise_cases}, {"matrix", matrix_cases}};
  return all;
}

}  // namespace moesaic::isa
