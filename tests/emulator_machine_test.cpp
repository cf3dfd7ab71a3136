#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "emulator/tensor_map.hpp"
#include "emulator_bench.hpp"

// Threads together: divergence, warps, barriers, copies, and what seeds and host threads may change.
namespace moesaic::emulator {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

/// The global index of a thread in %t and the address of its word of buffer `out` in %o.
constexpr const char* kPrologue = R"(
 .reg .pred %p<8>; .reg .b32 %r<32>; .reg .b64 %rd<16>; .reg .b32 %t; .reg .b64 %o;
 mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.s32 %t, %r1, %r2, %r3;
 ld.param.u64 %rd1, [out]; cvta.to.global.u64 %rd1, %rd1; mul.wide.u32 %rd2, %t, 4; add.s64 %o, %rd1, %rd2;
)";

std::string kernel(const std::string& body) {
  return std::string(".visible .entry k(.param .u64 out) {") + kPrologue + body + "\n ret;\n}\n";
}

std::vector<u32> run(const std::string& body, u32 blocks, u32 threads, const Options& options = card_options()) {
  Bench bench(kernel(body), options);
  const u64 out = bench.upload(std::vector<u32>(std::size_t{blocks} * threads, 0));
  bench.launch("k", {blocks}, {threads}, {out});
  return bench.download<u32>(out, std::size_t{blocks} * threads);
}

TEST(Machine, LoopsWithEarlyExitsReconverge) {
  // Collatz steps, at most 50; after the loop all lanes of the warp must meet again for the shuffle.
  const std::vector<u32> got = run(R"(
 add.u32 %r4, %t, 1; mov.u32 %r5, 0;
LOOP: setp.eq.u32 %p1, %r4, 1; @%p1 bra DONE;
 setp.ge.u32 %p2, %r5, 50; @%p2 bra DONE;
 and.b32 %r6, %r4, 1; setp.eq.u32 %p3, %r6, 0; @%p3 bra EVEN;
 mad.lo.u32 %r4, %r4, 3, 1; bra NEXT;
EVEN: shr.u32 %r4, %r4, 1;
NEXT: add.u32 %r5, %r5, 1; bra LOOP;
DONE: shfl.sync.bfly.b32 %r7, %r5, 1, 31, -1;
 activemask.b32 %r8; popc.b32 %r8, %r8; shl.b32 %r8, %r8, 16;
 shl.b32 %r7, %r7, 8; or.b32 %r7, %r7, %r5; or.b32 %r7, %r7, %r8; st.global.u32 [%o], %r7;)",
                                   2, 96);
  const auto steps = [](u32 n) {
    u32 count = 0;
    for (; n != 1 && count < 50; ++count) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
    return count;
  };
  for (u32 i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], 32U << 16 | steps((i ^ 1U) + 1) << 8 | steps(i + 1)) << i;
}

TEST(Machine, LanesThatLeaveAreNotWaitedFor) {
  const std::vector<u32> got = run(R"(
 and.b32 %r4, %t, 3; setp.eq.u32 %p1, %r4, 0; @%p1 exit;
 vote.sync.ballot.b32 %r5, %p1, 0xeeeeeeee; activemask.b32 %r6; st.global.u32 [%o], %r6;
 bar.sync 0;)",
                                   1, 64);
  for (u32 i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], i % 4 == 0 ? 0U : 0xeeeeeeeeU) << i;
}

TEST(Machine, LanesSynchronizeFromDifferentInstructions) {
  // Both arms of a branch exchange words twice, each time past a barrier of its own; lane 31 has left.
  const std::string body = R"(
 .shared .align 4 .b32 words[32];
 setp.eq.u32 %p1, %r3, 31; @%p1 exit;
 mov.u32 %r4, words; shl.b32 %r5, %r3, 2; add.u32 %r5, %r4, %r5; xor.b32 %r6, %r3, 16; setp.eq.u32 %p4, %r6, 31;
 @%p4 mov.u32 %r6, 15; shl.b32 %r6, %r6, 2; add.u32 %r6, %r4, %r6; setp.lt.u32 %p2, %r3, 16; mov.u32 %r7, 0;
 @%p2 bra LOW;
HIGH: st.shared.u32 [%r5], %r3; bar.warp.sync -1; ld.shared.u32 %r8, [%r6]; bar.warp.sync -1;
 add.u32 %r7, %r7, 1; add.u32 %r3, %r3, 100; setp.lt.u32 %p3, %r7, 2; @%p3 bra HIGH;
 bra END;
LOW: st.shared.u32 [%r5], %r3; bar.warp.sync -1; ld.shared.u32 %r8, [%r6]; bar.warp.sync -1;
 add.u32 %r3, %r3, 100; add.u32 %r7, %r7, 1; setp.lt.u32 %p3, %r7, 2; @%p3 bra LOW;
END: st.global.u32 [%o], %r8;)";
  for (const u64 seed : {1U, 2U, 3U}) {
    const std::vector<u32> got = run(body, 1, 32, card_options("gb10", seed));
    for (u32 i = 0; i < 31; ++i) EXPECT_EQ(got[i], 100 + (i == 15 ? 15 : i ^ 16U)) << i;
  }
}

TEST(Machine, ALaneMaySpinOnWhatAnotherLaneOfItsWarpDoes) {
  // A spin lock taken by every lane: the holder stands behind the spinning lanes.
  const std::string text = R"(
.global .align 4 .u32 lock; .global .align 4 .u32 sum;
)" + kernel(R"(
SPIN: atom.global.cas.b32 %r4, [lock], 0, 1; setp.ne.u32 %p1, %r4, 0; @%p1 bra SPIN;
 ld.global.u32 %r5, [sum]; add.u32 %r5, %r5, 1; st.global.u32 [sum], %r5; membar.gl;
 atom.global.exch.b32 %r6, [lock], 0;)");
  for (const u64 seed : {1U, 2U}) {
    Bench bench(text, card_options("gb10", seed));
    const u64 out = bench.upload(std::vector<u32>{0});
    bench.launch("k", {2}, {64}, {out});
    EXPECT_EQ(bench.download<u32>(bench.module.find_variable("sum")->address, 1)[0], 128U);
  }
}

TEST(Machine, BlocksMayWaitForEarlierAndLaterResidentBlocks) {
  // A grid barrier on one host thread: every block must get to run although none has ended.
  const std::string text = ".global .align 4 .u32 come;\n" + kernel(R"(
 setp.ne.u32 %p1, %r3, 0; @%p1 bra WAIT; red.release.gpu.global.add.u32 [come], 1;
WAIT: ld.acquire.gpu.global.u32 %r4, [come]; setp.lt.u32 %p2, %r4, 6; @%p2 bra WAIT;
 st.global.u32 [%o], %r4;)");
  Bench bench(text);
  const u64 out = bench.upload(std::vector<u32>(6 * 32, 0));
  bench.launch("k", {6}, {32}, {out});
  EXPECT_EQ(bench.download<u32>(out, 6 * 32), std::vector<u32>(6 * 32, 6));
}

TEST(Machine, NoMoreBlocksThanTheCardHoldsRunAtOnce) {
  // Two SMs that hold a block each: blocks 0 and 1 wait for block 2, which never gets to run.
  const std::string text = ".global .align 4 .u32 flag = 0;\n" + kernel(R"(
 setp.eq.u32 %p1, %r1, 2; @%p1 st.global.u32 [flag], 1; @%p1 exit;
SPIN: ld.volatile.global.u32 %r4, [flag]; setp.eq.u32 %p2, %r4, 0; @%p2 bra SPIN;)");
  Options options = card_options("gb10", 1, 2);
  options.card.sms = 2;
  options.spin_limit = 1U << 18;
  for (int i = 0; i < 4; ++i) {
    Bench bench(text, options);
    EXPECT_THROW(bench.launch("k", {3}, {32}, {bench.upload(std::vector<u32>{0})}, 90'000), Fault);
  }
}

TEST(Machine, ShufflesFollowTheIsa) {
  for (const u32 width : {32U, 16U, 4U}) {
    const u32 segments = (32 - width) << 8;
    const std::string modes[] = {"up", "down", "bfly", "idx"};
    for (u32 mode = 0; mode < 4; ++mode) {
      for (const u32 by : {0U, 1U, 3U, 17U}) {
        const u32 control = segments | (mode == 0 ? 0 : 31);
        const std::vector<u32> got =
            run(fmt::format(
                    " mul.lo.u32 %r4, %t, 10; shfl.sync.{}.b32 %r5|%p1, %r4, {}, {}, -1; selp.u32 %r6, 1000, 0, %p1;"
                    " add.u32 %r5, %r5, %r6; st.global.u32 [%o], %r5;",
                    modes[mode], by, control),
                1, 32);
        for (u32 lane = 0; lane < 32; ++lane) {
          const int base = static_cast<int>(lane / width * width);
          const int place = static_cast<int>(lane % width);
          int source = place;
          if (mode == 0) source = place - static_cast<int>(by);
          if (mode == 1) source = place + static_cast<int>(by);
          if (mode == 2) source = static_cast<int>(lane ^ by) - base;
          if (mode == 3) source = static_cast<int>(by % width);
          const bool valid =
              mode == 2 ? source < static_cast<int>(width) : source >= 0 && source < static_cast<int>(width);
          const u32 from = valid ? static_cast<u32>(base + source) : lane;
          EXPECT_EQ(got[lane], 10 * from + (valid ? 1000 : 0)) << modes[mode] << " by " << by << " lane " << lane;
        }
      }
    }
  }
}

TEST(Machine, WarpsVoteElectAndReduce) {
  const std::vector<u32> got = run(R"(
 setp.lt.u32 %p1, %r3, 20; vote.sync.ballot.b32 %r4, %p1, -1; vote.sync.all.pred %p2, %p1, -1;
 vote.sync.any.pred %p3, %p1, -1; elect.sync %r5|%p4, -1; redux.sync.add.u32 %r6, %r3, -1;
 redux.sync.max.s32 %r7, %r3, -1; shr.u32 %r8, %r3, 2; match.any.sync.b32 %r9, %r8, -1;
 popc.b32 %r4, %r4; selp.u32 %r10, 1, 0, %p2; selp.u32 %r11, 2, 0, %p3; selp.u32 %r12, 4, 0, %p4;
 add.u32 %r10, %r10, %r11; add.u32 %r10, %r10, %r12; shl.b32 %r4, %r4, 8; or.b32 %r4, %r4, %r10;
 shl.b32 %r6, %r6, 16; or.b32 %r4, %r4, %r6; add.u32 %r4, %r4, %r7; popc.b32 %r9, %r9; add.u32 %r4, %r4, %r9;
 st.global.u32 [%o], %r4;)",
                                   1, 32);
  for (u32 lane = 0; lane < 32; ++lane)
    EXPECT_EQ(got[lane], (496U << 16 | 20U << 8 | 2U | (lane == 0 ? 4U : 0U)) + 31 + 4);
}

TEST(Machine, BarriersOfTheBlockReduceAndCount) {
  // A sum over the block by halving in shared memory, then bar.red, then a barrier of two of the four warps.
  const std::string body = R"(
 .shared .align 4 .b32 words[128];
 mov.u32 %r4, words; shl.b32 %r5, %r3, 2; add.u32 %r4, %r4, %r5; st.shared.u32 [%r4], %t; mov.u32 %r6, 64;
STEP: bar.sync 0; setp.ge.u32 %p1, %r3, %r6; @%p1 bra SKIP;
 shl.b32 %r7, %r6, 2; add.u32 %r7, %r4, %r7; ld.shared.u32 %r8, [%r7]; ld.shared.u32 %r9, [%r4];
 add.u32 %r9, %r9, %r8; st.shared.u32 [%r4], %r9;
SKIP: shr.u32 %r6, %r6, 1; setp.ne.u32 %p2, %r6, 0; @%p2 bra STEP;
 bar.sync 0; setp.lt.u32 %p3, %r3, 37; bar.red.popc.u32 %r10, 1, %p3; barrier.red.or.pred %p4, 2, !%p3;
 setp.ge.u32 %p5, %r3, 64; @%p5 bra LAST; barrier.sync 3, 64;
LAST: ld.shared.u32 %r11, [words]; mul.lo.u32 %r10, %r10, 1000000; add.u32 %r11, %r11, %r10;
 @!%p4 mov.u32 %r11, 0; st.global.u32 [%o], %r11;)";
  for (const u64 seed : {1U, 2U, 3U, 4U, 5U}) {
    const std::vector<u32> got = run(body, 3, 128, card_options("gb10", seed));
    for (u32 i = 0; i < got.size(); ++i) {
      const u32 first = i / 128 * 128;
      EXPECT_EQ(got[i], 128 * first + 127 * 64 + 37'000'000) << i;
    }
  }
}

TEST(Machine, AtomicsOfAllHostThreadsCount) {
  const std::string text = ".global .align 4 .u32 counts[16];\n" + kernel(R"(
 mov.u64 %rd3, counts; and.b32 %r4, %t, 15; mul.wide.u32 %rd4, %r4, 4; add.s64 %rd3, %rd3, %rd4;
 red.global.add.u32 [%rd3], 1; atom.global.max.u32 %r5, [counts], 0;)");
  Bench bench(text, card_options("gb10", 1, 4));
  const u64 out = bench.upload(std::vector<u32>{0});
  bench.launch("k", {200}, {64}, {out});
  const std::vector<u32> counts = bench.download<u32>(bench.module.find_variable("counts")->address, 16);
  EXPECT_EQ(counts, std::vector<u32>(16, 800));
}

TEST(Machine, FloatSumsFlushSubnormalsInGlobalMemoryOnly) {
  // Each line adds %r4 and then %r5 to a word that holds %r6; the generic form by the space that its address lies in.
  const auto sum = [](const std::string& line, u32 first, u32 second, u32 start) {
    const std::string body = fmt::format(R"(
 .shared .align 4 .b32 word; mov.u32 %r7, word; cvt.u64.u32 %rd3, %r7; cvta.shared.u64 %rd3, %rd3;
 mov.b32 %r4, {:#x}; mov.b32 %r5, {:#x}; mov.b32 %r6, {:#x}; st.shared.b32 [word], %r6; st.global.b32 [%o], %r6;
)",
                                         first, second, start);
    return run(body + line, 1, 1)[0];
  };
  const char* global[] = {"red.global.add.f32 [%o], %r4; atom.global.add.f32 %r8, [%o], %r5;",
                          "red.add.f32 [%o], %r4; atom.add.f32 %r8, [%o], %r5;"};
  const char* shared[] = {
      "red.shared.add.f32 [word], %r4; atom.shared.add.f32 %r8, [word], %r5; ld.shared.b32 %r8, [word]; "
      "st.global.b32 [%o], %r8;",
      "red.add.f32 [%rd3], %r4; atom.add.f32 %r8, [%rd3], %r5; ld.shared.b32 %r8, [word]; st.global.b32 [%o], %r8;"};
  constexpr u32 kMinimum = 0x00800000;  // the smallest normal f32
  for (const char* line : global) {
    EXPECT_EQ(sum(line, 1, 2, 0), 0U);                                      // inputs
    EXPECT_EQ(sum(line, 0x80000001, 0x80000000, 0x80000000), 0x80000000U);  // with their signs
    EXPECT_EQ(sum(line, 0, kMinimum, 5), kMinimum);                         // what memory held
    EXPECT_EQ(sum(line, 0, 0x80000000 | kMinimum, kMinimum + 1), 0U);       // results
    EXPECT_EQ(sum(line, 0, 0x80000001 | kMinimum, kMinimum), 0x80000000U);  // with their signs
    EXPECT_EQ(sum(line, 0x3f800000, 0x40000000, 0x3f800000), 0x40800000U);  // 1 + 1 + 2
  }
  for (const char* line : shared) {
    EXPECT_EQ(sum(line, 1, 2, 5), 8U);
    EXPECT_EQ(sum(line, 0, 0x80000001 | kMinimum, kMinimum), 0x80000001U);
  }
}

TEST(Machine, ReadsParametersLocalsAndConstantsByGenericAddresses) {
  const std::string text = R"(
.const .align 4 .u32 table[4] = {10, 20, 30, 40};
.visible .entry k(.param .u64 out, .param .align 64 .b8 block[128]) {
 .local .align 4 .b8 stack[32];
)" + std::string(kPrologue) +
                           R"(
 mov.b64 %rd3, block; cvta.param.u64 %rd3, %rd3; add.s64 %rd3, %rd3, 68; ld.u32 %r4, [%rd3];
 mov.u64 %rd4, stack; cvta.local.u64 %rd5, %rd4; and.b32 %r5, %r3, 3; mul.wide.u32 %rd6, %r5, 4;
 add.s64 %rd7, %rd4, %rd6; st.local.u32 [%rd7], %r3; add.s64 %rd8, %rd5, %rd6; ld.u32 %r6, [%rd8];
 mov.u64 %rd9, table; add.s64 %rd9, %rd9, %rd6; ld.const.u32 %r7, [%rd9]; ld.param.u32 %rd10, [block];
 cvt.u32.u64 %r8, %rd10; add.u32 %r4, %r4, %r6; add.u32 %r4, %r4, %r7; add.u32 %r4, %r4, %r8; st.global.u32 [%o], %r4;
 ret;
})";
  Bench bench(text);
  const u64 out = bench.upload(std::vector<u32>(32, 0));
  std::vector<u64> parameters(24, 0);  // out at 0, block at 64
  parameters[0] = out;
  const u32 first = 100000;
  const u32 second = 7000;
  std::memcpy(&parameters[8], &first, 4);
  std::memcpy(reinterpret_cast<char*>(&parameters[16]) + 4, &second, 4);
  bench.launch("k", {1}, {32}, parameters);
  const std::vector<u32> got = bench.download<u32>(out, 32);
  for (u32 i = 0; i < 32; ++i) EXPECT_EQ(got[i], 107000 + i + 10 * (i % 4 + 1));
}

// CUTLASS's pointer-array epilogues do so in the warps that store nothing. A map in no allocation is still an error.
TEST(Machine, LetsANullTensorMapBeAcquired) {
  Bench bench(R"(
.visible .entry k(.param .u64 out, .param .u64 map) {
)" + std::string(kPrologue) +
              R"(
 ld.param.u64 %rd3, [map]; fence.proxy.tensormap::generic.acquire.gpu [%rd3], 128; st.global.u32 [%o], %r3;
 ret;
})");
  const u64 out = bench.upload(std::vector<u32>(32, 99));
  bench.launch("k", {1}, {32}, std::vector<u64>{out, 0});
  const std::vector<u32> got = bench.download<u32>(out, 32);
  for (u32 i = 0; i < 32; ++i) EXPECT_EQ(got[i], i);
  EXPECT_THROW(bench.launch("k", {1}, {32}, std::vector<u64>{out, 0x1000}), Fault);
}

/// A producer warp fills a ring of 2 stages by tensor copies; two consumer warps add up what they find.
std::string ring_kernel() {
  return R"(
.visible .entry k(.param .align 64 .b8 map[128], .param .u64 out, .param .u32 tiles) {
 .reg .pred %p<8>; .reg .b32 %r<40>; .reg .b64 %rd<8>;
 .shared .align 1024 .b8 ring[4096];
 .shared .align 8 .b64 full[2]; .shared .align 8 .b64 empty[2];
 mov.u32 %r1, %tid.x; shr.u32 %r2, %r1, 5; ld.param.u32 %r3, [tiles]; mov.b64 %rd1, map; cvta.param.u64 %rd1, %rd1;
 mov.u32 %r10, ring; mov.u32 %r11, full; mov.u32 %r12, empty;
 setp.ne.u32 %p1, %r1, 0; @%p1 bra READY;
 prefetch.tensormap [%rd1];
 mbarrier.init.shared::cta.b64 [%r11], 1; mbarrier.init.shared::cta.b64 [%r11+8], 1;
 mbarrier.init.shared::cta.b64 [%r12], 2; mbarrier.init.shared::cta.b64 [%r12+8], 2;
 fence.mbarrier_init.release.cluster; fence.proxy.async.shared::cta;
READY: bar.sync 0;
 mov.u32 %r4, 0; mov.u32 %r20, 0;
 setp.ne.u32 %p2, %r2, 2; @%p2 bra CONSUME;
 elect.sync _|%p3, -1; @!%p3 bra END;
PRODUCE: setp.ge.u32 %p4, %r4, %r3; @%p4 bra END;
 and.b32 %r5, %r4, 1; shl.b32 %r6, %r5, 3; shr.u32 %r7, %r4, 1; and.b32 %r7, %r7, 1; xor.b32 %r7, %r7, 1;
 add.u32 %r8, %r12, %r6;
FREE: mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p5, [%r8], %r7; @!%p5 bra FREE;
 add.u32 %r9, %r11, %r6; mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%r9], 2048;
 shl.b32 %r13, %r5, 11; add.u32 %r13, %r10, %r13; shl.b32 %r14, %r4, 4;
 cp.async.bulk.tensor.2d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%r13], [%rd1, {0, %r14}], [%r9];
 add.u32 %r4, %r4, 1; bra PRODUCE;
CONSUME: setp.ge.u32 %p4, %r4, %r3; @%p4 bra STORE;
 and.b32 %r5, %r4, 1; shl.b32 %r6, %r5, 3; shr.u32 %r7, %r4, 1; and.b32 %r7, %r7, 1; add.u32 %r9, %r11, %r6;
WAIT: mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p5, [%r9], %r7; @!%p5 bra WAIT;
 shl.b32 %r13, %r5, 11; add.u32 %r13, %r10, %r13; shl.b32 %r14, %r1, 5; add.u32 %r13, %r13, %r14;
 ld.shared.v4.u32 {%r21, %r22, %r23, %r24}, [%r13]; ld.shared.v4.u32 {%r25, %r26, %r27, %r28}, [%r13+16];
 add.u32 %r21, %r21, %r22; add.u32 %r23, %r23, %r24; add.u32 %r25, %r25, %r26; add.u32 %r27, %r27, %r28;
 add.u32 %r21, %r21, %r23; add.u32 %r25, %r25, %r27; add.u32 %r21, %r21, %r25;
 mul.lo.u32 %r20, %r20, 3; add.u32 %r20, %r20, %r21;
 bar.warp.sync -1;
 and.b32 %r29, %r1, 31; setp.eq.u32 %p6, %r29, 0; add.u32 %r8, %r12, %r6;
 @%p6 mbarrier.arrive.release.cta.shared::cta.b64 _, [%r8];
 add.u32 %r4, %r4, 1; bra CONSUME;
STORE: ld.param.u64 %rd2, [out]; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd2, %rd2, %rd3; st.global.u32 [%rd2], %r20;
END: ret;
})";
}

TEST(Machine, ARingOfTensorCopiesDeliversEveryTileUnderEverySeed) {
  constexpr u32 kTiles = 9;
  constexpr u32 kRows = 16 * kTiles - 5;  // the last tile hangs over the edge
  std::vector<u32> matrix(std::size_t{kRows} * 32);
  std::iota(matrix.begin(), matrix.end(), 1U);
  std::vector<u32> expected(64, 0);
  for (u32 tile = 0; tile < kTiles; ++tile) {
    for (u32 thread = 0; thread < 64; ++thread) {
      u32 sum = 0;
      for (u32 i = 0; i < 8; ++i) {
        // The ISA's 128-byte swizzle: the 16-byte chunk of a line is XORed with the line's number modulo 8.
        const u32 byte = 32 * thread + 4 * i;
        const u32 line = byte / 128;
        const u32 chunk = (byte / 16 % 8) ^ (line % 8);
        const std::size_t row = std::size_t{16} * tile + line;
        if (row < kRows) sum += matrix[row * 32 + chunk * 4 + byte / 4 % 4];
      }
      expected[thread] = expected[thread] * 3 + sum;
    }
  }
  for (u64 seed = 1; seed <= 20; ++seed) {
    Bench bench(ring_kernel(), card_options("gb10", seed));
    TensorMap map{.type = TensorType::kU32, .rank = 2, .address = bench.upload(matrix)};
    map.dims = {32, kRows};
    map.strides_bytes = {0, 128};
    map.box = {32, 16};
    map.element_strides = {1, 1};
    map.swizzle = Swizzle::k128;
    const TensorMapBytes bytes = pack(map);
    std::vector<u64> parameters(18, 0);
    std::memcpy(parameters.data(), bytes.data(), bytes.size());
    const u64 out = bench.upload(std::vector<u32>(64, 0));
    parameters[16] = out;
    parameters[17] = kTiles;
    const Kernel& k = *bench.module.find_kernel("k");
    const Statistics statistics =
        bench.machine.launch(k, Launch{.grid = {},
                                       .block = {96},
                                       .dynamic_shared_bytes = 0,
                                       .parameters = std::as_bytes(std::span(parameters)).first(k.parameter_bytes)});
    EXPECT_EQ(bench.download<u32>(out, 64), expected) << "seed " << seed;
    EXPECT_EQ(statistics.copied_bytes, u64{kTiles} * 2048);
  }
}

TEST(Machine, CopiesHappenLateAndInAnyOrder) {
  // Looks at the destinations of two copies before it waits for them: a race, whose outcomes the seeds must show.
  const std::string text = R"(
.visible .entry k(.param .u64 in, .param .u64 out) {
 .reg .pred %p; .reg .b32 %r<16>; .reg .b64 %rd<4>; .shared .align 128 .b8 a[64]; .shared .align 128 .b8 b[64];
 .shared .b64 bar;
 ld.param.u64 %rd1, [in]; ld.param.u64 %rd2, [out]; mov.u32 %r1, a; mov.u32 %r2, b; mov.u32 %r3, bar; mov.u32 %r7, 0;
 mbarrier.init.shared.b64 [%r3], 1; mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 32;
 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1], 16, [%r3];
 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r2], [%rd1+16], 16, [%r3];
LOOP: ld.shared.u32 %r4, [%r1]; ld.shared.u32 %r5, [%r2]; add.u32 %r7, %r7, 1;
 setp.gt.u32 %p, %r7, 9; @%p bra SEEN;
 bra LOOP;
SEEN: st.global.v2.u32 [%rd2], {%r4, %r5};
WAIT: mbarrier.try_wait.parity.shared.b64 %p, [%r3], 0; @!%p bra WAIT;
 ld.shared.u32 %r4, [%r1]; ld.shared.u32 %r5, [%r2]; st.global.v2.u32 [%rd2+8], {%r4, %r5}; ret;
})";
  constexpr u32 kPoison = 0xffffffffU;
  int neither = 0;
  int first = 0;
  int second = 0;
  for (u64 seed = 1; seed <= 200; ++seed) {
    Bench bench(text, card_options("gb10", seed));
    const u64 in = bench.upload(std::vector<u32>{11, 0, 0, 0, 22, 0, 0, 0});
    const u64 out = bench.upload(std::vector<u32>(4, 0));
    bench.launch("k", {1}, {1}, {in, out});
    const std::vector<u32> got = bench.download<u32>(out, 4);
    EXPECT_EQ(got[2], 11U);
    EXPECT_EQ(got[3], 22U);
    neither += got[0] == kPoison && got[1] == kPoison ? 1 : 0;
    first += got[0] == 11 && got[1] == kPoison ? 1 : 0;
    second += got[0] == kPoison && got[1] == 22 ? 1 : 0;
  }
  EXPECT_GT(neither, 20);
  EXPECT_GT(first, 5);
  EXPECT_GT(second, 5);
}

TEST(Machine, AWaitForAPhaseMayEndBeforeThePhase) {
  // Thread 0 tries once; warp 1 ends the phase after it has counted to 1000. The ISA allows either answer, so seeds
  // must show both.
  const std::string body = R"(
 .shared .b64 bar; mov.u32 %r4, bar; setp.eq.u32 %p1, %r3, 0; @%p1 mbarrier.init.shared.b64 [%r4], 1; bar.sync 0;
 @%p1 bra TRY; setp.lt.u32 %p2, %r3, 32; @%p2 exit; mov.u32 %r5, 0;
COUNT: add.u32 %r5, %r5, 1; setp.lt.u32 %p2, %r5, 1000; @%p2 bra COUNT;
 setp.eq.u32 %p3, %r3, 32; @%p3 mbarrier.arrive.shared.b64 _, [%r4]; bra END;
TRY: mbarrier.try_wait.parity.shared.b64 %p4, [%r4], 0; selp.u32 %r6, 1, 2, %p4; st.global.u32 [%o], %r6;
END:)";
  int early = 0;
  int late = 0;
  for (u64 seed = 1; seed <= 300; ++seed) {
    const u32 got = run(body, 1, 64, card_options("gb10", seed))[0];
    early += got == 2 ? 1 : 0;
    late += got == 1 ? 1 : 0;
  }
  EXPECT_GT(early, 20);
  EXPECT_GT(late, 20);
}

TEST(Machine, OneSeedMeansOneResult) {
  // The order in which threads come is visible to this kernel.
  const std::string text =
      ".global .align 4 .u32 turn;\n" + kernel(" atom.global.add.u32 %r4, [turn], 1; st.global.u32 [%o], %r4;");
  const auto order = [&](u64 seed) {
    Bench bench(text, card_options("gb10", seed));
    const u64 out = bench.upload(std::vector<u32>(512, 0));
    bench.machine.memory().fill(bench.module.find_variable("turn")->address, std::byte{0}, 4);
    bench.launch("k", {2}, {256}, {out});
    return bench.download<u32>(out, 512);
  };
  EXPECT_EQ(order(5), order(5));
  EXPECT_NE(order(5), order(6));
}

TEST(Machine, CountsWhatItExecutes) {
  Bench bench(kernel(" setp.lt.u32 %p1, %r3, 10; @%p1 add.u32 %r4, %t, 1; @%p1 add.f32 %r5, %r5, %r5;"));
  const u64 out = bench.upload(std::vector<u32>{0});
  const Statistics statistics = bench.launch("k", {3}, {32}, {out});
  const auto lanes = [&](Class kind) { return statistics.lane_instructions[static_cast<std::size_t>(kind)]; };
  EXPECT_EQ(lanes(Class::floating), 30U);
  // mad, mul, add of the prologue, setp, and the guarded add on 10 lanes.
  EXPECT_EQ(lanes(Class::integer), 3U * (4 * 32 + 10));
}

}  // namespace
}  // namespace moesaic::emulator
