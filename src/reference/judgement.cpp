#include "reference/judgement.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

namespace moesaic::reference {

void Stage::compare(int at_row, int at_column, double got_value, double want_value, double allowed) {
  const double error = std::abs(got_value - want_value);
  const bool inside = error <= allowed;  // false for a NaN anywhere
  double of_bound = error == 0 ? 0 : error / allowed;
  if (!inside && !(of_bound > 1)) of_bound = std::numeric_limits<double>::infinity();
  ++compared;
  if (!inside) ++failed;
  const bool first = row < 0;
  const bool earlier = std::tie(at_row, at_column) < std::tie(row, column);
  if (first || of_bound > ratio || (of_bound == ratio && earlier)) {
    std::tie(ratio, row, column) = std::tuple(of_bound, at_row, at_column);
    std::tie(got, want, bound) = std::tuple(got_value, want_value, allowed);
  }
}

void Stage::fail(std::string why) {
  problem = std::move(why);
}

void Stage::merge(const Stage& part) {
  const std::int64_t all = compared + part.compared;
  const std::int64_t outside = failed + part.failed;
  if (part.row >= 0) compare(part.row, part.column, part.got, part.want, part.bound);
  compared = all;
  failed = outside;
  if (problem.empty()) problem = part.problem;
}

std::string Stage::text() const {
  if (!problem.empty()) return fmt::format("{:9} FAILED: {}", name, problem);
  if (compared == 0) return fmt::format("{:9} passed: nothing to compare", name);
  const std::string worst =
      fmt::format("worst at row {} column {}: got {:.9g}, want {:.9g} +- {:.3g}", row, column, got, want, bound);
  if (!passed()) return fmt::format("{:9} FAILED: {} of {} values; {}", name, failed, compared, worst);
  if (ratio == 0) return fmt::format("{:9} passed: {} values, all exact", name, compared);
  return fmt::format("{:9} passed: {} values, errors up to {:.3g} of the bound; {}", name, compared, ratio, worst);
}

const Stage* Judgement::first_failure() const {
  for (const Stage& stage : stages) {
    if (!stage.passed()) return &stage;
  }
  return nullptr;
}

std::string Judgement::text() const {
  std::string lines;
  for (const Stage& stage : stages) lines += stage.text() + "\n";
  return lines;
}

}  // namespace moesaic::reference
