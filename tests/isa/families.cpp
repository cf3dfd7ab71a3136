#include "isa/isa_case.hpp"

namespace moesaic::isa {

const std::vector<Family>& families() {
  static const std::vector<Family> all{{"lanewise", lanewise_cases}};
  return all;
}

}  // namespace moesaic::isa
