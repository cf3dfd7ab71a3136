#include "emulator/finding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace moesaic::emulator {
namespace {

std::string describe(const Finding::Party& party) {
  std::string text = fmt::format("kernel {}, PTX line {} `{}`", party.kernel, party.line, party.instruction);
  if (!party.source.empty()) text += fmt::format(" ({})", party.source);
  return text + fmt::format(", block {}, warp {}, lanes {:#010x}", party.block, party.warp, party.lanes);
}

bool same_place(const Finding& a, const Finding& b) {
  return a.kind == b.kind && a.where.line == b.where.line && a.other.line == b.other.line &&
         a.where.kernel == b.where.kernel && a.other.kernel == b.other.kernel;
}

}  // namespace

std::string_view name_of(Finding::Kind kind) {
  switch (kind) {
    case Finding::Kind::undefined:
      return "undefined";
    case Finding::Kind::race:
      return "race";
    case Finding::Kind::proxy_race:
      return "proxy_race";
    case Finding::Kind::tensormap_race:
      return "tensormap_race";
    case Finding::Kind::mbarrier_overwritten:
      return "mbarrier_overwritten";
    case Finding::Kind::unfinished_copy:
      return "unfinished_copy";
    case Finding::Kind::early_read:
      return "early_read";
  }
  return "";
}

std::string Finding::sentence() const {
  std::string text = fmt::format("{}: {}: {}", name_of(kind), describe(where), what);
  if (other.line != 0) text += fmt::format("\n  the other: {}, which {}", describe(other), other.access);
  if (count > 1) text += fmt::format("\n  {} times in all", count);
  return text + fmt::format("\n  seed {} with one host thread replays it", seed);
}

void Findings::add(Finding finding) {
  const std::lock_guard lock(mutex_);
  const auto known =
      std::find_if(found_.begin(), found_.end(), [&](const Finding& other) { return same_place(other, finding); });
  if (known != found_.end()) {
    ++known->count;
    const bool same_warp = known->where.block == finding.where.block && known->where.warp == finding.where.warp;
    if (same_warp) known->where.lanes |= finding.where.lanes;
  } else {
    found_.push_back(std::move(finding));
  }
}

std::vector<Finding> Findings::list() const {
  const std::lock_guard lock(mutex_);
  return found_;
}

std::vector<Finding> Findings::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(found_, {});
}

}  // namespace moesaic::emulator
