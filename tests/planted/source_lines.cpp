#include "planted/source_lines.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace moesaic::planted {

SourceLines::SourceLines(const std::string& ptx) {
  std::istringstream lines(ptx);
  std::string text;
  for (std::uint32_t number = 1; std::getline(lines, text); ++number) {
    std::istringstream words(text);
    std::string directive;
    words >> directive;
    if (directive == ".file") {
      int index = 0;
      std::string path;
      words >> index >> path;
      files_[index] = std::filesystem::path(path.substr(1, path.rfind('"') - 1)).filename().string();
    } else if (directive == ".loc") {
      Statement statement{.ptx_line = number, .here = {}, .inlined_at = {}};
      words >> statement.here.file >> statement.here.line >> statement.here.column;
      const std::size_t inlined = text.find("inlined_at ");
      if (inlined != std::string::npos) {
        std::istringstream where(text.substr(inlined + 11));
        where >> statement.inlined_at.file >> statement.inlined_at.line >> statement.inlined_at.column;
      }
      statements_.push_back(statement);
    }
  }
}

std::vector<SourceLine> SourceLines::of(std::uint32_t ptx_line) const {
  std::vector<SourceLine> found;
  auto at = std::ranges::lower_bound(statements_, ptx_line, {}, &Statement::ptx_line);
  while (at != statements_.begin()) {
    --at;
    found.push_back({files_.at(at->here.file), at->here.line});
    if (at->inlined_at == Location{}) break;
    // The place that it was inlined at has a statement of its own before, which says where that was inlined.
    const Location outer = at->inlined_at;
    const auto same = [&](const Statement& statement) { return statement.here == outer; };
    const auto before = std::find_if(std::make_reverse_iterator(at), statements_.rend(), same);
    if (before == statements_.rend()) {
      found.push_back({files_.at(outer.file), outer.line});
      break;
    }
    at = before.base();
  }
  return found;
}

}  // namespace moesaic::planted
