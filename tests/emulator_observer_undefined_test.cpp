// Values that nobody wrote: found where they matter, and only there.

#include "observer_bench.hpp"

namespace moesaic::emulator {
namespace {

constexpr auto kUndefined = Finding::Kind::undefined;

const std::string kSharedWords = ".shared .align 16 .b32 s[256];\n";
const std::string kStore = "\nmul.wide.u32 %rd8, %r0, 4;\nadd.u64 %rd8, %rd0, %rd8;\nst.global.u32 [%rd8], ";

/// Stores a register that `body` computes; %r9 is never written, %r10 has an undefined high half.
std::string stores(const std::string& body, const std::string& result) {
  return kernel_text(
      "mov.b32 {%h0, %h1}, %r0;\nmov.b32 %r10, {%h0, %h9};\nmov.u32 %r3, s;\n" + body + kStore + result + ";", 1,
      kSharedWords);
}

Trial one_warp() {
  return Trial{.block = {32}, .buffers = {std::vector<std::uint32_t>(256)}};
}

void expect_undefined(const std::string& body, const std::string& result) {
  SCOPED_TRACE(body);
  expect_finding(stores(body, result), one_warp(), kUndefined, "st.global.u32");
}

void expect_defined(const std::string& body, const std::string& result) {
  SCOPED_TRACE(body);
  expect_silence(stores(body, result), one_warp());
}

TEST(Undefined, ARegisterIsReportedWhereItIsStoredToGlobalMemory) {
  expect_undefined("", "%r9");
  expect_undefined("add.u32 %r4, %r9, 1;", "%r4");
  expect_defined("add.u32 %r4, %r9, 1;\nmov.u32 %r4, 5;", "%r4");
}

TEST(Undefined, BitsThatArePutTogetherAndTakenApartStayTheirOwn) {
  expect_undefined("", "%r10");
  expect_defined("and.b32 %r4, %r10, 0xffff;", "%r4");
  expect_undefined("and.b32 %r4, %r10, 0x1ffff;", "%r4");
  expect_defined("or.b32 %r4, %r10, 0xffff0000;", "%r4");
  expect_defined("shl.b32 %r4, %r10, 16;", "%r4");
  expect_undefined("shr.u32 %r4, %r10, 16;", "%r4");
  expect_defined("bfe.u32 %r4, %r10, 4, 12;", "%r4");
  expect_undefined("bfe.s32 %r4, %r10, 4, 13;", "%r4");
  expect_defined("prmt.b32 %r4, %r10, 0, 0x4410;", "%r4");
  expect_undefined("prmt.b32 %r4, %r10, 0, 0x4412;", "%r4");
  expect_defined("lop3.b32 %r4, %r10, 0xffff, 0, 0xc0;", "%r4");
  expect_defined("bfi.b32 %r4, %r0, %r10, 16, 16;", "%r4");
  expect_defined("mov.b32 {%h2, %h3}, %r10;\ncvt.u32.u16 %r4, %h2;", "%r4");
  expect_undefined("mov.b32 {%h2, %h3}, %r10;\ncvt.u32.u16 %r4, %h3;", "%r4");
  expect_defined("add.u32 %r4, %r10, 1;\nand.b32 %r4, %r4, 0xff;", "%r4");
  expect_defined("cvt.u16.u32 %h2, %r10;\ncvt.u32.u16 %r4, %h2;", "%r4");
}

TEST(Undefined, EachHalfOfAConvertedPairIsItsOwnSources) {
  const std::string convert = "mov.f32 %f1, 0f3F800000;\ncvt.rn.bf16x2.f32 %r4, ";
  expect_defined(convert + "%f9, %f1;\nand.b32 %r4, %r4, 0xffff;", "%r4");
  expect_undefined(convert + "%f9, %f1;\nshr.u32 %r4, %r4, 16;", "%r4");
  expect_defined(convert + "%f1, %f9;\nshr.u32 %r4, %r4, 16;", "%r4");
  expect_undefined(convert + "%f1, %f9;\nand.b32 %r4, %r4, 0x8000;", "%r4");
  const std::string codes =
      "mov.f32 %f1, 0f3F800000;\ncvt.rn.satfinite.e4m3x2.f32 %h2, %f9, %f1;\ncvt.u32.u16 %r4, %h2;\n";
  expect_defined(codes + "and.b32 %r4, %r4, 0xff;", "%r4");
  expect_undefined(codes + "and.b32 %r4, %r4, 0x1ff;", "%r4");
}

TEST(Undefined, PredicatesCarryIt) {
  expect_undefined("setp.eq.u32 %p0, %r9, 1;\nselp.b32 %r4, 1, 2, %p0;", "%r4");
  expect_undefined("setp.eq.u32 %p0, %r9, 1;\nmov.u32 %r4, 1;\n@%p0 mov.u32 %r4, 2;", "%r4");
  expect_defined(
      "setp.eq.u32 %p0, %r9, 1;\nsetp.eq.u32 %p1, %r0, 99;\nand.pred %p2, %p0, %p1;\nselp.b32 %r4, 1, 2, %p2;", "%r4");
}

TEST(Undefined, WhatDecidesIsReportedWhereItDecides) {
  const Trial run = one_warp();
  const auto text = [](const std::string& body) { return kernel_text(body, 1, kSharedWords); };
  expect_finding(text("setp.eq.u32 %p0, %r9, 1;\n@%p0 bra END;\nadd.u32 %r4, %r0, 1;\nEND:"), run, kUndefined, "bra");
  expect_finding(text("setp.eq.u32 %p0, %r9, 1;\n@%p0 st.global.u32 [%rd0], 1;"), run, kUndefined, "st.global");
  expect_finding(text("and.b32 %r4, %r9, 15;\nbar.sync %r4;"), Trial{.block = {32}, .buffers = {{0}}}, kUndefined,
                 "bar.sync");
  expect_finding(text("mov.u32 %r3, s;\nld.shared.u32 %r4, [%r3];\nand.b32 %r4, %r4, 60;\nadd.u32 %r4, %r4, %r3;\n"
                      "ld.shared.u32 %r5, [%r4];"),
                 run, kUndefined, "%r5, [%r4]");
}

TEST(Undefined, MemoryIsDefinedByteByByte) {
  const std::string mine = "shl.b32 %r4, %r0, 2;\nadd.u32 %r4, %r3, %r4;\n";
  expect_undefined(mine + "ld.shared.u32 %r5, [%r4];", "%r5");
  expect_defined(mine + "st.shared.u32 [%r4], 1;\nld.shared.u32 %r5, [%r4];", "%r5");
  expect_undefined(mine + "st.shared.u16 [%r4], 1;\nld.shared.u32 %r5, [%r4];", "%r5");
  expect_defined(mine + "st.shared.u16 [%r4], 1;\nld.shared.u16 %r5, [%r4];", "%r5");
  expect_undefined(mine + "st.shared.u16 [%r4], 1;\nld.shared.s8 %r5, [%r4+2];", "%r5");
  expect_undefined(mine + "st.shared.u32 [%r4], %r9;\nld.shared.u32 %r5, [%r4];", "%r5");
  expect_defined(mine + "st.shared.v2.u16 [%r4], {%h0, %h9};\nld.shared.u32 %r5, [%r4];\nand.b32 %r5, %r5, 0xffff;",
                 "%r5");
}

TEST(Undefined, LanesGiveWhatTheyHave) {
  const std::string odd = "and.b32 %r4, %r0, 1;\nsetp.eq.u32 %p0, %r4, 1;\n@%p0 mov.u32 %r5, %r0;\n";
  expect_undefined(odd + "shfl.sync.bfly.b32 %r6, %r5, 1, 31, 0xffffffff;", "%r6");
  expect_defined(odd + "shfl.sync.idx.b32 %r6, %r5, 7, 31, 0xffffffff;", "%r6");
  expect_undefined(odd + "shfl.sync.idx.b32 %r6, %r5, 6, 31, 0xffffffff;", "%r6");
  expect_undefined(odd + "redux.sync.add.u32 %r6, %r5, 0xffffffff;", "%r6");
}

TEST(Undefined, FreshGlobalMemoryIsUndefinedUntilItIsWritten) {
  Options options = card_options();
  options.checks = Checks::all();
  Bench bench(kernel_text("ld.global.u32 %r4, [%rd0];\nst.global.u32 [%rd1], %r4;", 2), options);
  const std::uint64_t from = bench.machine.memory().allocate(4);
  const std::uint64_t to = bench.machine.memory().allocate(4);
  bench.launch("k", {}, {}, {from, to});
  ASSERT_EQ(bench.machine.findings().size(), 1U);
  EXPECT_EQ(bench.machine.take_findings()[0].kind, kUndefined);
  bench.machine.memory().fill(from, std::byte{0}, 4);
  bench.launch("k", {}, {}, {from, to});
  EXPECT_TRUE(bench.machine.findings().empty());
}

/// A row of A that nobody wrote spoils its row of D, a column of B its column, and nothing else.
TEST(Undefined, AMultiplySpoilsOnlyWhatDependsOnIt) {
  // Lanes 4 g to 4 g + 3 hold rows g and g + 8; register 1 and 3 of A are of rows 8 to 15.
  const std::string zero =
      "mov.b32 %r20, 0;\nmov.b32 %r21, 0;\nmov.b32 %r22, 0;\nmov.b32 %r23, 0;\nmov.b32 %r24, 0;\n"
      "mov.b32 %r25, 0;\nmov.f32 %f0, 0f00000000;\n";
  const std::string multiply =
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f4,%f5,%f6,%f7}, {%r20,%r21,%r22,%r23}, {%r24,%r25}, "
      "{%f0,%f0,%f0,%f0};\n";
  const auto result = [](int f) { return "mov.b32 %r5, %f" + std::to_string(f) + ";"; };
  const std::string spoil_high_rows = "mov.b32 %r21, %r9;\n";
  expect_defined(zero + multiply + result(6), "%r5");
  expect_defined(zero + spoil_high_rows + multiply + result(4), "%r5");
  expect_undefined(zero + spoil_high_rows + multiply + result(6), "%r5");
  const std::string spoil_column_7 = "setp.ge.u32 %p0, %r2, 28;\n@%p0 mov.b32 %r24, %r9;\n";
  expect_defined(zero + spoil_column_7 + multiply + result(4), "%r5");
  expect_undefined(zero + spoil_column_7 + multiply + result(5), "%r5");
}

}  // namespace
}  // namespace moesaic::emulator
