// Races between threads of a block and between blocks: each bug is found, each right form is silent.

#include "observer_bench.hpp"

namespace moesaic::emulator {
namespace {

constexpr auto kRace = Finding::Kind::race;

const std::string kSharedWords = ".shared .align 16 .b32 s[256];\n";

/// Each thread writes its word of shared memory and reads that of thread ^ `partner`, after `between`.
std::string exchange(const std::string& between, int partner) {
  return kernel_text("mov.u32 %r3, s;\nshl.b32 %r4, %r0, 2;\nadd.u32 %r4, %r3, %r4;\nst.shared.u32 [%r4], %r0;\n" +
                         between + "\nxor.b32 %r5, %r0, " + std::to_string(partner) +
                         ";\nshl.b32 %r5, %r5, 2;\nadd.u32 %r5, %r3, %r5;\nld.shared.u32 %r6, [%r5];\n"
                         "shl.b32 %r7, %r0, 2;\ncvt.u64.u32 %rd8, %r7;\nadd.u64 %rd8, %rd0, %rd8;\n"
                         "st.global.u32 [%rd8], %r6;",
                     1, kSharedWords);
}

Trial block_of(std::uint32_t threads, std::uint32_t blocks = 1) {
  return Trial{.grid = {blocks}, .block = {threads}, .buffers = {std::vector<std::uint32_t>(1024)}};
}

TEST(BlockRaces, BarriersOrderThreads) {
  expect_finding(exchange("", 32), block_of(64), kRace, "ld.shared");
  expect_silence(exchange("bar.sync 0;", 32), block_of(64));
  expect_silence(exchange("barrier.sync 3, 64;", 32), block_of(64));
}

TEST(BlockRaces, LanesThatRunTogetherAreNotOrdered) {
  expect_finding(exchange("", 1), block_of(32), kRace, "ld.shared");
  expect_finding(exchange("shfl.sync.idx.b32 %r9, %r0, 0, 31, 0xffffffff;", 1), block_of(32), kRace, "ld.shared");
  expect_silence(exchange("bar.warp.sync 0xffffffff;", 1), block_of(32));
}

TEST(BlockRaces, OnlyTheLanesOfTheMaskAreOrdered) {
  const std::string halves =
      "setp.lt.u32 %p0, %r2, 16;\n@%p0 bra LOW;\nbar.warp.sync 0xffff0000;\nbra BOTH;\n"
      "LOW:\nbar.warp.sync 0xffff;\nBOTH:\n";
  expect_silence(exchange(halves, 1), block_of(32));
  expect_finding(exchange(halves, 16), block_of(32), kRace, "ld.shared");
}

TEST(BlockRaces, ArriveOrdersBeforeSyncButNotAfter) {
  // Warp 0 writes and arrives; warp 1 waits and reads.
  const auto text = [](const std::string& first, const std::string& second) {
    return kernel_text(
        "mov.u32 %r3, s;\nshl.b32 %r4, %r2, 2;\nadd.u32 %r4, %r3, %r4;\nsetp.ge.u32 %p0, %r0, 32;\n"
        "@%p0 bra SECOND;\nst.shared.u32 [%r4], %r0;\n" +
            first + "\nbra END;\nSECOND:\n" + second + "\nld.shared.u32 %r6, [%r4];\nEND:\n",
        1, kSharedWords);
  };
  expect_silence(text("bar.arrive 1, 64;", "bar.sync 1, 64;"), block_of(64));
  expect_finding(text("bar.sync 1, 64;", "bar.arrive 1, 64;"), block_of(64), kRace, "ld.shared");
}

TEST(BlockRaces, BytesOfOneWordBelongToThemselves) {
  const auto text = [](int step) {
    return kernel_text("mov.u32 %r3, s;\nmul.lo.u32 %r4, %r0, " + std::to_string(step) +
                           ";\nshr.u32 %r4, %r4, 1;\nadd.u32 %r4, %r3, %r4;\nst.shared.u8 [%r4], %r0;",
                       1, kSharedWords);
  };
  expect_silence(text(2), block_of(64));
  expect_finding(text(1), block_of(64), kRace, "st.shared.u8");
}

TEST(BlockRaces, AtomicsDoNotRaceWithEachOther) {
  const auto text = [](const std::string& access) {
    return kernel_text(
        "mov.u32 %r3, s;\nsetp.ne.u32 %p0, %r0, 0;\n@!%p0 st.shared.u32 [%r3], 0;\nbar.sync 0;\n" + access, 1,
        kSharedWords);
  };
  expect_silence(text("atom.shared.add.u32 %r4, [%r3], 1;"), block_of(96));
  expect_silence(text("red.shared.add.u32 [%r3], 1;"), block_of(96));
  expect_silence(text("st.volatile.shared.u32 [%r3], 1;"), block_of(96));
  expect_finding(text("@%p0 red.shared.add.u32 [%r3], 1;\n@!%p0 ld.shared.u32 %r5, [%r3];"), block_of(96), kRace,
                 "ld.shared");
}

/// Block 0 writes a word and raises a flag; block 1 spins on the flag and reads the word.
std::string hand_over(const std::string& before, const std::string& raise, const std::string& look,
                      const std::string& after) {
  return kernel_text("add.u64 %rd8, %rd0, 64;\nsetp.ne.u32 %p0, %r1, 0;\n@%p0 bra LOOK;\nst.global.u32 [%rd0], 7;\n" +
                         before + "\n" + raise + "\nbra END;\nLOOK:\n" + look +
                         "\nsetp.eq.u32 %p1, %r4, 0;\n@%p1 bra LOOK;\n" + after + "\nld.global.u32 %r5, [%rd0];\nEND:",
                     1);
}

TEST(GridRaces, ReleaseAndAcquireOrderBlocks) {
  const Trial run = block_of(1, 2);
  expect_silence(hand_over("", "st.release.gpu.global.u32 [%rd8], 1;", "ld.acquire.gpu.global.u32 %r4, [%rd8];", ""),
                 run);
  expect_silence(
      hand_over("", "atom.release.gpu.global.add.u32 %r6, [%rd8], 1;", "ld.acquire.gpu.global.u32 %r4, [%rd8];", ""),
      run);
  expect_silence(hand_over("membar.gl;", "st.volatile.global.u32 [%rd8], 1;", "ld.volatile.global.u32 %r4, [%rd8];",
                           "fence.acq_rel.gpu;"),
                 run);
  expect_silence(hand_over("fence.acq_rel.gpu;", "red.global.add.u32 [%rd8], 1;",
                           "ld.relaxed.gpu.global.u32 %r4, [%rd8];", "fence.acq_rel.gpu;"),
                 run);
}

TEST(GridRaces, ALostReleaseAcquireFenceOrScopeIsFound) {
  const Trial run = block_of(1, 2);
  const std::string release = "st.release.gpu.global.u32 [%rd8], 1;";
  const std::string relaxed = "st.relaxed.gpu.global.u32 [%rd8], 1;";
  const std::string acquire = "ld.acquire.gpu.global.u32 %r4, [%rd8];";
  const std::string polls = "ld.relaxed.gpu.global.u32 %r4, [%rd8];";
  expect_finding(hand_over("", relaxed, acquire, ""), run, kRace, "ld.global.u32 %r5");
  expect_finding(hand_over("", release, polls, ""), run, kRace, "ld.global.u32 %r5");
  expect_finding(hand_over("fence.acq_rel.gpu;", relaxed, polls, ""), run, kRace, "ld.global.u32 %r5");
  expect_finding(hand_over("", relaxed, polls, "fence.acq_rel.gpu;"), run, kRace, "ld.global.u32 %r5");
  expect_finding(hand_over("fence.acq_rel.cta;", relaxed, polls, "fence.acq_rel.gpu;"), run, kRace,
                 "ld.global.u32 %r5");
}

TEST(GridRaces, ANarrowScopeDoesNotReachAnotherBlock) {
  const Trial run = block_of(1, 2);
  const std::string text =
      hand_over("", "st.release.cta.global.u32 [%rd8], 1;", "ld.acquire.gpu.global.u32 %r4, [%rd8];", "");
  expect_finding(text, run, kRace, "ld.global.u32 %r5");
  const std::string counters = kernel_text("red.relaxed.SCOPE.global.add.u32 [%rd0], 1;", 1);
  const auto with = [&](const std::string& scope) {
    std::string changed = counters;
    return changed.replace(changed.find("SCOPE"), 5, scope);
  };
  expect_finding(with("cta"), run, kRace, "red");
  expect_silence(with("gpu"), run);
}

TEST(GridRaces, PlainAccessesOfTwoBlocksAreFoundInEitherOrder) {
  const std::string text =
      kernel_text("setp.ne.u32 %p0, %r1, WRITER;\n@!%p0 st.global.u32 [%rd0], 5;\n@%p0 ld.global.u32 %r5, [%rd0];", 1);
  for (const char* writer : {"0", "1"}) {
    std::string changed = text;
    changed.replace(changed.find("WRITER"), 6, writer);
    expect_finding(changed, block_of(1, 2), kRace, "global");
  }
  expect_silence(kernel_text("mul.wide.u32 %rd8, %r1, 4;\nadd.u64 %rd8, %rd0, %rd8;\nst.global.u32 [%rd8], 5;", 1),
                 block_of(1, 8));
}

}  // namespace
}  // namespace moesaic::emulator
