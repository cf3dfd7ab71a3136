#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/gemm_bench.hpp"

/// What was measured, as JSON with every sample, and as text.
namespace moesaic::bench {

/// What holds for all points of one run of the bench.
struct Session {
  Device device;       ///< the card's own limits
  std::string driver;  ///< the driver's version, and the newest CUDA that it supports
  std::string command;
  std::string date;  ///< UTC, as 2026-01-31T12:00:00Z
  bool as_12x = false;
  std::string proxy;  ///< the fat binary that was timed in place of the shipped one; empty: none
  std::uint64_t seed = 1;
  bool timed = true;  ///< an emulated card takes no time
  Limits limits;
  double given_stream_tb_per_s = 0;  ///< a streaming limit from outside the run; the larger of the two counts

  double stream_tb_per_s() const;
  /// Of the multiply that the timed kernels use.
  double tera_ops() const { return proxy.empty() ? limits.fp8_tera_ops : limits.s8_tera_ops; }
};

/// A session on the card, dated now; options of the bench are still to be filled in.
Session begin_session(const device::Gpu& gpu);

/// "bench": "gemm", the session, and under "points" each point with its floor, its results and every sample in
/// microseconds.
nlohmann::json as_json(const Session& session, const std::vector<Point>& points);

/// The card and its limits, a few lines.
std::string as_text(const Session& session);

/// The point's floor and its `most` fastest results, a line each.
std::string as_text(const Session& session, const Point& point, int most);

}  // namespace moesaic::bench
