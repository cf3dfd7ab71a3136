#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "emulator_bench.hpp"

// Launches: what orders grids, what overlaps, what a block takes of an SM; and registers that move between warps.
namespace moesaic::emulator {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

/// Kernels with a parameter `out` of words.
std::string entry(const std::string& name, const std::string& body, const std::string& directives = "") {
  return ".visible .entry " + name + "(.param .u64 out) " + directives +
         " {\n .reg .pred %p<8>; .reg .b32 %r<32>; .reg .b64 %rd<16>; ld.param.u64 %rd1, [out];\n"
         " cvta.to.global.u64 %rd1, %rd1; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %tid.x;\n" +
         body + "\n ret;\n}\n";
}

/// Kernels that write what they saw: word 0 is data, word 1 what a dependent read early, word 2 what it read in time.
std::string overlapped(const std::string& in_first = "griddepcontrol.launch_dependents;") {
  return entry("first", " mov.u32 %r3, 0; " + in_first + R"(
LOOP: add.u32 %r3, %r3, 1; ld.volatile.global.u32 %r4, [%rd1+12]; setp.lt.u32 %p1, %r3, 40; @%p1 bra LOOP;
 setp.ne.u32 %p2, %r1, 1; @%p2 exit; st.global.u32 [%rd1], 77;)") +
         entry("second", R"(
 ld.volatile.global.u32 %r3, [%rd1]; st.global.u32 [%rd1+4], %r3; griddepcontrol.wait;
 ld.volatile.global.u32 %r3, [%rd1]; st.global.u32 [%rd1+8], %r3;)");
}

class Grids {
 public:
  explicit Grids(const std::string& text, u64 seed = 1) : bench(text, card_options("gb10", seed)) {
    out = bench.upload(std::vector<u32>(64, 0));
  }
  u64 enqueue(const std::string& name, u32 blocks, const LaunchOrder& order, u32 threads = 32) {
    return bench.machine.enqueue(*bench.module.find_kernel(name),
                                 Launch{.grid = {blocks},
                                        .block = {threads},
                                        .dynamic_shared_bytes = 0,
                                        .parameters = std::as_bytes(std::span(&out, 1))},
                                 order);
  }
  std::vector<u32> words(std::size_t count) { return bench.download<u32>(out, count); }

  Bench bench;
  u64 out = 0;
};

LaunchOrder after(std::initializer_list<u64> launches) {
  LaunchOrder order;
  for (const u64 launch : launches) order.after.add(launch);
  return order;
}

TEST(GridSets, KeepRanges) {
  GridSet set;
  for (const u64 number : {5U, 7U, 6U, 1U, 2U, 9U}) set.add(number);
  GridSet other;
  other.add(3);
  other.add(4);
  EXPECT_FALSE(set.contains(3));
  EXPECT_FALSE(other.within(set));
  set.add(other);
  EXPECT_TRUE(other.within(set));
  for (u64 number = 0; number < 12; ++number)
    EXPECT_EQ(set.contains(number), number != 0 && number != 8 && number < 10);
  u64 sum = 0;
  set.for_each_from(6, [&](u64 number) { sum += number; });
  EXPECT_EQ(sum, 6U + 7 + 9);
}

TEST(Grids, ADependentMayStartEarlyAndWaits) {
  std::set<u32> early;
  for (u64 seed = 1; seed <= 40; ++seed) {
    Grids grids(overlapped(), seed);
    const u64 first = grids.enqueue("first", 3, {});
    LaunchOrder order;
    order.programmatic = {first};
    grids.enqueue("second", 1, order, 1);
    EXPECT_EQ(grids.words(1)[0], 0U) << "a launch is only noted";
    grids.bench.machine.run();
    const std::vector<u32> words = grids.words(3);
    early.insert(words[1]);
    EXPECT_EQ(words[2], 77U) << "seed " << seed;
  }
  EXPECT_EQ(early, (std::set<u32>{0, 77})) << "some seeds start it early, some do not";
  // Without launch_dependents, and without programmatic launch, it starts when the first has ended.
  for (u64 seed = 1; seed <= 10; ++seed) {
    for (const bool programmatic : {true, false}) {
      Grids grids(overlapped(programmatic ? "" : "griddepcontrol.launch_dependents;"), seed);
      const u64 first = grids.enqueue("first", 3, {});
      LaunchOrder order;
      if (programmatic) order.programmatic = {first};
      if (!programmatic) order.after.add(first);
      grids.enqueue("second", 1, order, 1);
      grids.bench.machine.run();
      EXPECT_EQ(grids.words(2)[1], 77U);
    }
  }
}

TEST(Grids, GridsThatNothingOrdersRunTogether) {
  // The first waits for what the second writes.
  const std::string text = entry("waits", R"(
SPIN: ld.acquire.gpu.global.u32 %r3, [%rd1]; setp.eq.u32 %p1, %r3, 0; @%p1 bra SPIN; st.global.u32 [%rd1+4], %r3;)") +
                           entry("writes", " st.release.gpu.global.u32 [%rd1], 5;");
  for (u64 seed = 1; seed <= 5; ++seed) {
    Grids grids(text, seed);
    grids.enqueue("waits", 2, {});
    grids.enqueue("writes", 1, {});
    grids.bench.machine.run();
    EXPECT_EQ(grids.words(2)[1], 5U);
  }
}

TEST(Grids, OrderIsKeptWhateverTheSeed) {
  const std::string text =
      entry("twice", " ld.global.u32 %r3, [%rd1]; shl.b32 %r3, %r3, 1; st.global.u32 [%rd1], %r3;") +
      entry("more", " ld.global.u32 %r3, [%rd1]; add.u32 %r3, %r3, 3; st.global.u32 [%rd1], %r3;") +
      entry("other", " atom.global.add.u32 %r3, [%rd1+4], 1;");
  for (u64 seed = 1; seed <= 20; ++seed) {
    Grids grids(text, seed);
    u64 last = grids.enqueue("more", 1, {}, 1);
    for (int i = 0; i < 4; ++i) {
      grids.enqueue("other", 3, {});
      last = grids.enqueue(i % 2 == 0 ? "twice" : "more", 1, after({last}), 1);
    }
    grids.bench.machine.run();
    EXPECT_EQ(grids.words(2), (std::vector<u32>{((3 * 2) + 3) * 2 + 3, 4 * 3 * 32}));
  }
}

TEST(Grids, AFaultEndsAllAndTheNextLaunchRuns) {
  Grids grids(entry("good", " st.global.u32 [%rd1], 1;") + entry("bad", " trap;"));
  const u64 bad = grids.enqueue("bad", 4, {});
  grids.enqueue("good", 1, after({bad}));
  EXPECT_THROW(grids.bench.machine.run(), Fault);
  EXPECT_EQ(grids.bench.machine.pending(), 0U);
  EXPECT_EQ(grids.words(1)[0], 0U);
  grids.enqueue("good", 1, after({bad}));
  grids.bench.machine.run();
  EXPECT_EQ(grids.words(1)[0], 1U);
}

TEST(Grids, ClustersOfSeveralBlocksAreRefusedByName) {
  Grids grids(entry("pair", "", ".reqnctapercluster 2") +
              entry("one", "", ".explicitcluster .reqnctapercluster 1, 1, 1"));
  grids.enqueue("one", 1, {});
  try {
    grids.enqueue("pair", 2, {});
    FAIL();
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::launch);
    EXPECT_NE(std::string(fault.what()).find("clusters of 2x1x1"), std::string::npos) << fault.what();
  }
}

int fits(const std::string& directives, u32 threads) {
  Grids grids(entry("k", "", directives));
  return grids.bench.machine.blocks_per_sm(
      *grids.bench.module.find_kernel("k"),
      Launch{.grid = {}, .block = {threads}, .dynamic_shared_bytes = 0, .parameters = {}});
}

TEST(Registers, LimitTheBlocksOfAnSm) {
  EXPECT_EQ(fits("", 128), 12) << "unknown registers are not counted";
  EXPECT_EQ(fits(".maxnreg 168", 384), 1);
  EXPECT_EQ(fits(".maxnreg 80", 384), 2);
  EXPECT_EQ(fits(".maxnreg 128", 128), 4);
  EXPECT_EQ(fits(".maxnreg 129", 128), 3) << "a warp gets registers in units of 256";
  EXPECT_EQ(fits(".maxnreg 168", 416), 0) << "13 warps: one partition of the SM would have to hold four";
  EXPECT_EQ(fits(".maxntid 256 .minnctapersm 3", 256), 3) << "80 registers";
  Grids grids(entry("k", "", ".maxnreg 255"));
  EXPECT_EQ(grids.bench.module.find_kernel("k")->registers_from, RegistersFrom::maxnreg);
  try {
    grids.enqueue("k", 1, {}, 512);
    FAIL();
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::resources);
    EXPECT_NE(std::string(fault.what()).find("512 threads of 255 registers"), std::string::npos) << fault.what();
  }
}

/// Three groups of four warps: the first gives registers away, the others take them.
std::string moving(u32 fewer, u32 more, const char* directives = ".maxnreg 168") {
  return entry("k",
               fmt::format(R"(
 setp.lt.u32 %p1, %r2, 128; @%p1 bra GIVE; setmaxnreg.inc.sync.aligned.u32 {1}; bra END;
GIVE: mov.u32 %r3, 0;
LOOP: add.u32 %r3, %r3, 1; setp.lt.u32 %p2, %r3, 500; @%p2 bra LOOP; setmaxnreg.dec.sync.aligned.u32 {0};
END: red.global.add.u32 [%rd1], 1;)",
                           fewer, more),
               directives);
}

TEST(Registers, MoveBetweenWarpsThroughThePool) {
  const auto fault = [](const std::string& text) {
    Grids grids(text);
    grids.enqueue("k", 1, {}, 384);
    try {
      grids.bench.machine.run();
    } catch (const Fault& caught) {
      return std::string(caught.what());
    }
    EXPECT_EQ(grids.words(1)[0], 384U);
    return std::string();
  };
  EXPECT_EQ(fault(moving(40, 232)), "");
  EXPECT_EQ(fault(moving(40, 240, "")), "") << "unknown registers are not counted";
  const std::string never = fault(moving(40, 240));
  EXPECT_NE(never.find("deadlock"), std::string::npos) << never;
  EXPECT_NE(never.find("setmaxnreg.inc.sync.aligned.u32 240"), std::string::npos) << never;
  EXPECT_NE(never.find("waits for 2304 registers; the block's pool has"), std::string::npos) << never;
  EXPECT_NE(fault(moving(40, 104)).find("not more"), std::string::npos);
  EXPECT_NE(fault(moving(176, 232)).find("not fewer"), std::string::npos);
  EXPECT_NE(fault(moving(20, 232)).find("multiples of 8 from 24 to 256"), std::string::npos);
}

TEST(Grids, RunningBlocksTakeTheWorkOfThoseThatHaveNotStarted) {
  // Each block counts its own coordinate, and those of the blocks that it cancels, until it gets none.
  const std::string text = entry("k", R"(
 .shared .align 16 .b128 answer; .shared .align 8 .b64 bar; .reg .b128 %a; .reg .b32 %x, %y, %z, %w, %phase;
 mov.u32 %r3, bar; mov.u32 %r4, answer; mov.u32 %r5, %ctaid.y; mov.u32 %r6, %nctaid.x; mad.lo.u32 %r1, %r5, %r6, %r1;
 mbarrier.init.shared.b64 [%r3], 1; fence.mbarrier_init.release.cluster; mov.u32 %phase, 0; mov.u32 %r9, 0;
WORK: mul.wide.u32 %rd2, %r1, 4; add.s64 %rd2, %rd1, %rd2; red.global.add.u32 [%rd2], 1; add.u32 %r9, %r9, 1;
 mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 16; fence.proxy.async.shared::cta;
 clusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::complete_tx::bytes.b128 [%r4], [%r3];
WAIT: mbarrier.try_wait.parity.shared.b64 %p1, [%r3], %phase; @!%p1 bra WAIT;
 ld.shared.b128 %a, [%r4]; xor.b32 %phase, %phase, 1;
 clusterlaunchcontrol.query_cancel.is_canceled.pred.b128 %p2, %a; @!%p2 bra END;
 clusterlaunchcontrol.query_cancel.get_first_ctaid.v4.b32.b128 {%x, %y, %z, _}, %a;
 clusterlaunchcontrol.query_cancel.get_first_ctaid::y.b32.b128 %w, %a; setp.ne.u32 %p3, %w, %y; @%p3 trap;
 mad.lo.u32 %r1, %y, %r6, %x; bra WORK;
END: red.global.max.u32 [%rd1+240], %r9;)");
  u32 most = 0;
  for (u64 seed = 1; seed <= 20; ++seed) {
    Grids grids(text, seed);
    grids.bench.machine.launch(*grids.bench.module.find_kernel("k"),
                               Launch{.grid = {7, 5},
                                      .block = {1},
                                      .dynamic_shared_bytes = 0,
                                      .parameters = std::as_bytes(std::span(&grids.out, 1))});
    const std::vector<u32> words = grids.words(61);
    for (u32 block = 0; block < 35; ++block) EXPECT_EQ(words[block], 1U) << "seed " << seed << ", block " << block;
    most = std::max(most, words[60]);
  }
  EXPECT_GT(most, 3U) << "blocks are really cancelled";
}

TEST(Lanes, MeetAtDifferentInstructionsOfOneKind) {
  // Both arms of a branch shuffle and vote with the lanes of the other arm.
  const std::string text = entry("k", R"(
 mul.wide.u32 %rd2, %r2, 4; add.s64 %rd2, %rd1, %rd2; setp.lt.u32 %p1, %r2, 16; xor.b32 %r9, %r2, 16;
 mul.lo.u32 %r3, %r2, 3; mul.lo.u32 %r4, %r2, 5; @%p1 bra LOW;
 shfl.sync.idx.b32 %r5|%p2, %r3, %r9, 31, -1; setp.gt.u32 %p3, %r2, 29; vote.sync.ballot.b32 %r6, %p3, -1; bra END;
LOW: add.u32 %r4, %r4, 1; shfl.sync.idx.b32 %r5|%p2, %r4, %r9, 31, -1; setp.eq.u32 %p4, %r2, 0;
 vote.sync.ballot.b32 %r6, %p4, 0xffffffff;
END: mad.lo.u32 %r5, %r5, 1000, %r6; and.b32 %r7, %r6, 1; shr.u32 %r6, %r6, 28; mul.lo.u32 %r6, %r6, 10;
 add.u32 %r6, %r6, %r7; st.global.u32 [%rd2], %r6; st.global.u32 [%rd2+128], %r5;)");
  for (u64 seed = 1; seed <= 5; ++seed) {
    Grids grids(text, seed);
    grids.enqueue("k", 1, {});
    grids.bench.machine.run();
    const std::vector<u32> words = grids.words(64);
    for (u32 lane = 0; lane < 32; ++lane) {
      const u32 source = lane ^ 16U;
      const u32 given = source < 16 ? 5 * source + 1 : 3 * source;
      EXPECT_EQ(words[lane], 10U * 0xc + 1) << lane;
      EXPECT_EQ(words[32 + lane], 1000 * given + 0xc0000001U) << lane;
    }
  }
}

TEST(Lanes, GroupsOfOneInstructionDoNotMeet) {
  // Quads of lanes, each with a mask of its own; in every second quad the last lane has left.
  const std::string text = entry("k", R"(
 mul.wide.u32 %rd2, %r2, 4; add.s64 %rd2, %rd1, %rd2; and.b32 %r3, %r2, 28; mov.u32 %r4, 15; shl.b32 %r4, %r4, %r3;
 and.b32 %r5, %r2, 7; setp.eq.u32 %p1, %r5, 7; @%p1 exit;
 redux.sync.add.u32 %r6, %r2, %r4; bar.warp.sync %r4; elect.sync %r7|%p2, %r4; selp.u32 %r8, 1000, 0, %p2;
 add.u32 %r6, %r6, %r8; st.global.u32 [%rd2], %r6;)");
  Grids grids(text);
  grids.enqueue("k", 1, {});
  grids.bench.machine.run();
  const std::vector<u32> words = grids.words(32);
  for (u32 lane = 0; lane < 32; ++lane) {
    const u32 first = lane & 28U;
    const u32 sum = 4 * first + 6 - (first % 8 == 4 ? first + 3 : 0);
    EXPECT_EQ(words[lane], lane % 8 == 7 ? 0 : sum + (lane % 4 == 0 ? 1000 : 0)) << lane;
  }
}

}  // namespace
}  // namespace moesaic::emulator
