// The reader of ptxas's report and of disassemblies, and what it finds wrong, on small texts written by hand.

#include <gtest/gtest.h>

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "kernel_report/judge.hpp"
#include "kernels/kernels.hpp"
#include "spec/error.hpp"

namespace moesaic::kernel_report {
namespace {

using Lines = std::vector<std::string>;

constexpr Config kFast{64, 8, 128, 5, 2};
constexpr Config kPlain{64, 8, 128, 5, 2, 4, 1, Multiply::plain};
constexpr Config kWide{256, 128, 128, 2, 1, 4, 2};  // eight mma warps of many sums, and four others

/// One function as cuobjdump prints it: addresses in front, encodings behind and on lines of their own.
std::string function(const std::string& name, const Lines& instructions) {
  std::ostringstream text;
  text << "\t\tFunction : " << name << "\n\t.headerflags\t@\"EF_CUDA_ACCELERATORS\"\n";
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    text << "        /*" << std::hex << std::setw(4) << std::setfill('0') << 16 * i << "*/                   "
         << instructions[i] << " ;    /* 0x000000ff00ff7b82 */\n        /* 0x000fe20000000800 */\n";
  }
  return text.str();
}

std::string hex(int value) {
  std::ostringstream text;
  text << std::showbase << std::hex << value;
  return text.str();
}

std::string disassembly(const std::string& target, const std::string& functions) {
  return "\nFatbin elf code:\n================\narch = " + target + "\ncode version = [1,8]\n\n\tcode for sm_120\n" +
         functions;
}

/// What ptxas says of one entry.
struct Said {
  int registers = 64;
  int stack = 0;
  int spilled = 0;
};

std::string reported(const std::string& name, const std::string& target, const Said& said) {
  std::ostringstream text;
  text << "ptxas info    : Compiling entry function '" << name << "' for '" << target << "'\n"
       << "ptxas info    : Function properties for " << name << "\n    " << said.stack << " bytes stack frame, "
       << said.spilled << " bytes spill stores, " << said.spilled << " bytes spill loads\n"
       << "ptxas info    : Used " << said.registers << " registers, used 1 barriers, 16 bytes smem\n"
       << "ptxas info    : Compile time = 93.973 ms\n";
  return text.str();
}

/// A kernel with one main loop of two mma, from 0x30 to 0x80.
Lines kernel(const std::string& mma) {
  return {"ACQBULK",
          "PREEXIT",
          "MOV R1, R2",
          "SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [R13+URZ+0xc000], R5",
          "LDSM.16.M88.4 R8, [R4]",
          mma + " R28, R8, R64, R28",
          "@P1 IADD3 R4, PT, PT, R4, 0x10, RZ",
          mma + " R32, R8, R66, R32",
          "@!P2 BRA 0x30",
          "STG.E [R2], R28",
          "EXIT",
          "BRA 0xb0"};
}

const std::string kQmmaSf = "QMMA.SF.16832.F32.E4M3.E4M3.E8";
const std::string kQmma = "QMMA.16832.F32.E4M3.E4M3";
const std::string kHmma = "HMMA.16816.F32";

/// Everything that judge() reads, all of it right for the variants kFast and kPlain.
struct Case {
  std::string fast = kernels::symbol(kFast);
  std::string plain = kernels::symbol(kPlain);
  std::string ptxas = reported(fast, "sm_90a", {}) + reported("combine", "sm_90a", {}) + reported(fast, "sm_120f", {}) +
                      reported(plain, "sm_120f", {}) + reported("combine", "sm_120f", {});
  Lines fast_90a = kernel(kHmma);
  Lines fast_120f = kernel(kQmmaSf);
  Lines plain_120f = kernel(kQmma);

  std::vector<Code> sass() const {
    const std::string combine = function("combine", {"EXIT", "BRA 0x10"});
    return parse_sass(disassembly("sm_90a", function(fast, fast_90a) + combine) +
                      disassembly("sm_120f", function(fast, fast_120f) + function(plain, plain_120f) + combine));
  }

  Report judged() const {
    const std::array variants{kFast, kPlain};
    return judge(parse_ptxas_report(ptxas), sass(), variants);
  }

  /// The only problem that there is.
  std::string problem() const {
    const Report report = judged();
    return report.problems.size() == 1 ? report.problems[0] : std::to_string(report.problems.size()) + " problems";
  }

  /// Replaces a part of ptxas's report, which must be there.
  void replace(const std::string& old_part, const std::string& new_part) {
    const std::size_t at = ptxas.find(old_part);
    ASSERT_NE(at, std::string::npos);
    ptxas.replace(at, old_part.size(), new_part);
  }
};

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << text << "' does not say '" << part << "'";
}

TEST(KernelReport, WhatIsRightHasNoProblem) {
  const Report report = Case{}.judged();
  EXPECT_EQ(report.problems, Lines{});
  ASSERT_EQ(report.rows.size(), 5u);
  const Row& row = report.rows[2];
  EXPECT_EQ(row.name, variant_name(kFast));
  EXPECT_EQ(row.compiled.target, "sm_120f");
  EXPECT_EQ(row.compiled.registers, 64);
  EXPECT_EQ(row.compiled.static_smem_bytes, 16);
  EXPECT_EQ(row.smem_bytes, smem_bytes(kFast) + 16);
  EXPECT_EQ(row.blocks_per_sm, 2);
  ASSERT_EQ(row.loops.size(), 1u);
  EXPECT_EQ(row.loops[0].mma, 2);
  EXPECT_EQ(row.loops[0].between, (Counts{2, 0, 0, 1, 0, 0}));
  EXPECT_EQ(row.loops[0].whole, (Counts{2, 0, 1, 1, 2, 0}));
}

TEST(KernelReport, ASpillIsAProblem) {
  Case c;
  c.replace(reported(c.fast, "sm_90a", {}), reported(c.fast, "sm_90a", {.spilled = 36}));
  expect_contains(c.problem(), "sm_90a spills registers: 36 bytes stored and 36 loaded");
}

TEST(KernelReport, AStackFrameIsAProblemOfEveryEntry) {
  Case c;
  c.replace(reported("combine", "sm_120f", {}), reported("combine", "sm_120f", {.stack = 32}));
  expect_contains(c.problem(), "combine for sm_120f has a stack frame of 32 bytes");
}

TEST(KernelReport, LocalMemoryInAMainLoopIsAProblem) {
  for (const char* touch : {"LDL.LU R13, [R1]", "@P0 STL [R1], R13"}) {
    Case c;
    c.fast_120f[6] = touch;
    expect_contains(c.problem(), "touches local memory in its main loop of 2 mma");
    c.fast_120f[6] = "NOP";
    c.fast_120f[9] = touch;
    EXPECT_EQ(c.judged().problems, Lines{});
  }
}

TEST(KernelReport, MoreRegistersThanTheConfigAllowsAreAProblem) {
  Case c;
  const int allowed = registers_at_launch(kFast);
  c.replace(reported(c.fast, "sm_120f", {}), reported(c.fast, "sm_120f", {.registers = allowed}));
  EXPECT_EQ(c.judged().problems, Lines{});
  c.replace(reported(c.fast, "sm_120f", {.registers = allowed}),
            reported(c.fast, "sm_120f", {.registers = allowed + 1}));
  const Report report = c.judged();
  ASSERT_EQ(report.problems.size(), 2u);
  expect_contains(report.problems[0], "its config allows " + std::to_string(allowed));
  expect_contains(report.problems[1], "fits an SM 1 times; its config says 2");
}

TEST(KernelReport, AMissingEntryIsAProblem) {
  Case c;
  c.replace(reported(c.fast, "sm_90a", {}), "");
  expect_contains(c.problem(), "is in the table of variants, and ptxas reports no " + c.fast + " for sm_90a");
  c = Case{};
  c.replace(reported("combine", "sm_120f", {}), "");
  expect_contains(c.problem(), "combine was compiled for sm_90a and not for sm_120f");
  const std::array variants{kFast};
  c = Case{};
  c.ptxas = reported(c.fast, "sm_90a", {}) + reported(c.fast, "sm_120f", {});
  const Report report = judge(parse_ptxas_report(c.ptxas), {}, variants);
  ASSERT_EQ(report.problems.size(), 2u);
  expect_contains(report.problems[0], "for sm_90a is in ptxas's report and not in the disassembly");
}

TEST(KernelReport, ThePlainMultiplyIsOf12xAlone) {
  Case c;
  c.ptxas += reported(c.plain, "sm_90a", {.spilled = 4});
  std::vector<Code> sass = c.sass();
  sass.push_back({.function = c.plain, .target = "sm_90a", .instructions = {}});
  const std::array variants{kFast, kPlain};
  const Report report = judge(parse_ptxas_report(c.ptxas), sass, variants);
  ASSERT_EQ(report.problems.size(), 1u);
  expect_contains(report.problems[0], "spills");
}

TEST(KernelReport, EachTargetAndFormHasItsMultiply) {
  Case c;
  c.fast_120f[5] = kQmma + " R28, R8, R64, R28";
  expect_contains(c.problem(), "does not multiply by QMMA.SF, which runs at full rate, in its main loop of 2 mma");
  c = Case{};
  c.plain_120f[7] = kQmmaSf + " R32, R8, R66, R32";
  expect_contains(c.problem(), "does not multiply by QMMA without scales");
  c = Case{};
  c.fast_90a[7] = "IMMA.16832.S8.S8 R32, R8, R66, R32";
  expect_contains(c.problem(),
                  "does not multiply by HMMA in its main loop of 2 mma: IMMA.16832.S8.S8 at 0x0070 and 0 more");
}

TEST(KernelReport, AKernelWithoutAMainLoopIsAProblem) {
  Case c;
  c.fast_90a[8] = "NOP";
  expect_contains(c.problem(), "has no loop with an mma in it");
}

TEST(KernelReport, GriddepcontrolMustBeThere) {
  Case c;
  c.fast_90a[0] = "NOP";
  expect_contains(c.problem(), "has no ACQBULK: griddepcontrol.wait");
  c = Case{};
  c.fast_90a[1] = "NOP";
  expect_contains(c.problem(), "has no PREEXIT: griddepcontrol.launch_dependents");
}

TEST(KernelReport, SetmaxnregMustBeThere) {
  const std::array variants{kWide};
  const std::string name = kernels::symbol(kWide);
  const std::string ptxas =
      reported(name, "sm_90a", {.registers = 168}) + reported(name, "sm_120f", {.registers = 168});
  const auto problems = [&](const std::string& pool, const std::string& report) {
    Lines lines_90a = kernel(kHmma);
    Lines lines_120f = kernel(kQmmaSf);
    for (Lines* lines : {&lines_90a, &lines_120f}) {
      lines->insert(lines->begin() + 9, {"USETMAXREG.DEALLOC.CTAPOOL " + hex(kOtherWarpRegisters), pool});
    }
    const auto sass = parse_sass(disassembly("sm_90a", function(name, lines_90a)) +
                                 disassembly("sm_120f", function(name, lines_120f)));
    return judge(parse_ptxas_report(report), sass, variants).problems;
  };
  const std::string alloc = "USETMAXREG.TRY_ALLOC.CTAPOOL UP0, " + hex(kMmaWarpRegisters);
  EXPECT_EQ(problems(alloc, ptxas), Lines{});
  ASSERT_EQ(problems("NOP", ptxas).size(), 2u);
  expect_contains(problems("USETMAXREG.TRY_ALLOC.CTAPOOL UP0, 0x10", ptxas)[0],
                  "has no USETMAXREG.TRY_ALLOC of " + std::to_string(kMmaWarpRegisters) + " registers");
  const std::string ignored =
      "ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine register count at "
      "entry.\n";
  ASSERT_EQ(problems(alloc, ignored + ptxas).size(), 1u);
  expect_contains(problems(alloc, ignored + ptxas)[0], "ptxas left out a setmaxnreg");
}

TEST(KernelReport, TornTextsAreErrors) {
  Case c;
  c.replace("ptxas info    : Used 64 registers, used 1 barriers, 16 bytes smem\n", "");
  EXPECT_THROW(parse_ptxas_report(c.ptxas), Error);
  EXPECT_THROW(parse_ptxas_report("ptxas info    : Compiling entry function 'a' for 'sm_90a'\n"), Error);
  EXPECT_THROW(parse_sass(disassembly("sm_90a", "\t\tFunction : a\n        /*0010*/    EXIT ;    /* 0x0 */\n")), Error);
}

std::vector<MainLoop> loops_of(const Lines& lines) {
  return main_loops(parse_sass(disassembly("sm_120f", function("f", lines)))[0]);
}

using Body = std::vector<std::size_t>;

TEST(KernelReport, EachInnermostLoopAroundMmaIsAMainLoop) {
  const auto loops = loops_of({
      "MOV R1, R2",       // 0
      "@P0 BRA 0x50",     // 1: the outer loop; one branch for each number of groups
      "QMMA R0, R0, R0",  // 2
      "@P1 BRA 0x20",     // 3
      "BRA 0x80",         // 4
      "QMMA R0, R0, R0",  // 5
      "QMMA R4, R0, R0",  // 6
      "BRA.U UP1, 0x50",  // 7
      "STG.E [R2], R28",  // 8
      "BRA 0x10",         // 9
  });
  ASSERT_EQ(loops.size(), 2u);
  EXPECT_EQ(loops[0].body, (Body{2, 3}));
  EXPECT_EQ(loops[1].body, (Body{5, 6, 7}));
}

TEST(KernelReport, AWaitThatLiesFarOffBelongsToItsLoop) {
  const auto loops = loops_of({
      "MOV R1, R2",       // 0
      "SYNCS.PHASECHK",   // 1: the loop
      "@!P0 BRA 0x80",    // 2: not yet
      "@P3 EXIT",         // 3
      "QMMA R0, R0, R0",  // 4
      "@P1 BRA 0x10",     // 5
      "@P4 BRA 0x0",      // 6: the outer loop
      "EXIT",             // 7
      "SYNCS.PHASECHK",   // 8
      "@!P0 BRA 0x80",    // 9
      "BRA 0x30",         // 10: goes back, and is no loop
  });
  ASSERT_EQ(loops.size(), 1u);
  EXPECT_EQ(loops[0].body, (Body{1, 2, 3, 4, 5, 8, 9, 10}));
}

TEST(KernelReport, ALoopReachedThroughARegisterIsFound) {
  const auto loops = loops_of({
      "BRX R4 -0x10",     // 0
      "EXIT",             // 1
      "QMMA R0, R0, R0",  // 2
      "@P1 BRA 0x20",     // 3
      "EXIT",             // 4
  });
  ASSERT_EQ(loops.size(), 1u);
  EXPECT_EQ(loops[0].body, (Body{2, 3}));
}

TEST(KernelReport, AnMmaBesideAnInnerLoopIsCountedOnce) {
  const auto loops = loops_of({
      "QMMA R0, R0, R0",  // 0: the outer loop's own
      "QMMA R4, R0, R0",  // 1: the inner one
      "@P1 BRA 0x10",     // 2
      "@P2 BRA 0x0",      // 3
      "EXIT",             // 4
  });
  ASSERT_EQ(loops.size(), 2u);
  EXPECT_EQ(loops[0].body, (Body{0, 3}));
  EXPECT_EQ(loops[1].body, (Body{1, 2}));
}

TEST(KernelReport, InstructionsHaveKinds) {
  const auto kind = [](const std::string& opcode, const std::string& operands) {
    return kind_of({.opcode = opcode, .operands = operands});
  };
  EXPECT_EQ(kind("HMMA.16816.F32", "R28, R92, R64, RZ"), Kind::mma);
  EXPECT_EQ(kind("F2FP.F16.E4M3.UNPACK_B", "R4, R5"), Kind::conversion);
  EXPECT_EQ(kind("HFMA2", "R16, R4, R5, R6"), Kind::conversion);
  EXPECT_EQ(kind("HFMA2.MMA", "R16, -RZ, RZ, 0, 0"), Kind::integer);
  EXPECT_EQ(kind("LDSM.16.M88.2", "R4, [R5]"), Kind::ldmatrix);
  EXPECT_EQ(kind("UIADD3.64", "UR4, UPT, UPT, UR4, UR6, URZ"), Kind::integer);
  EXPECT_EQ(kind("BRA.U.ANY", "0x10"), Kind::wait);
  EXPECT_EQ(kind("SYNCS.ARRIVE.TRANS64.A1T0", "RZ, [R2], RZ"), Kind::wait);
  EXPECT_EQ(kind("NOP", ""), Kind::nop);
  EXPECT_EQ(kind("LDS.128", "R4, [R5]"), Kind::other);
}

}  // namespace
}  // namespace moesaic::kernel_report
