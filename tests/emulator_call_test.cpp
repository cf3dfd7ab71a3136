#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>

#include "emulator_bench.hpp"

// Functions: calls by name and by address, recursion, divergence through calls, printf and assertions; and what else
// the front end reads: jump tables, vector and 128-bit registers, constant expressions, source lines.
namespace moesaic::emulator {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

/// A kernel `k` whose threads store %r0 to word `thread` of its parameter.
std::string kernel(const std::string& body) {
  return R"(
.visible .entry k(.param .u64 out) {
 .reg .pred %p<8>; .reg .b32 %r<32>; .reg .b64 %rd<16>; .reg .f32 %f<8>; .reg .b32 %t; .reg .b64 %o;
 mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.s32 %t, %r1, %r2, %r3;
 ld.param.u64 %rd1, [out]; cvta.to.global.u64 %rd1, %rd1; mul.wide.u32 %rd2, %t, 4; add.s64 %o, %rd1, %rd2;
)" + body +
         "\n st.global.u32 [%o], %r0;\n ret;\n}\n";
}

std::vector<u32> run(const std::string& text, u32 threads = 32, u64 seed = 1) {
  Bench bench(text, card_options("gb10", seed));
  const u64 out = bench.upload(std::vector<u32>(threads, 0));
  bench.launch("k", {1}, {threads}, {out});
  return bench.download<u32>(out, threads);
}

/// call (r) function(x): %r0 = function(%t).
std::string call_of(const std::string& function, const std::string& more = "") {
  return " { .param .b32 x; .param .b32 r; st.param.b32 [x], %t; call (r), " + function + ", (x)" + more +
         "; ld.param.b32 %r0, [r]; }";
}

constexpr const char* kFunctions = R"(
.func (.param .b32 r) twice(.param .b32 x) { .reg .b32 %r<3>; ld.param.u32 %r1, [x]; shl.b32 %r2, %r1, 1;
 st.param.b32 [r+0], %r2; ret; }
.func (.param .b32 r) plus_seven(.param .b32 x) { .reg .b32 %r<3>; ld.param.u32 %r1, [x]; add.u32 %r2, %r1, 7;
 st.param.b32 [r+0], %r2; ret; }
.alias doubled, twice;
.func (.param .b32 r) fibonacci(.param .b32 x) {
 .local .align 4 .b8 depot[8]; .reg .b64 %rd<3>; .reg .pred %p; .reg .b32 %r<8>;
 mov.u64 %rd1, depot; ld.param.u32 %r1, [x]; st.local.u32 [%rd1+4], %r1; setp.gt.u32 %p, %r1, 1; @%p bra MORE;
 st.param.b32 [r], %r1; ret;
MORE: sub.u32 %r2, %r1, 1; sub.u32 %r3, %r1, 2;
 { .param .b32 a; .param .b32 b; st.param.b32 [a], %r2; call (b), fibonacci, (a); ld.param.b32 %r4, [b]; }
 { .param .b32 a; .param .b32 b; st.param.b32 [a], %r3; call (b), fibonacci, (a); ld.param.b32 %r5, [b]; }
 ld.local.u32 %r6, [depot+4]; setp.ne.u32 %p, %r6, %r1; @%p trap;
 add.u32 %r4, %r4, %r5; st.param.b32 [r], %r4; ret; }
)";

TEST(Calls, ByNameByAliasAndByAddress) {
  std::vector<u32> expected(32);
  for (u32 i = 0; i < 32; ++i) expected[i] = 2 * i;
  EXPECT_EQ(run(kFunctions + kernel(call_of("twice"))), expected);
  EXPECT_EQ(run(kFunctions + kernel(call_of("doubled"))), expected);
  // Odd lanes call another function than even ones, through a table in memory.
  for (u32 i = 1; i < 32; i += 2) expected[i] = i + 7;
  EXPECT_EQ(run(kFunctions + std::string(".global .align 8 .u64 table[2] = {twice, plus_seven};\n") +
                kernel(" and.b32 %r4, %t, 1; mul.wide.u32 %rd3, %r4, 8; mov.u64 %rd4, table; add.s64 %rd4, %rd4, %rd3;"
                       " ld.global.u64 %rd5, [%rd4]; p0: .callprototype (.param .b32 _) _ (.param .b32 _);" +
                       call_of("%rd5", ", p0"))),
            expected);
}

TEST(Calls, RecursionKeepsRegistersAndLocalVariablesOfEveryFrame) {
  std::vector<u32> expected(32);
  for (u32 i = 0; i < 32; ++i) {
    u32 a = 0;
    u32 b = 1;
    for (u32 n = 0; n < i % 9; ++n) b = std::exchange(a, b) + b;
    expected[i] = a;
  }
  const std::string text = kFunctions + kernel(" rem.u32 %t, %t, 9;" + call_of("fibonacci"));
  for (const u64 seed : {1U, 2U, 3U}) EXPECT_EQ(run(text, 32, seed), expected);
}

TEST(Calls, LanesMeetAgainAfterTheyReturn) {
  // Lanes come to the call from two places and leave the callee at two places; the ballot must see all of them.
  const std::string text = R"(
.func (.param .b32 r) halves(.param .b32 x) { .reg .pred %p; .reg .b32 %r<4>; ld.param.u32 %r1, [x];
 setp.lt.u32 %p, %r1, 8; @%p bra LOW; mov.u32 %r2, 100; st.param.b32 [r], %r2; ret;
LOW: st.param.b32 [r], %r1; ret; }
)" + kernel(call_of("halves") +
            " activemask.b32 %r5; popc.b32 %r5, %r5; mul.lo.u32 %r5, %r5, 1000;"
            " add.u32 %r0, %r0, %r5;");
  const std::vector<u32> got = run(text);
  for (u32 i = 0; i < 32; ++i) EXPECT_EQ(got[i], 32000 + (i < 8 ? i : 100)) << i;
}

TEST(Calls, PassStructuresAndRegisters) {
  // A structure of 12 bytes by value, a number as an argument, and parameters in registers.
  const std::string text = R"(
.func (.param .align 4 .b8 r[12]) turn(.param .align 4 .b8 s[12], .param .b32 by) { .reg .b32 %r<5>;
 ld.param.u32 %r1, [s]; ld.param.u32 %r2, [s+4]; ld.param.u32 %r3, [s+8]; ld.param.u32 %r4, [by];
 add.u32 %r1, %r1, %r4; st.param.b32 [r], %r2; st.param.b32 [r+4], %r3; st.param.b32 [r+8], %r1; ret; }
.func (.reg .u32 %res) mix(.reg .u32 %a, .reg .u32 %b) { mad.lo.u32 %res, %a, 3, %b; ret; }
)" + kernel(R"(
 { .param .align 4 .b8 a[12]; .param .align 4 .b8 b[12]; st.param.v2.b32 [a], {%t, %r2}; st.param.b32 [a+8], 5;
   call (b), turn, (a, 40); ld.param.b32 %r4, [b]; ld.param.b32 %r5, [b+4]; ld.param.b32 %r6, [b+8]; }
 call (%r7), mix, (%r4, %r6); add.u32 %r0, %r7, %r5;)");
  const std::vector<u32> got = run(text);
  for (u32 i = 0; i < 32; ++i) EXPECT_EQ(got[i], 3 * 32 + (i + 40) + 5) << i;
}

TEST(Calls, WhatIsWrongWithACallIsSaid) {
  const auto fault = [](const std::string& text) {
    try {
      run(text);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(fault(kernel(call_of("%rd1"))).find("address of no function"), std::string::npos);
  EXPECT_NE(fault(kernel(call_of("nobody"))).find("there is no function 'nobody'"), std::string::npos);
  EXPECT_NE(fault(kFunctions + kernel(" call twice, (%t, %t);")).find("takes 1 arguments"), std::string::npos);
  EXPECT_NE(fault(".extern .func elsewhere;\n" + kernel(" call elsewhere;")).find("'elsewhere' is not defined"),
            std::string::npos);
  EXPECT_NE(fault(R"(.func deep() { .local .b32 x[64]; call deep; ret; })" + kernel(" call deep;")).find("stack"),
            std::string::npos);
  // An instruction that is not known makes the launch fail when a function that is called by name has it...
  const std::string odd = ".func odd() {\n frobnicate.u32;\n ret; }\n";
  EXPECT_NE(fault(odd + kernel(" call odd;")).find("line 5 `frobnicate.u32`"), std::string::npos);
  // ...and when it is reached, where functions are called by address.
  const std::string by_address = odd + std::string(kFunctions) + ".global .u64 table[2] = {twice, odd};\n" +
                                 kernel(" ld.global.u64 %rd5, [table];" + call_of("%rd5"));
  EXPECT_EQ(fault(by_address), "");
}

TEST(Calls, PrintAndAssert) {
  const std::string text = R"(
.extern .func (.param .b32 r) vprintf(.param .b64 format, .param .b64 arguments);
.extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e);
.global .align 1 .b8 format[] = {37, 100, 32, 37, 53, 46, 50, 102, 32, 37, 115, 32, 37, 108, 108, 120, 37, 37, 10, 0};
.global .align 1 .b8 name[4] = {97, 98, 99};
)" + kernel(R"(
 .local .align 8 .b8 depot[32]; .reg .b64 %SP; .reg .b64 %SPL; mov.u64 %SPL, depot; cvta.local.u64 %SP, %SPL;
 setp.ne.u32 %p1, %t, 3; @%p1 bra DONE;
 st.local.u32 [%SPL], -5; mov.u64 %rd3, 4609434218613702656; st.local.u64 [%SPL+8], %rd3; mov.u64 %rd4, name;
 cvta.global.u64 %rd4, %rd4; st.local.u64 [%SPL+16], %rd4; mov.u64 %rd5, 0x123456789ab; st.local.u64 [%SPL+24], %rd5;
 mov.u64 %rd6, format; cvta.global.u64 %rd6, %rd6;
 { .param .b64 a; .param .b64 b; .param .b32 r; st.param.b64 [a], %rd6; st.param.b64 [b], %SP;
   call.uni (r), vprintf, (a, b); ld.param.b32 %r0, [r]; }
DONE: setp.ne.u32 %p2, %t, 40; @%p2 bra END;
 { .param .b64 a; .param .b64 b; .param .b32 c; .param .b64 d; .param .b64 e; st.param.b64 [a], %rd6;
   mov.u64 %rd4, name; st.param.b64 [a], %rd4; st.param.b64 [b], %rd4; st.param.b32 [c], 77; st.param.b64 [d], %rd4;
   st.param.b64 [e], 1; call.uni __assertfail, (a, b, c, d, e); }
END:)");
  std::string printed;
  Options options = card_options();
  options.print = [&](std::string_view line) { printed += line; };
  Bench bench(text, options);
  const u64 out = bench.upload(std::vector<u32>(64, 0));
  bench.launch("k", {1}, {32}, {out});
  EXPECT_EQ(printed, "-5  1.50 abc 123456789ab%\n");
  EXPECT_EQ(bench.download<u32>(out, 4)[3], 4U);
  try {
    bench.launch("k", {1}, {64}, {out});
    FAIL();
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::assertion);
    EXPECT_EQ(fault.place.lanes, 1U << 8);
    EXPECT_NE(std::string(fault.what()).find("abc:77: abc: assertion `abc` failed"), std::string::npos) << fault.what();
    EXPECT_NE(std::string(fault.what()).find("seed 1"), std::string::npos) << fault.what();
  }
}

TEST(Calls, JumpTablesSendEachLaneToItsLabel) {
  const std::string text = kernel(R"(
 and.b32 %r4, %t, 3; table: .branchtargets A, B, A, C; brx.idx %r4, table;
A: mov.u32 %r0, 10; bra END;
B: mov.u32 %r0, 20; bra END;
C: mov.u32 %r0, 30;
END: activemask.b32 %r5; popc.b32 %r5, %r5; add.u32 %r0, %r0, %r5;)");
  const std::vector<u32> got = run(text);
  const u32 values[] = {10, 20, 10, 30};
  for (u32 i = 0; i < 32; ++i) EXPECT_EQ(got[i], values[i % 4] + 32) << i;
  try {
    run(kernel(" table: .branchtargets A; brx.idx %t, table; A:"));
    FAIL();
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.place.lanes, 2U);
  }
}

TEST(FrontEnd, RegistersMayBeVectors) {
  const std::string text = R"(
.global .align 16 .u32 source[4] = {1, 20, 300, 4000};
)" + kernel(R"(
 .reg .v4 .b32 %v<2>; .reg .v2 .b32 pair; ld.global.v4.u32 %v1, [source]; mov.b32 pair.x, %v1.w; mov.b32 pair.y, %v1.r;
 add.u32 %r0, pair.x, pair.y; add.u32 %r0, %r0, %v1.y; .local .align 16 .b32 here[4]; st.local.v4.u32 [here], %v1;
 ld.local.u32 %r4, [here+8]; add.u32 %r0, %r0, %r4;)");
  EXPECT_EQ(run(text), std::vector<u32>(32, 4321));
}

TEST(FrontEnd, ConstantExpressionsAndMaskedAddresses) {
  const std::string text = R"(
.global .align 4 .u32 words[2*3 + (1 << 1)] = {(7 - 2) * 3, 0xff & ~0xf0, -7 / 2, 1 ? 5 : 6, WARP_SZ, -1 >> 1, 0xffffffffffffffff >> 63, !0 && 3};
.global .align 8 .u8 parts[8] = {0xff(words), 0xff00(words), 0xff0000(generic(words)), 0xff000000(words), 0xff00000000(words), 0xff0000000000(words)};
)" + kernel(R"(
 mul.wide.u32 %rd3, %t, 4; mov.u64 %rd4, words; ld.global.u64 %rd5, [parts]; setp.ne.u64 %p1, %rd4, %rd5; @%p1 trap;
 mov.u32 %r0, 0; setp.ge.u32 %p2, %t, 8; @%p2 bra END; add.s64 %rd4, %rd4, %rd3; ld.global.u32 %r0, [%rd4];
 END:)");
  const std::vector<u32> got = run(text);
  const std::vector<u32> expected{15, 15, static_cast<u32>(-3), 5, 32, static_cast<u32>(-1), 1, 1};
  EXPECT_EQ(std::vector<u32>(got.begin(), got.begin() + 8), expected);
}

TEST(FrontEnd, LongNamesAndNestedBlocks) {
  const std::string name(2000, 'n');
  const std::string text = kernel(" mov.u32 %r0, 1; { .reg .b32 " + name + "; L: mov.u32 " + name +
                                  ", 5; { .reg .b32 " + name + "; bra L; L: mov.u32 " + name +
                                  ", 7; add.u32 %r0, %r0, " + name + "; } add.u32 %r0, %r0, " + name + "; }");
  EXPECT_EQ(run(text), std::vector<u32>(32, 13));
}

TEST(FrontEnd, FaultsNameTheSourceLine) {
  try {
    run(".file 3 \"dir/kernel.cu\"\n" + kernel(" .loc 3 41 7\n setp.eq.u32 %p1, %t, 5;\n @%p1\n\t trap;"));
    FAIL();
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.place.source, "dir/kernel.cu:41");
    EXPECT_EQ(fault.place.instruction, "@%p1 trap");
    EXPECT_NE(std::string(fault.what()).find("(dir/kernel.cu:41)"), std::string::npos) << fault.what();
  }
}

TEST(FrontEnd, FaultsNameWhereTheSourceWasInlined) {
  // c.h:1 stands in b.h:2, which stands in a.cu:3; a.cu:9 has no .loc of its own.
  const auto source = [](const std::string& locations) {
    try {
      run(".file 1 \"a.cu\"\n.file 2 \"b.h\"\n.file 3 \"c.h\"\n" + kernel(locations + "\n trap;"));
    } catch (const Fault& fault) {
      return fault.place.source;
    }
    return std::string("no fault");
  };
  const std::string call = " .loc 1 3 5\n mov.u32 %r1, 1;\n";
  const std::string inner = " .loc 2 2 7, function_name f, inlined_at 1 3 5\n mov.u32 %r1, 1;\n";
  EXPECT_EQ(source(call + inner + " .loc 3 1 1, function_name g, inlined_at 2 2 7"),
            "c.h:1, inlined at b.h:2, inlined at a.cu:3");
  EXPECT_EQ(source(call + inner + " .loc 3 1 1, function_name g, inlined_at 1 9 5"), "c.h:1, inlined at a.cu:9");
  EXPECT_EQ(source(call + inner + " .loc 1 4 1"), "a.cu:4");
}

}  // namespace
}  // namespace moesaic::emulator
