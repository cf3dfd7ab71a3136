#include <gtest/gtest.h>

#include <string>

#include "emulator/machine.hpp"
#include "emulator/ptx.hpp"

namespace moesaic::emulator {
namespace {

constexpr const char* kHeader = ".version 9.0\n.target sm_120f\n.address_size 64\n";

std::string kernel(const std::string& body) {
  return std::string(kHeader) + ".visible .entry k()\n{\n" + body + "}\n";
}

Options options() {
  return Options{.card = *find_device("gb10"), .host_threads = 1};
}

/// Where the error of a text lies; {0, 0} when it loads.
ptx::Position position_of_error(const std::string& text) {
  Machine machine(options());
  try {
    machine.load(text);
  } catch (const ptx::SyntaxError& error) {
    const std::string place =
        "PTX line " + std::to_string(error.position.line) + ", column " + std::to_string(error.position.column) + ": ";
    EXPECT_EQ(std::string(error.what()).substr(0, place.size()), place);
    return error.position;
  }
  return {0, 0};
}

void expect_error_at(const std::string& text, std::uint32_t line, std::uint32_t column) {
  const ptx::Position found = position_of_error(text);
  EXPECT_EQ(found.line, line) << text;
  EXPECT_EQ(found.column, column) << text;
}

TEST(PtxParser, ReadsWhatAModuleDeclares) {
  const std::string text = std::string(kHeader) + R"(
.file 1 "a file.cu"
.extern .shared .align 16 .b8 window[];
.global .align 4 .b8 table[12] = {1, 2, 0xff};
.const .f32 pair[2][2] = {{0f3F800000, 2.0}, {-1.5}};
.global .u64 pointer = generic(table) ;
.visible .entry first(
  .param .u64 .ptr .global .align 8 a,
  .param .align 128 .b8 b[384]
)
.maxntid 160, 1, 1
.minnctapersm 2
.maxnreg 96
.pragma "nounroll";
{
  .loc 1 12 3, function_name $L__info, inlined_at 1 2 3
  /* a comment
     of two lines */ ret;
}
.func (.param .b32 r) helper(.param .b32 x) { { ret; } }
.entry second() .reqntid 8, 4, 2 { .shared .align 8 .b64 barrier[3]; .reg .b64 %rd<2>; mov.u64 %rd1, barrier; }
.section .debug_str { $L__info: .b8 1,2,3 }
)";
  Machine machine(options());
  const Module& module = machine.load(text);
  ASSERT_EQ(module.kernels.size(), 2U);
  const Kernel& first = *module.find_kernel("first");
  EXPECT_EQ(first.parameter_bytes, 512U);
  ASSERT_EQ(first.parameters.size(), 2U);
  EXPECT_EQ(first.parameters[1].offset, 128U);
  EXPECT_EQ(first.parameters[1].alignment, 128U);
  EXPECT_EQ(first.max_threads, 160U);
  EXPECT_EQ(first.min_blocks_per_sm, 2U);
  EXPECT_EQ(first.max_registers, 96U);
  const Kernel& second = *module.find_kernel("second");
  EXPECT_TRUE(second.exact_extent);
  EXPECT_EQ(second.required_extent.y, 4U);
  EXPECT_EQ(second.static_shared_bytes, 24U);
  EXPECT_EQ(module.find_kernel("helper"), nullptr);

  std::uint8_t table[12];
  machine.memory().read(table, module.find_variable("table")->address, sizeof table);
  EXPECT_EQ(table[1], 2);
  EXPECT_EQ(table[2], 0xff);
  EXPECT_EQ(table[3], 0);
  float pair[4];
  machine.memory().read(pair, module.find_variable("pair")->address, sizeof pair);
  EXPECT_EQ(pair[0], 1.0F);
  EXPECT_EQ(pair[1], 2.0F);
  EXPECT_EQ(pair[2], -1.5F);
  std::uint64_t pointer = 0;
  machine.memory().read(&pointer, module.find_variable("pointer")->address, sizeof pointer);
  EXPECT_EQ(pointer, module.find_variable("table")->address);
}

TEST(PtxParser, SaysWhereTextIsMalformed) {
  expect_error_at(std::string(kHeader) + ".entry k(\n", 5, 1);
  expect_error_at(std::string(kHeader) + "  .nonsense 3;", 4, 3);
  expect_error_at(std::string(kHeader) + ".global .b33 x;", 4, 9);
  expect_error_at(std::string(kHeader) + "/* no end", 4, 1);
  expect_error_at(std::string(kHeader) + ".file 1 \"no end", 4, 9);
  expect_error_at(std::string(kHeader) + ".global .b32 x = 09;", 4, 18);
  expect_error_at(std::string(kHeader) + ".global .b32 x[1] = {1, 2};", 4, 14);
  expect_error_at(std::string(kHeader) + ".global .b64 x = y;", 4, 18);
  expect_error_at(std::string(kHeader) + "#", 4, 1);
  expect_error_at(kernel("  mov.u32 %r1, 0;\n"), 6, 11);
  expect_error_at(kernel("  .reg .b32 %r<3>;\n  mov.u32 %r1, %r3;\n"), 7, 16);
  expect_error_at(kernel("  .reg .b32 %r<3>;\n  add.s32 %r1, %r2;\n"), 7, 3);
  expect_error_at(kernel("  .reg .b32 %r<3>;\n  .reg .b32 %r<3>;\n"), 7, 13);
  expect_error_at(kernel("  bra missing;\n"), 6, 7);
  expect_error_at(kernel("l:\nl:\n  ret;\n"), 7, 1);
  expect_error_at(kernel("  .reg .b32 %r<0>;\n"), 6, 13);
  expect_error_at(kernel("  .reg .b32 %r<2>;\n  @%r1 ret;\n"), 7, 3);
  expect_error_at(kernel("  ret\n"), 7, 1);
  expect_error_at(kernel("  .reg .b32 %r<2>;\n  mov.b32 %r1, 0f3F80;\n"), 7, 16);
  expect_error_at(kernel("  .reg .b32 %r<2>;\n  ld.global.u32 %r1, [{%r1}];\n"), 7, 22);
}

TEST(PtxParser, BoundsWhatATextMayAskFor) {
  // Extents whose product is 2^30 modulo 2^64.
  expect_error_at(std::string(kHeader) + ".global .b8 a[1073741824][17179869185];", 4, 39);
  expect_error_at(kernel("  .reg .b32 %r<1048577>;\n"), 6, 13);
  EXPECT_EQ(position_of_error(kernel("  .reg .b32 %r<1048575>;\n  .reg .pred %p;\n")).line, 0U);
  expect_error_at(kernel("  .reg .b32 %r<1048575>;\n  .reg .pred %p;\n  .reg .b64 %q;\n"), 8, 13);
  expect_error_at(kernel("  .reg .b32 %r<1048576>;\n  { .reg .b32 %r<1048576>; }\n"), 7, 15);
  // More than the card has: 2^38 bytes.
  Machine machine(options());
  EXPECT_THROW(machine.load(std::string(kHeader) + ".global .b8 a[274877906944];"), Error);
  EXPECT_EQ(machine.memory().used(), 0U);
}

TEST(PtxParser, NamesLiveInTheirBlocks) {
  expect_error_at(kernel("{ .reg .b32 %a; }\n mov.b32 %a, 0;\n"), 7, 10);
  expect_error_at(kernel("{ l: }\n bra l;\n"), 7, 6);
  EXPECT_EQ(position_of_error(kernel("{ .reg .b32 %a; bra l; l: mov.b32 %a, 0; }\n"
                                     "{ .reg .b64 %a; bra l; l: mov.b64 %a, 0; }\n"))
                .line,
            0U);
  EXPECT_EQ(position_of_error(kernel(".reg .b32 %a; { { .reg .b32 %b; mov.b32 %b, %a; } } ret;")).line, 0U);
}

TEST(PtxParser, AnInstructionItDoesNotKnowOnlyStopsItsKernel) {
  const std::string text = std::string(kHeader) +
                           ".entry good() { ret; }\n"
                           ".entry bad() {\n .reg .b32 %r<2>;\n frobnicate.u32 %r1, [%r0], {1, 2}, (x);\n}\n";
  Machine machine(options());
  const Module& module = machine.load(text);
  EXPECT_NO_THROW(machine.launch(*module.find_kernel("good"), Launch{}));
  try {
    machine.launch(*module.find_kernel("bad"), Launch{});
    FAIL() << "an unknown instruction ran";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::unsupported);
    EXPECT_EQ(fault.place.line, 7U);
    EXPECT_NE(std::string(fault.what()).find("frobnicate.u32 %r1"), std::string::npos);
  }
}

TEST(PtxParser, ARegisterThatNoEmulatedCardHasOnlyStopsItsKernel) {
  Machine machine(options());
  const Module& module = machine.load(std::string(kHeader) +
                                      ".entry good() { .reg .b32 %pm9; mov.u32 %pm9, 3; ret; }\n"
                                      ".entry bad() { .reg .b32 %r; mov.u32 %r, %pm3; }\n");
  EXPECT_NO_THROW(machine.launch(*module.find_kernel("good"), Launch{}));
  try {
    machine.launch(*module.find_kernel("bad"), Launch{});
    FAIL() << "it ran";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::unsupported);
    EXPECT_NE(std::string(fault.what()).find("no %pm3"), std::string::npos) << fault.what();
  }
}

/// Every truncation and many damaged copies of a text either load or are SyntaxErrors.
TEST(PtxParser, SurvivesDamagedText) {
  const std::string good = std::string(kHeader) + R"(.global .align 4 .b32 g[3] = {1, (2 << 3) - 5 ? 4 : 5};
.func (.param .b32 r) f(.param .align 4 .b8 x[8], .reg .u32 %n) { .reg .b32 %r<3>; ld.param.u32 %r1, [x+4];
 add.u32 %r1, %r1, %n; st.param.b32 [r+0], %r1; ret; }
.alias h, f;
.global .u8 m[2] = {0xff(g), 0xff00(generic(g))};
.entry j() { .reg .b32 %r<3>; .reg .b64 %rd<2>; .reg .v2 .b32 v; mov.u64 %rd1, f; mov.b32 v.x, v.y;
 { .param .align 4 .b8 a[8]; .param .b32 b; call (b), h, (a, %r1); p: .callprototype (.param .b32 _) _ ();
   call (b), %rd1, (a, 3), p; }
 s: .branchtargets A, B; brx.idx %r1, s; A: ret; B: trap; }
.visible .entry k(.param .align 8 .b8 p[16]) .maxntid 32 {
 .reg .pred %p<2>; .reg .b32 %r<4>; .reg .f32 %f<2>; .shared .b64 bar;
 ld.param.v2.u32 {%r1, %r2}, [p+8];
 setp.lt.and.s32 %p0|%p1, %r1, -5, !%p1;
$L1: @!%p0 bra $L1;
 { .reg .b32 t; mov.b32 t, 0x7f; fma.rn.f32 %f1, %f0, 0f3F800000, 1.5; }
 atom.global.add.u32 %r3, [g+-4], 1; /* c */ ret; }
)";
  ASSERT_EQ(position_of_error(good).line, 0U);
  const auto try_text = [](const std::string& text) {
    Machine machine(options());
    try {
      machine.load(text);
    } catch (const ptx::SyntaxError& error) {
      EXPECT_GT(error.position.line, 0U);
    }
  };
  for (std::size_t length = 0; length < good.size(); ++length) try_text(good.substr(0, length));
  std::uint64_t state = 1;
  const auto next = [&](std::size_t bound) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::size_t>(state >> 33) % bound;
  };
  const std::string letters = "{}[]()<>,;:@!|+-=.%_0x9aeE\"/* \n";
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (std::size_t change = 1 + next(4); change > 0; --change) {
      const std::size_t at = next(text.size());
      if (next(3) == 0) {
        text.erase(at, 1 + next(6));
      } else if (next(2) == 0) {
        text[at] = letters[next(letters.size())];
      } else {
        text.insert(at, good.substr(next(good.size()), next(20)));
      }
    }
    try_text(text);
  }
}

}  // namespace
}  // namespace moesaic::emulator
