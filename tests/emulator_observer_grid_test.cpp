// What the checks see of kernels that overlap, and what they count.

#include "observer_bench.hpp"

namespace moesaic::emulator {
namespace {

/// A kernel that writes a word, late, after it has let its dependents start; and a dependent one.
std::string pair_of_kernels(const std::string& dependent) {
  std::string first = kernel_text(
      "griddepcontrol.launch_dependents;\nmov.u32 %r3, 0;\nSPIN:\nadd.u32 %r3, %r3, 1;\nsetp.lt.u32 %p0, %r3, 200;\n"
      "@%p0 bra SPIN;\nst.global.u32 [%rd0], 7;",
      2);
  first.replace(first.find(" k("), 3, " first(");
  return first + kernel_text(dependent, 2);
}

std::vector<Finding> findings_of_pair(const std::string& dependent, std::uint64_t seed) {
  Options options = card_options("gb10", seed);
  options.checks = Checks::all();
  Bench bench(pair_of_kernels(dependent), options);
  const std::vector<std::uint64_t> parameters{bench.upload(std::vector<std::uint32_t>(4)),
                                              bench.upload(std::vector<std::uint32_t>(4))};
  const auto enqueue = [&](const char* name, const LaunchOrder& order) {
    const Launch launch{.grid = {}, .block = {}, .parameters = std::as_bytes(std::span(parameters))};
    return bench.machine.enqueue(*bench.module.find_kernel(name), launch, order);
  };
  LaunchOrder order;
  order.programmatic = {enqueue("first", {})};
  enqueue("k", order);
  bench.machine.run();
  return bench.machine.take_findings();
}

void expect_early(const std::string& dependent) {
  SCOPED_TRACE(dependent);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<Finding> findings = findings_of_pair(dependent, seed);
    ASSERT_EQ(findings.size(), 1U) << "seed " << seed;
    EXPECT_EQ(name_of(findings[0].kind), "early_read") << findings[0].sentence();
  }
}

TEST(OverlappedGrids, ReadingBeforeTheWaitIsFoundWhoeverComesFirst) {
  expect_early("ld.global.u32 %r3, [%rd0];\ngriddepcontrol.wait;\nst.global.u32 [%rd1], %r3;");
  expect_early("ld.global.u32 %r3, [%rd0];\nst.global.u32 [%rd1], %r3;");
  expect_early("st.global.u32 [%rd0], 3;\ngriddepcontrol.wait;");
}

TEST(OverlappedGrids, AfterTheWaitAllIsOrdered) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    for (const char* dependent :
         {"ld.global.u32 %r4, [%rd0+8];\ngriddepcontrol.wait;\nld.global.u32 %r3, [%rd0];\nst.global.u32 [%rd1], %r3;",
          "griddepcontrol.wait;\nst.global.u32 [%rd0], 3;"}) {
      for (const Finding& finding : findings_of_pair(dependent, seed)) FAIL() << finding.sentence();
    }
  }
}

TEST(OverlappedGrids, OneAfterAnotherIsOrdered) {
  Options options = card_options();
  options.checks = Checks::all();
  Bench bench(kernel_text("st.global.u32 [%rd0], %r0;", 1), options);
  const std::uint64_t words = bench.upload(std::vector<std::uint32_t>(1));
  bench.launch("k", {}, {}, {words});
  bench.launch("k", {}, {}, {words});
  EXPECT_TRUE(bench.machine.findings().empty());
}

Statistics counted(const std::string& body, const std::string& shared = {}) {
  Options options = card_options();
  options.checks = Checks::all();
  Bench bench(kernel_text(body, 1, shared), options);
  const std::uint64_t words = bench.upload(std::vector<std::uint32_t>(256));
  return bench.launch("k", {}, {32}, {words});
}

TEST(Counts, BytesAreCountedBySpace) {
  const Traffic traffic =
      counted(
          "mul.wide.u32 %rd8, %r0, 8;\nadd.u64 %rd8, %rd0, %rd8;\nld.global.v2.u32 {%r4, %r5}, [%rd8];\n"
          "mov.u32 %r3, s;\nshl.b32 %r6, %r0, 2;\nadd.u32 %r6, %r6, %r3;\nst.shared.u32 [%r6], %r4;",
          ".shared .align 16 .b32 s[32];\n")
          .traffic;
  EXPECT_EQ(traffic.global.read, 32U * 8);
  EXPECT_EQ(traffic.global.written, 0U);
  EXPECT_EQ(traffic.shared.written, 32U * 4);
  EXPECT_EQ(traffic.shared.read, 0U);
}

/// 32 banks of 4 bytes: a stride of 2 words asks half of them twice, of 32 words one bank 32 times; a word for all is
/// one wavefront.
TEST(Counts, BankConflictsFollowFromTheStride) {
  const auto taken = [](int stride, const std::string& type) {
    const Statistics statistics = counted("mov.u32 %r3, s;\nmul.lo.u32 %r6, %r0, " + std::to_string(stride) +
                                              ";\nadd.u32 %r6, %r6, %r3;\nst.shared." + type +
                                              (type == "u32" ? " [%r6], %r0;" : " [%r6], {%r0, %r0, %r0, %r0};"),
                                          ".shared .align 16 .b32 s[1024];\n");
    EXPECT_EQ(statistics.wavefronts.size(), 1U);
    const Wavefronts& wavefronts = statistics.wavefronts.begin()->second;
    return std::pair{wavefronts.needed, wavefronts.taken};
  };
  EXPECT_EQ(taken(4, "u32"), (std::pair<std::uint64_t, std::uint64_t>{1, 1}));
  EXPECT_EQ(taken(8, "u32"), (std::pair<std::uint64_t, std::uint64_t>{1, 2}));
  EXPECT_EQ(taken(128, "u32"), (std::pair<std::uint64_t, std::uint64_t>{1, 32}));
  EXPECT_EQ(taken(0, "u32"), (std::pair<std::uint64_t, std::uint64_t>{1, 1}));
  EXPECT_EQ(taken(16, "v4.u32"), (std::pair<std::uint64_t, std::uint64_t>{4, 4}));
  EXPECT_EQ(taken(128, "v4.u32"), (std::pair<std::uint64_t, std::uint64_t>{4, 32}));
}

TEST(Checks, AreReadByName) {
  EXPECT_EQ(parse_checks("all"), Checks::all());
  EXPECT_EQ(parse_checks("none"), Checks::none());
  EXPECT_EQ(parse_checks("races,undefined"), (Checks{.undefined = true, .races = true}));
  EXPECT_THROW(parse_checks("races,"), Error);
  EXPECT_THROW(parse_checks("race"), Error);
}

}  // namespace
}  // namespace moesaic::emulator
