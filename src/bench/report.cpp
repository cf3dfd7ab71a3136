#include "bench/report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bench/statistics.hpp"

namespace moesaic::bench {
namespace {

using Json = nlohmann::json;

std::string read_all(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// This process's arguments, with spaces between them.
std::string command_line() {
  std::string text = read_all("/proc/self/cmdline");  // each argument ends in a zero
  if (!text.empty()) text.pop_back();
  std::ranges::replace(text, '\0', ' ');
  return text;
}

/// The version of the kernel's driver: the first word of its own line that looks like 580.159.04.
std::string kernel_driver() {
  std::istringstream words(read_all("/proc/driver/nvidia/version"));
  for (std::string word; words >> word;) {
    const bool numbers = word.find_first_not_of("0123456789.") == std::string::npos;
    if (numbers && word.find('.') != std::string::npos) return word;
  }
  return {};
}

Json limits_json(const Session& session) {
  Json streams = Json::array();
  for (const StreamProbe& stream : session.limits.streams) {
    streams.push_back({{"blocks_per_sm", stream.blocks_per_sm}, {"tb_per_s", stream.tb_per_s}});
  }
  return {{"streams", streams},
          {"given_stream_tb_per_s", session.given_stream_tb_per_s},
          {"stream_tb_per_s", session.stream_tb_per_s()},
          {"fp8_tera_ops", session.limits.fp8_tera_ops},
          {"s8_tera_ops", session.limits.s8_tera_ops}};
}

Floor floor_of(const Session& session, const Point& point) {
  return floor_of(point.cost, session.stream_tb_per_s(), session.tera_ops());
}

Json timed_json(const Timed& timed, double floor_us) {
  const Summary summary = summarize(timed.samples_us);
  Json json{{"engine", "moesaic"},
            {"variant", variant_name(timed.candidate.config)},
            {"layout", name_of(timed.candidate.layout)},
            {"dependence", name_of(timed.candidate.dependence)},
            {"blocks_per_sm", timed.blocks_per_sm},
            {"smem_bytes", timed.smem_bytes}};
  if (timed.samples_us.empty()) return json;
  json.update({{"median_us", summary.median},
               {"min_us", summary.min},
               {"p10_us", summary.p10},
               {"p90_us", summary.p90},
               {"of_floor", floor_us / summary.median},
               {"samples_us", timed.samples_us}});
  return json;
}

Json point_json(const Session& session, const Point& point) {
  const Workload& workload = point.workload;
  Json json{{"model", workload.model},
            {"gemm", workload.gemm},
            {"experts", workload.experts},
            {"top_k", workload.top_k},
            {"n", workload.n},
            {"k", workload.k},
            {"tokens", workload.tokens},
            {"rows", workload.rows()},
            {"out", name_of(point.out)},
            {"sets", point.sets},
            {"launches", point.launches},
            {"touched_experts", point.touched},
            {"bytes", point.cost.bytes},
            {"operations", point.cost.operations}};
  const Floor floor = floor_of(session, point);
  if (session.timed) {
    json["floor_us"] = floor.us();
    json["bytes_us"] = floor.bytes_us;
    json["operations_us"] = floor.operations_us;
  }
  json["results"] = Json::array();
  for (const Timed& timed : point.timed) json["results"].push_back(timed_json(timed, floor.us()));
  json["rejected"] = Json::array();
  for (const auto& [variant, reason] : point.rejected) {
    json["rejected"].push_back({{"variant", variant}, {"reason", reason}});
  }
  return json;
}

std::string line_of(const Point& point, const Timed& timed, const Floor& floor) {
  const Summary summary = summarize(timed.samples_us);
  const std::string rate = floor.bytes_us >= floor.operations_us
                               ? fmt::format("{:.2f} TB/s", point.cost.bytes / summary.median / 1e6)
                               : fmt::format("{:.0f} TOPS", point.cost.operations / summary.median / 1e6);
  return fmt::format("  {:>9.2f} us {:>5.1f} %  {:>9}  [{:.2f} {:.2f} {:.2f}]  {} {} {}, {} per SM, {} B\n",
                     summary.median, 100 * floor.us() / summary.median, rate, summary.min, summary.p10, summary.p90,
                     variant_name(timed.candidate.config), name_of(timed.candidate.layout),
                     name_of(timed.candidate.dependence), timed.blocks_per_sm, timed.smem_bytes);
}

}  // namespace

double Session::stream_tb_per_s() const {
  return std::max(limits.stream_tb_per_s, given_stream_tb_per_s);
}

Session begin_session(const device::Gpu& gpu) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  Session session;
  session.device = gpu.device();
  session.command = command_line();
  session.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
  session.timed = !gpu.emulated();
  session.driver = gpu.emulated() ? "emulated" : fmt::format("{} (CUDA {})", kernel_driver(), gpu.driver_version());
  return session;
}

Json as_json(const Session& session, const std::vector<Point>& points) {
  const Device& device = session.device;
  Json json{{"bench", "gemm"},
            {"date", session.date},
            {"command", session.command},
            {"device",
             {{"name", device.full_name},
              {"place", device.name},
              {"compute_capability", fmt::format("{}.{}", device.major, device.minor)},
              {"sms", device.sms},
              {"clock_mhz", device.clock_mhz},
              {"l2_bytes", device.l2_bytes},
              {"driver", session.driver}}},
            {"as_12x", session.as_12x},
            {"proxy", session.proxy.empty() ? Json() : Json(session.proxy)},
            {"seed", session.seed}};
  if (session.timed) json["limits"] = limits_json(session);
  json["points"] = Json::array();
  for (const Point& point : points) json["points"].push_back(point_json(session, point));
  return json;
}

std::string as_text(const Session& session) {
  const Device& device = session.device;
  std::string text =
      fmt::format("{}, compute capability {}.{}, {} SMs, {} MHz, driver {}, {}, seed {}\n", device.full_name,
                  device.major, device.minor, device.sms, device.clock_mhz, session.driver, session.date, session.seed);
  if (session.as_12x) text += "held to the shared memory, threads and blocks of compute capability 12.x\n";
  if (!session.proxy.empty()) text += "multiplies s8 in place of FP8: its numbers mean nothing, its time may\n";
  if (!session.timed) return text + "emulated: no time is taken, for it would say nothing\n";
  text += "limits: streaming";
  for (const StreamProbe& stream : session.limits.streams) {
    text += fmt::format(" {:.3f} ({} per SM)", stream.tb_per_s, stream.blocks_per_sm);
  }
  text += fmt::format(" TB/s; from shared memory {:.0f} TFLOPS FP8, {:.0f} TOPS s8\n", session.limits.fp8_tera_ops,
                      session.limits.s8_tera_ops);
  return text + fmt::format(
                    "floors are at {:.3f} TB/s and {:.0f} TOPS; times: median, of the floor, rate, "
                    "[min p10 p90]\n",
                    session.stream_tb_per_s(), session.tera_ops());
}

std::string as_text(const Session& session, const Point& point, int most) {
  const Workload& workload = point.workload;
  std::string text =
      fmt::format("\n{} {}: E {} top-{} N {} K {}, {} tokens, {} out; {:.1f} experts touched, {} sets, {} launches",
                  workload.model, workload.gemm, workload.experts, workload.top_k, workload.n, workload.k,
                  workload.tokens, name_of(point.out), point.touched, point.sets, point.launches);
  if (!session.timed) return text + fmt::format(": {} candidates ran\n", point.timed.size());
  const Floor floor = floor_of(session, point);
  text +=
      fmt::format("\nfloor {:.2f} us by {}: bytes {:.2f}, operations {:.2f}\n", floor.us(),
                  floor.bytes_us >= floor.operations_us ? "bytes" : "operations", floor.bytes_us, floor.operations_us);
  std::vector<const Timed*> fastest;
  for (const Timed& timed : point.timed) fastest.push_back(&timed);
  std::ranges::sort(fastest, {}, [](const Timed* timed) { return summarize(timed->samples_us).median; });
  if (fastest.size() > static_cast<std::size_t>(most)) fastest.resize(static_cast<std::size_t>(most));
  for (const Timed* timed : fastest) text += line_of(point, *timed, floor);
  return text;
}

}  // namespace moesaic::bench
