#include "cli/bench_emulator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string_view>

#include "emulator/machine.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {
namespace {

/// hash_fma: every thread hashes a number and feeds it to a chain of fma, `rounds` times. multiply: every warp adds
/// `rounds` times 8 products to 8 tiles of sums.
constexpr std::string_view kPrograms = R"(
.version 9.0
.target sm_120f
.address_size 64

.visible .entry hash_fma(.param .u64 out, .param .u32 rounds)
{
  .reg .pred %more;
  .reg .b32 %left, %hash, %bits, %at;
  .reg .f32 %sum, %term;
  .reg .b64 %to;
  ld.param.u64 %to, [out];
  ld.param.u32 %left, [rounds];
  mov.u32 %hash, %tid.x;
  mov.f32 %sum, 0f00000000;
again:
  mad.lo.u32 %hash, %hash, 1664525, 1013904223;
  shr.u32 %bits, %hash, 15;
  xor.b32 %hash, %hash, %bits;
  mul.lo.u32 %hash, %hash, 0x2c1b3c6d;
  shr.u32 %bits, %hash, 12;
  xor.b32 %hash, %hash, %bits;
  and.b32 %bits, %hash, 0xffff;
  cvt.rn.f32.u32 %term, %bits;
  fma.rn.f32 %sum, %sum, 0f3F000000, %term;
  fma.rn.f32 %sum, %sum, 0f3F7FF000, %term;
  sub.u32 %left, %left, 1;
  setp.ne.u32 %more, %left, 0;
  @%more bra again;
  mov.u32 %at, %tid.x;
  mad.wide.u32 %to, %at, 4, %to;
  st.global.f32 [%to], %sum;
  ret;
}

.visible .entry multiply(.param .u64 out, .param .u32 rounds)
{
  .reg .pred %more;
  .reg .b32 %left, %at, %a<4>, %b<2>;
  .reg .f32 %d<32>;
  .reg .b64 %to;
  ld.param.u64 %to, [out];
  ld.param.u32 %left, [rounds];
  mov.u32 %at, %tid.x;
  mad.lo.u32 %a0, %at, 0x01030507, 0x08101820;
  and.b32 %a0, %a0, 0x77777777;
  xor.b32 %a1, %a0, 0x11223344;
  xor.b32 %a2, %a0, 0x44332211;
  xor.b32 %a3, %a0, 0x12341234;
  xor.b32 %b0, %a0, 0x21212121;
  xor.b32 %b1, %a0, 0x70605040;
CLEAR
again:
MULTIPLY
  sub.u32 %left, %left, 1;
  setp.ne.u32 %more, %left, 0;
  @%more bra again;
  mad.wide.u32 %to, %at, 4, %to;
  st.global.f32 [%to], %d0;
  ret;
}
)";

constexpr int kTiles = 8;

std::string programs() {
  std::string clear;
  std::string multiply;
  for (int tile = 0; tile < kTiles; ++tile) {
    const int d = 4 * tile;
    for (int i = 0; i < 4; ++i) clear += fmt::format("  mov.f32 %d{}, 0f00000000;\n", d + i);
    const std::string sums = fmt::format("{{%d{}, %d{}, %d{}, %d{}}}", d, d + 1, d + 2, d + 3);
    multiply += fmt::format(
        "  mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {}, {{%a0, %a1, %a2, %a3}}, {{%b0, %b1}}, {};\n", sums,
        sums);
  }
  std::string text(kPrograms);
  text.replace(text.find("CLEAR\n"), 6, clear);
  text.replace(text.find("MULTIPLY\n"), 9, multiply);
  return text;
}

/// One program on an emulated card that uses one thread of the host.
class Bench {
 public:
  Bench(const char* kernel, emulator::Checks checks)
      : machine_({.card = kDevices[0], .host_threads = 1, .checks = checks}),
        kernel_(*machine_.load(programs()).find_kernel(kernel)),
        out_(machine_.memory().allocate(kThreads * 4)) {}

  struct Timed {
    double seconds = 0;
    emulator::Statistics statistics;
  };

  Timed run(std::uint32_t rounds) {
    const std::array<std::uint64_t, 2> parameters{out_, rounds};
    const auto start = std::chrono::steady_clock::now();
    Timed timed;
    timed.statistics =
        machine_.launch(kernel_, {.grid = {},
                                  .block = {kThreads},
                                  .parameters = std::as_bytes(std::span(parameters)).first(kernel_.parameter_bytes)});
    timed.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const auto findings = machine_.take_findings();
    if (!findings.empty()) throw Error("the emulator's bench is not clean: " + findings.front().sentence());
    return timed;
  }

 private:
  static constexpr std::uint32_t kThreads = 128;

  emulator::Machine machine_;
  const emulator::Kernel& kernel_;
  std::uint64_t out_;
};

std::uint64_t lane_instructions(const emulator::Statistics& statistics) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : statistics.lane_instructions) sum += count;
  return sum;
}
std::uint64_t multiplies(const emulator::Statistics& statistics) {
  return statistics.mma;
}

/// What is measured.
struct Subject {
  const char* kernel;
  const char* program;
  const char* unit;
  std::uint64_t (*count)(const emulator::Statistics&);
};

constexpr std::array kSubjects{
    Subject{"hash_fma", "integer hash with an fma loop", "lane-instructions", lane_instructions},
    Subject{"multiply", "mma.sync m16n8k32 e4m3, f32 sums", "mma", multiplies},
};

EmulatorSpeed measure(const Subject& subject, const char* checks, double seconds, int runs) {
  Bench bench(subject.kernel, emulator::parse_checks(checks));
  std::uint32_t rounds = 64;
  double took = bench.run(rounds).seconds;
  while (took < seconds / 8) took = bench.run(rounds *= 2).seconds;
  rounds = std::max(1U, static_cast<std::uint32_t>(rounds * seconds / took));
  std::vector<double> rates;
  for (int i = 0; i < runs; ++i) {
    const Bench::Timed timed = bench.run(rounds);
    rates.push_back(static_cast<double>(subject.count(timed.statistics)) / timed.seconds);
  }
  std::ranges::sort(rates);
  return {subject.program, checks, subject.unit, rates[rates.size() / 2], rates.front(), rates.back(), runs};
}

}  // namespace

std::vector<EmulatorSpeed> measure_emulator(double seconds, int runs) {
  std::vector<EmulatorSpeed> speeds;
  for (const char* checks : {"none", "all"}) {
    for (const Subject& subject : kSubjects) speeds.push_back(measure(subject, checks, seconds, runs));
  }
  return speeds;
}

std::string as_text(const std::vector<EmulatorSpeed>& speeds) {
  std::string text = "The emulated card on one thread of this host: the median of the runs, and their range.\n";
  for (const EmulatorSpeed& s : speeds) {
    text += fmt::format("  {:<33} checks {:<5} {:>14.0f} {} a second  ({:.0f} to {:.0f}, {} runs)\n", s.program,
                        s.checks, s.per_second, s.unit, s.slowest, s.fastest, s.runs);
  }
  return text + "This is the emulator's own speed; it says nothing of any card's.\n";
}

std::string as_json(const std::vector<EmulatorSpeed>& speeds) {
  nlohmann::json list = nlohmann::json::array();
  for (const EmulatorSpeed& s : speeds) {
    list.push_back({{"program", s.program},
                    {"checks", s.checks},
                    {"unit", s.unit},
                    {"per_second", s.per_second},
                    {"slowest", s.slowest},
                    {"fastest", s.fastest},
                    {"runs", s.runs},
                    {"host_threads", 1}});
  }
  return nlohmann::json{{"emulator", list}}.dump(2);
}

}  // namespace moesaic::cli
