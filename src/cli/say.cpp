#include "cli/say.hpp"

#include <cstdio>

namespace moesaic::cli {

void say(std::string_view text) {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
}

}  // namespace moesaic::cli
