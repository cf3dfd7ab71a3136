#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "emulator/tensor_map.hpp"
#include "emulator_bench.hpp"

// Kernels that do what is forbidden: each must be stopped, and the report must say what, where and who.
namespace moesaic::emulator {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using Kind = Fault::Kind;

/// A kernel whose parameter `buf` is the address of 64 words; its body begins on line 7 of the text.
std::string kernel(const std::string& body) {
  return "\n.visible .entry k(.param .u64 buf, .param .align 64 .b8 map[128]) {\n"
         " .reg .pred %p<8>; .reg .b32 %r<16>; .reg .b64 %rd<16>; .shared .align 1024 .b8 tile[2048]; .shared .b64 "
         "bar;" +
         body + "\n ret;\n}\n";
}

struct Expected {
  Kind kind;
  u32 line;           ///< 0: not looked at
  std::string words;  ///< in the report
  u32 lanes = 0;      ///< 0: not looked at
};

/// Runs a body on 64 threads under several seeds; it must fault as expected each time.
void expect_fault(const std::string& body, const Expected& expected, std::uint64_t spin_limit = 1'000'000) {
  for (u64 seed = 1; seed <= 5; ++seed) {
    Options options = card_options("gb10", seed);
    options.spin_limit = spin_limit;
    Bench bench(kernel(body), options);
    std::vector<u64> parameters(24, 0);
    parameters[0] = bench.upload(std::vector<u32>(64, 1));
    TensorMap map{.type = TensorType::kU8, .rank = 2, .address = parameters[0]};
    map.dims = {128, 2};
    map.strides_bytes = {0, 128};
    map.box = {128, 8};
    map.element_strides = {1, 1};
    map.swizzle = Swizzle::k128;
    const TensorMapBytes bytes = pack(map);
    std::memcpy(&parameters[8], bytes.data(), bytes.size());
    try {
      bench.launch("k", {2}, {64}, parameters);
      FAIL() << body << "\nran to its end";
    } catch (const Fault& fault) {
      EXPECT_EQ(fault.kind, expected.kind) << fault.what();
      EXPECT_EQ(fault.place.kernel, "k");
      EXPECT_EQ(fault.place.block, 0U);
      if (expected.line != 0) {
        EXPECT_EQ(fault.place.line, expected.line) << fault.what();
      }
      if (expected.lanes != 0) {
        EXPECT_EQ(fault.place.lanes, expected.lanes) << fault.what();
      }
      EXPECT_NE(std::string(fault.what()).find(expected.words), std::string::npos) << fault.what();
    }
  }
}

constexpr const char* kAddress =
    "\n mov.u32 %r1, %tid.x; ld.param.u64 %rd1, [buf]; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd2, %rd1, %rd2;\n";

TEST(Faults, GlobalMemoryHasEnds) {
  expect_fault(std::string(kAddress) + " st.global.u32 [%rd2+64], %r1;",
               {Kind::out_of_bounds, 8, "no allocation", 1U << 16});
  expect_fault(std::string(kAddress) + " ld.global.u32 %r2, [%rd2+-4];", {Kind::out_of_bounds, 8, "no allocation", 1});
  expect_fault("\n mov.u64 %rd1, 0;\n ld.u32 %r2, [%rd1];", {Kind::out_of_bounds, 8, "0x0"});
  expect_fault(std::string(kAddress) + " ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd2];",
               {Kind::misaligned, 8, "16", 2});
  expect_fault(std::string(kAddress) + " atom.global.add.u64 %rd3, [%rd2], 1;", {Kind::misaligned, 8, "8", 2});
}

TEST(Faults, SharedLocalAndParameterMemoryHaveEnds) {
  expect_fault("\n mov.u32 %r1, tile;\n st.shared.u32 [%r1+4096], %r1;", {Kind::out_of_bounds, 8, "shared"});
  expect_fault("\n ld.shared.u32 %r1, [0];", {Kind::out_of_bounds, 7, "shared"});
  expect_fault("\n ld.param.u32 %r1, [map+128];", {Kind::out_of_bounds, 7, "parameter"});
  expect_fault("\n mov.b64 %rd1, map; cvta.param.u64 %rd1, %rd1;\n st.u32 [%rd1], %r1;",
               {Kind::out_of_bounds, 8, "read-only"});
  expect_fault("\n .local .b32 x; mov.u64 %rd1, x;\n ld.local.u32 %r1, [%rd1+16];", {Kind::out_of_bounds, 8, "local"});
}

TEST(Faults, MatrixRowsAndCopiesAreAligned) {
  expect_fault("\n mov.u32 %r1, tile;\n ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r1+8];",
               {Kind::misaligned, 8, "16"});
  const std::string init = R"(
 mov.u32 %r1, %tid.x; setp.ne.u32 %p1, %r1, 0; @%p1 exit; mov.u32 %r2, tile; mov.u32 %r3, bar;
 mbarrier.init.shared.b64 [%r3], 1; mov.b64 %rd1, map; cvta.param.u64 %rd1, %rd1; mov.u32 %r4, 0;
)";
  const auto copy = [&](const char* to, const char* map, const char* y, const char* barrier, int x = 0) {
    return init + fmt::format(
                      " cp.async.bulk.tensor.2d.shared::cta.global.mbarrier::complete_tx::bytes [{}], [{}, {{{}, "
                      "{}}}], [{}];\n"
                      " WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [%r3], 0; @!%p2 bra WAIT;",
                      to, map, x, y, barrier);
  };
  expect_fault(copy("%r2+64", "%rd1", "0", "%r3"), {Kind::misaligned, 9, "multiple of 128"});
  expect_fault(copy("%r2", "%rd1+32", "0", "%r3"), {Kind::misaligned, 9, "64"});
  expect_fault(copy("%r2", "%rd1", "0", "%r3+4"), {Kind::misaligned, 9, "multiple of 8"});
  expect_fault(copy("%r2+1152", "%rd1", "0", "%r3"), {Kind::out_of_bounds, 9, "shared"});
  expect_fault(copy("%r2", "%rd1", "0", "%r2"), {Kind::invalid, 9, "no mbarrier"});
  expect_fault(copy("%r2", "%rd1", "0", "%r3", 7), {Kind::invalid, 9, "no multiple of 16 bytes"});
  // The tensor that the map describes ends after its allocation: seen when the copy happens.
  expect_fault(init +
                   " mov.u32 %r5, 1;\n"
                   " cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r2], [%rd1], 64, [%r3];",
               {Kind::out_of_bounds, 10, "no allocation"});
}

TEST(Faults, ATensorMapMustBeOne) {
  expect_fault(R"(
 mov.u32 %r1, %tid.x; setp.ne.u32 %p1, %r1, 0; @%p1 exit; mov.u32 %r2, tile; mov.u32 %r3, bar;
 mbarrier.init.shared.b64 [%r3], 1; ld.param.u64 %rd1, [buf];
 cp.async.bulk.tensor.2d.shared::cta.global.mbarrier::complete_tx::bytes [%r2], [%rd1, {0, 0}], [%r3];)",
               {Kind::invalid, 9, "tensor map", 1});
  // A null one may be acquired: the kernel goes on to its trap.
  const std::string acquire = " fence.proxy.tensormap::generic.acquire.gpu [%rd1], 128;\n trap;";
  expect_fault("\n mov.u64 %rd1, 0;\n" + acquire, {Kind::trap, 9, ""});
  expect_fault("\n mov.u64 %rd1, 128;\n" + acquire, {Kind::out_of_bounds, 8, "128 bytes"});
}

TEST(Faults, DeadlocksSayWhoWaitsForWhat) {
  // One of two warps never comes.
  expect_fault("\n mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 32;\nL: @%p1 bar.sync 3, 64; @!%p1 bar.sync 2, 64;",
               {Kind::deadlock, 0, "barrier 3 for 64 threads"});
  // A phase that nobody completes: bytes are pending.
  expect_fault(R"(
 mov.u32 %r1, %tid.x; mov.u32 %r3, bar; setp.ne.u32 %p1, %r1, 0;
 @!%p1 mbarrier.init.shared.b64 [%r3], 2; bar.sync 0;
 @!%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 512;
WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [%r3], 0; @!%p2 bra WAIT;)",
               {Kind::deadlock, 0, "with 1 of 2 arrivals and 512 bytes pending"});
  // Half a warp waits for the other half, which waits at a barrier.
  expect_fault(
      "\n mov.u32 %r1, %laneid; setp.lt.u32 %p1, %r1, 16; @%p1 bra LOW;\n bar.sync 0; bra END;\n"
      "LOW: bar.warp.sync -1; bra END;\nEND:",
      {Kind::deadlock, 0, "waits for lanes 0xffff0000"});
  // Two barriers of the warp whose masks differ are not one barrier.
  expect_fault(
      "\n mov.u32 %r1, %laneid; setp.lt.u32 %p1, %r1, 16; @%p1 bra LOW;\n bar.warp.sync -1; bra END;\n"
      "LOW: bar.warp.sync 0x1ffff; bra END;\nEND:",
      {Kind::deadlock, 0, "waits for lanes"});
}

TEST(Faults, GivingUpAWaitIsNoDeadlock) {
  Bench bench(kernel(R"(
 mov.u32 %r1, %tid.x; mov.u32 %r3, bar; mov.u32 %r4, 0; setp.ne.u32 %p1, %r1, 0;
 @!%p1 mbarrier.init.shared.b64 [%r3], 1; bar.sync 0;
WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [%r3], 0; add.u32 %r4, %r4, 1; setp.lt.and.u32 %p2, %r4, 1000, !%p2;
 @%p2 bra WAIT;
 ld.param.u64 %rd1, [buf]; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd1, %rd2; st.global.u32 [%rd1], %r4;)"));
  std::vector<u64> parameters(24, 0);
  parameters[0] = bench.upload(std::vector<u32>(64, 1));
  bench.launch("k", {1}, {64}, parameters);
  EXPECT_EQ(bench.download<u32>(parameters[0], 64), std::vector<u32>(64, 1000));
}

TEST(Faults, ASpinThatNothingEndsIsALivelock) {
  expect_fault(
      std::string(kAddress) + "SPIN: ld.volatile.global.u32 %r2, [%rd1]; setp.ne.u32 %p1, %r2, 7; @%p1 bra SPIN;",
      {Kind::livelock, 0, "livelock"});
  expect_fault("\nSPIN: bra SPIN;", {Kind::livelock, 0, "bra SPIN"});
}

TEST(Faults, BarriersAreUsedConsistently) {
  expect_fault(
      "\n mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 32; selp.u32 %r2, 64, 32, %p1; mov.u32 %r3, 0;\n"
      " @%p1 bar.sync 1, 64; @!%p1 bar.sync 1, 96;",
      {Kind::invalid, 0, "barrier"});
  expect_fault(
      "\n mov.u32 %r3, bar; mbarrier.init.shared.b64 [%r3], 1; bar.warp.sync -1;\n"
      " mbarrier.arrive.shared.b64 _, [%r3], 2;",
      {Kind::invalid, 8, "more threads arrive"});
  expect_fault("\n mov.u32 %r3, bar;\n mbarrier.arrive.shared.b64 _, [%r3];", {Kind::invalid, 8, "no mbarrier"});
  expect_fault("\n bar.sync 16;", {Kind::invalid, 7, "0 to 15"});
  expect_fault("\n mov.u32 %r1, %laneid; setp.gt.u32 %p1, %r1, 3;\n @%p1 vote.sync.any.pred %p2, %p1, 0xff;",
               {Kind::invalid, 8, "member mask"});
}

TEST(Faults, TrapsAndWrongLaunchesAreReported) {
  expect_fault("\n mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 37;\n @%p1 trap;", {Kind::trap, 8, "trap", 1U << 5});
  Bench bench(kernel(""));
  const Kernel& k = *bench.module.find_kernel("k");
  const std::vector<u64> parameters(24, 0);
  const auto refused = [&](Launch launch) {
    try {
      bench.machine.launch(k, launch);
      return std::string();
    } catch (const Fault& fault) {
      EXPECT_EQ(fault.kind, Kind::launch);
      return std::string(fault.what());
    }
  };
  const auto bytes = std::as_bytes(std::span(parameters));
  EXPECT_EQ(refused({.grid = {}, .block = {}, .dynamic_shared_bytes = 0, .parameters = bytes}), "");
  EXPECT_NE(refused({.grid = {}, .block = {}, .dynamic_shared_bytes = 0, .parameters = bytes.first(8)}).find("192"),
            std::string::npos);
  EXPECT_NE(refused({.grid = {}, .block = {1025}, .dynamic_shared_bytes = 0, .parameters = bytes}).find("1 to 1024"),
            std::string::npos);
  EXPECT_NE(refused({.grid = {0}, .block = {}, .dynamic_shared_bytes = 0, .parameters = bytes}).find("grid"),
            std::string::npos);
  EXPECT_NE(refused({.grid = {}, .block = {}, .dynamic_shared_bytes = 101376, .parameters = bytes}).find("101376"),
            std::string::npos);
}

TEST(Faults, TheLowestFaultingBlockIsReported) {
  for (const int host_threads : {1, 4}) {
    Bench bench(
        "\n.entry k() { .reg .pred %p; .reg .b32 %r; mov.u32 %r, %ctaid.x; setp.ge.u32 %p, %r, 5; @%p trap; ret; }",
        card_options("gb10", 1, host_threads));
    try {
      bench.machine.launch(*bench.module.find_kernel("k"),
                           Launch{.grid = {50}, .block = {32}, .dynamic_shared_bytes = 0, .parameters = {}});
      FAIL();
    } catch (const Fault& fault) {
      EXPECT_EQ(fault.place.block, 5U);
    }
  }
}

TEST(Memory, KnowsItsAllocations) {
  GlobalMemory memory(1 << 20);
  const u64 a = memory.allocate(100);
  const u64 b = memory.allocate(0);
  EXPECT_EQ(a % 256, 0U);
  EXPECT_NE(a, b);
  std::byte poison{};
  memory.read(&poison, a + 99, 1);
  EXPECT_EQ(poison, GlobalMemory::kPoison);
  EXPECT_THROW(memory.read(&poison, a + 100, 1), Error);
  EXPECT_THROW(memory.allocate(1 << 20), Error);
  EXPECT_EQ(memory.used(), 101U);
  memory.free(a);
  EXPECT_THROW(memory.free(a), Error);
  EXPECT_THROW(memory.write(a, &poison, 1), Error);
  EXPECT_EQ(memory.find(a, 1), nullptr);
}

}  // namespace
}  // namespace moesaic::emulator
