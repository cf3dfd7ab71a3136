#include <fmt/format.h>
#include <gtest/gtest.h>

#include "observer_bench.hpp"

// Blocks that wait for one another, clusters of one block, and stacks that grow.
namespace moesaic::emulator {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

/// All blocks write a word each, meet as CUDA's cooperative groups do (the grid's workspace is where %envreg1 and
/// %envreg2 say) and read the word of the block opposite; twice. p0: words, p1: sums.
const char* const kMeeting = R"(
 .reg .b32 %lo, %hi; .reg .b64 %w;
 mov.u32 %hi, %envreg1; mov.u32 %lo, %envreg2; mov.b64 %w, {%lo, %hi}; add.u64 %w, %w, 4;
 mov.u32 %r10, %nctaid.x; mov.u32 %r20, 0; mov.u32 %r21, 0;
ROUND: mad.lo.u32 %r11, %r1, 5, %r21; add.u32 %r11, %r11, 3;
 mul.wide.u32 %rd10, %r1, 4; add.u64 %rd10, %rd10, %rd0; setp.ne.u32 %p0, %r0, 0;
 @!%p0 st.global.u32 [%rd10], %r11;
 barrier.sync 0;
 @%p0 bra MET;
 setp.eq.u32 %p1, %r1, 0; sub.u32 %r12, %r10, 1; sub.u32 %r12, 0x80000000, %r12; selp.b32 %r12, %r12, 1, %p1;
 atom.add.release.gpu.u32 %r13, [%w], %r12;
SPIN: ld.acquire.gpu.u32 %r14, [%w]; xor.b32 %r14, %r14, %r13; setp.ge.s32 %p2, %r14, 0; @%p2 bra SPIN;
MET: barrier.sync 0;
 sub.u32 %r15, %r10, 1; sub.u32 %r15, %r15, %r1; mul.wide.u32 %rd11, %r15, 4; add.u64 %rd11, %rd11, %rd0;
 ld.global.u32 %r16, [%rd11]; add.u32 %r20, %r20, %r16;
 mul.wide.u32 %rd12, %r10, 4; add.u64 %rd0, %rd0, %rd12; add.u32 %r21, %r21, 1; setp.lt.u32 %p3, %r21, 2;
 @%p3 bra ROUND;
 mul.wide.u32 %rd13, %r1, 4; add.u64 %rd13, %rd13, %rd1; @!%p0 st.global.u32 [%rd13], %r20;
)";

TEST(Cooperation, BlocksOfAGridMeet) {
  constexpr u32 kBlocks = 6;
  for (u64 seed = 1; seed <= 20; ++seed) {
    Options options = card_options("gb10", seed);
    options.card.sms = 2;
    options.checks = Checks::all();
    Bench bench(kernel_text(kMeeting, 2), options);
    const u64 words = bench.machine.memory().allocate(2 * 4 * kBlocks);
    const u64 sums = bench.upload(std::vector<u32>(kBlocks));
    const std::vector<u64> parameters{words, sums};
    const u64 used = bench.machine.memory().used();
    bench.machine.launch(*bench.module.find_kernel("k"), Launch{.grid = {kBlocks},
                                                                .block = {64},
                                                                .dynamic_shared_bytes = 0,
                                                                .cooperative = true,
                                                                .parameters = std::as_bytes(std::span(parameters))});
    const std::vector<u32> got = bench.download<u32>(sums, kBlocks);
    for (u32 block = 0; block < kBlocks; ++block) EXPECT_EQ(got[block], 2 * (5 * (kBlocks - 1 - block) + 3) + 1);
    for (const Finding& finding : bench.machine.take_findings()) ADD_FAILURE() << finding.sentence();
    EXPECT_EQ(bench.machine.memory().used(), used) << "the workspace is given back";
  }
}

TEST(Cooperation, AllBlocksMustFit) {
  Options options = card_options("gb10");
  options.card.sms = 2;
  Bench bench(kernel_text("", 0), options);
  Launch launch{.grid = {4}, .block = {768}, .dynamic_shared_bytes = 0, .cooperative = true, .parameters = {}};
  EXPECT_NO_THROW(bench.machine.launch(*bench.module.find_kernel("k"), launch));
  launch.grid = {5};
  try {
    bench.machine.launch(*bench.module.find_kernel("k"), launch);
    FAIL() << "5 blocks of 768 threads on two SMs";
  } catch (const Fault& fault) {
    EXPECT_NE(std::string(fault.what()).find("holds 4 of them at once"), std::string::npos) << fault.what();
  }
  launch.cooperative = false;
  EXPECT_NO_THROW(bench.machine.launch(*bench.module.find_kernel("k"), launch));
}

std::string complaint_of(const std::string& body, const Launch& launch, const std::string& shared = {}) {
  Bench bench(kernel_text(body, 0, shared));
  try {
    bench.machine.launch(*bench.module.find_kernel("k"), launch);
    return {};
  } catch (const Fault& fault) {
    return std::string(name_of(fault.kind)) + ": " + fault.what();
  }
}

TEST(Clusters, OnlyALaunchInClustersAddressesTheirMemory) {
  const std::string shared = ".shared .align 16 .b8 cells[64];\n.shared .align 8 .b64 full;\n";
  const std::string body =
      "mov.u32 %r10, cells; mov.u32 %r11, full; mbarrier.init.shared.b64 [%r11], 1;\n"
      "fence.proxy.async; mbarrier.arrive.expect_tx.shared.b64 _, [%r11], 16;\n";
  const std::string wait = "\nW: mbarrier.try_wait.parity.shared.b64 %p0, [%r11], 0; @!%p0 bra W;\n";
  for (const char* form :
       {"st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%r10], {%r0, %r0, %r0, %r0}, [%r11];",
        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r10+16], [%r10], 16, [%r11];"}) {
    Launch launch{.grid = {}, .block = {1}, .dynamic_shared_bytes = 0, .in_clusters = true, .parameters = {}};
    EXPECT_EQ(complaint_of(body + form + wait, launch, shared), "");
    launch.in_clusters = false;
    EXPECT_NE(complaint_of(body + form + wait, launch, shared).find("not launched in clusters"), std::string::npos);
  }
}

TEST(Clusters, TheirBarrierIsArrivedAtAndWaitedForInTurns) {
  const Launch launch{.grid = {}, .block = {64}, .dynamic_shared_bytes = 0, .parameters = {}};
  EXPECT_EQ(complaint_of("barrier.cluster.arrive; barrier.cluster.wait;", launch), "");
  EXPECT_NE(complaint_of("barrier.cluster.arrive; barrier.cluster.arrive;", launch).find("invalid"), std::string::npos);
  EXPECT_NE(complaint_of("barrier.cluster.wait;", launch).find("have not arrived"), std::string::npos);
  EXPECT_NE(
      complaint_of("setp.gt.u32 %p0, %r0, 40; @%p0 bar.sync 1; barrier.cluster.arrive; barrier.cluster.wait;", launch)
          .find("at the cluster's barrier"),
      std::string::npos);
}

/// Groups of several warps keep their barriers in shared memory that is none of the kernel's.
TEST(Cooperation, GroupsHaveSharedMemoryOfTheSystem) {
  const std::string body =
      "mov.u32 %r10, %reserved_smem_offset_1; mad.lo.u32 %r11, %r0, 8, %r10; st.shared.u32 [%r11], %r0;\n"
      "mov.u32 %r12, own; mov.u32 %r13, rest; mov.u32 %r14, 7; st.shared.u32 [%r12+60], %r14; st.shared.u32 [%r13], "
      "%r14;\nbarrier.sync 0; ld.shared.u32 %r15, [%r11]; mul.wide.u32 %rd8, %r0, 4; add.u64 %rd8, %rd8, %rd0;\n"
      "st.global.u32 [%rd8], %r15;";
  const std::string text =
      ".extern .shared .align 16 .b8 rest[];\n" + kernel_text(body, 1, ".shared .align 4 .b8 own[64];\n");
  Bench bench(text);
  EXPECT_EQ(bench.module.find_kernel("k")->static_shared_bytes, 64U);
  const u64 out = bench.upload(std::vector<u32>(36));
  bench.launch("k", {1}, {36}, {out}, 101'376 - 64);
  const std::vector<u32> got = bench.download<u32>(out, 36);
  for (u32 thread = 0; thread < 36; ++thread) EXPECT_EQ(got[thread], thread);
}

TEST(Calls, WhatPrintfGivesIsDefinedAndWhatItIsGivenIsLookedAt) {
  const std::string strings =
      ".extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);\n"
      ".global .align 1 .b8 format[4] = {37, 117, 10, 0};\n";
  const auto text = [&](const std::string& value) {
    return strings +
           kernel_text(value +
                           "st.local.u32 [depot], %r10; mov.u64 %rd8, depot; cvta.local.u64 %rd8, %rd8;\n"
                           "mov.u64 %rd9, format; cvta.global.u64 %rd9, %rd9;\n"
                           "{ .param .b64 a; .param .b64 b; .param .b32 r; st.param.b64 [a], %rd9; st.param.b64 [b], "
                           "%rd8; call (r), vprintf, (a, b); ld.param.b32 %r11, [r]; }\nst.global.u32 [%rd0], %r11;",
                       1, ".local .align 8 .b8 depot[8];\n");
  };
  for (const auto& [value, expected] : {std::pair("mov.u32 %r10, 5;\n", ""), std::pair("", "prints a value")}) {
    Options options = card_options();
    options.checks = Checks::all();
    std::string printed;
    options.print = [&](std::string_view more) { printed += more; };
    Bench bench(text(value), options);
    bench.launch("k", {1}, {1}, {bench.upload(std::vector<u32>(1))});
    std::string said;
    for (const Finding& finding : bench.machine.take_findings()) said += finding.sentence();
    EXPECT_EQ(said.empty(), std::string_view(expected).empty()) << said;
    EXPECT_NE(said.find(expected), std::string::npos) << said;
    EXPECT_EQ(said.find("it stores"), std::string::npos) << said;
    if (said.empty()) {
      EXPECT_EQ(printed, "5\n");
    }
  }
}

/// depth(n) = n == 0 ? 0 : 1 + depth(n - 1), with 64 bytes of its own.
const char* const kDepth = R"(
.func (.param .b32 r) depth(.param .b32 x) {
 .local .align 4 .b8 room[64]; .reg .pred %p; .reg .b32 %r<5>;
 ld.param.b32 %r1, [x]; st.local.u32 [room+60], %r1; setp.eq.u32 %p, %r1, 0; mov.u32 %r2, 0; @%p bra DONE;
 sub.u32 %r3, %r1, 1;
 { .param .b32 a; .param .b32 b; st.param.b32 [a], %r3; call (b), depth, (a); ld.param.b32 %r2, [b]; }
 ld.local.u32 %r4, [room+60]; setp.ne.u32 %p, %r4, %r1; @%p trap;
 add.u32 %r2, %r2, 1;
DONE: st.param.b32 [r], %r2; ret; }
)";

std::string text_of_depth(u32 depth) {
  return kDepth + kernel_text(fmt::format("mov.u32 %r10, {}; add.u32 %r10, %r10, %r0;\n"
                                          "{{ .param .b32 x; .param .b32 r; st.param.b32 [x], %r10; call (r), depth, "
                                          "(x); ld.param.b32 %r11, [r]; }}\n"
                                          "mul.wide.u32 %rd8, %r0, 4; add.u64 %rd8, %rd8, %rd0; st.global.u32 [%rd8], "
                                          "%r11;",
                                          depth),
                              1);
}

TEST(Stack, GrowsToWhatACardGivesAThread) {
  for (const Checks& checks : {Checks::none(), Checks::all()}) {
    Options options = card_options("gb10");
    options.checks = checks;
    Bench bench(text_of_depth(4000), options);
    const u64 out = bench.upload(std::vector<u32>(40));
    bench.launch("k", {1}, {40}, {out});
    const std::vector<u32> got = bench.download<u32>(out, 40);
    for (u32 thread = 0; thread < 40; ++thread) EXPECT_EQ(got[thread], 4000 + thread);
    EXPECT_TRUE(bench.machine.take_findings().empty());
  }
  Bench bench(text_of_depth(100'000));
  try {
    bench.launch("k", {1}, {1}, {bench.upload(std::vector<u32>(1))});
    FAIL() << "100,000 frames";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::out_of_bounds);
    EXPECT_NE(std::string(fault.what()).find("524288"), std::string::npos) << fault.what();
  }
}

}  // namespace
}  // namespace moesaic::emulator
