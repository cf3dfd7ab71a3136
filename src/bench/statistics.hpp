#pragma once

#include <vector>

namespace moesaic::bench {

/// Quantiles of samples, interpolated between neighbours (0: the least, 1: the greatest).
struct Summary {
  double median = 0;
  double min = 0;
  double p10 = 0;
  double p90 = 0;
};

/// All 0 without samples.
Summary summarize(std::vector<double> samples);

}  // namespace moesaic::bench
