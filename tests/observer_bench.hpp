#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "emulator_bench.hpp"

/// Running small kernels with all checks on.
namespace moesaic::emulator {

/// A kernel "k" that takes 64-bit parameters p0, p1, ...: they are in %rd0, %rd1, ...; %r0 is the thread, %r1 the
/// block, %r2 the lane. `body` may use %r3 to %r63, %rd8 to %rd63, %f0 to %f31 and %p0 to %p15.
inline std::string kernel_text(const std::string& body, int parameters, const std::string& shared = {}) {
  std::string text = ".visible .entry k(";
  for (int i = 0; i < parameters; ++i) text += (i == 0 ? "" : ", ") + std::string(".param .u64 p") + std::to_string(i);
  text += ")\n{\n.reg .b32 %r<64>;\n.reg .b64 %rd<64>;\n.reg .b16 %h<32>;\n.reg .f32 %f<32>;\n.reg .pred %p<16>;\n";
  text += shared;
  for (int i = 0; i < parameters; ++i) {
    text += "ld.param.u64 %rd" + std::to_string(i) + ", [p" + std::to_string(i) + "];\n";
  }
  return text + "mov.u32 %r0, %tid.x;\nmov.u32 %r1, %ctaid.x;\nmov.u32 %r2, %laneid;\n" + body + "\nret;\n}\n";
}

/// How a kernel is run.
struct Trial {
  Extent grid{};
  Extent block{};
  std::uint32_t dynamic_shared = 0;
  std::vector<std::vector<std::uint32_t>> buffers{};  ///< one for each parameter; of zeros when `bytes` says so
  Checks checks = Checks::all();
};

/// What the checks find in a kernel, for one seed.
inline std::vector<Finding> findings_of(const std::string& text, const Trial& run, std::uint64_t seed) {
  Options options = card_options("gb10", seed);
  options.checks = run.checks;
  Bench bench(text, options);
  std::vector<std::uint64_t> parameters;
  for (const auto& buffer : run.buffers) parameters.push_back(bench.upload(buffer));
  bench.launch("k", run.grid, run.block, parameters, run.dynamic_shared);
  return bench.machine.take_findings();
}

/// Expects that a kernel is silent for 20 seeds.
inline void expect_silence(const std::string& text, const Trial& run) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    for (const Finding& finding : findings_of(text, run, seed)) FAIL() << "seed " << seed << ": " << finding.sentence();
  }
}

/// Expects that a kernel has findings of one kind only, for at least one of 20 seeds, at an instruction whose text has
/// `where` in it or whose other party has.
inline void expect_finding(const std::string& text, const Trial& run, Finding::Kind kind, const std::string& where) {
  bool found = false;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    for (const Finding& finding : findings_of(text, run, seed)) {
      if (finding.kind == Finding::Kind::undefined && kind != finding.kind) continue;
      EXPECT_EQ(name_of(finding.kind), name_of(kind)) << finding.sentence();
      found = found || finding.where.instruction.find(where) != std::string::npos ||
              finding.other.instruction.find(where) != std::string::npos;
    }
  }
  EXPECT_TRUE(found) << "no finding at " << where;
}

}  // namespace moesaic::emulator
