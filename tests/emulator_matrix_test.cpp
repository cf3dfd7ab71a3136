#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "emulator_bench.hpp"
#include "spec/formats.hpp"

// Where elements of matrices lie in the registers of a warp, by the ISA's tables. The sums are exact here: how they are
// rounded is for tensor_core_test and silicon_test.
namespace moesaic::emulator {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

TEST(Matrices, AreLoadedAndMultipliedAsTheIsaLaysThemOut) {
  // One warp: A [16, 16] and B [8, 16] f16 by ldmatrix from shared memory, D stored by the ISA's map.
  const std::string text = R"(
.visible .entry k(.param .u64 in, .param .u64 out) {
 .reg .b32 %r<40>; .reg .b64 %rd<8>; .reg .b32 %f<8>; .reg .pred %p;
 .shared .align 16 .b8 tile[768];
 mov.u32 %r1, %tid.x; ld.param.u64 %rd1, [in]; mul.wide.u32 %rd2, %r1, 8; add.s64 %rd1, %rd1, %rd2;
 mov.u32 %r2, tile; shl.b32 %r3, %r1, 3; add.u32 %r3, %r2, %r3; mov.u32 %r4, 0;
COPY: ld.global.v2.u32 {%r5, %r6}, [%rd1]; st.shared.v2.u32 [%r3], {%r5, %r6};
 add.s64 %rd1, %rd1, 256; add.u32 %r3, %r3, 256; add.u32 %r4, %r4, 1; setp.lt.u32 %p, %r4, 3; @%p bra COPY;
 bar.warp.sync -1;
 and.b32 %r7, %r1, 15; shl.b32 %r7, %r7, 5; shr.u32 %r8, %r1, 4; shl.b32 %r8, %r8, 4; add.u32 %r7, %r7, %r8;
 add.u32 %r7, %r7, %r2; ldmatrix.sync.aligned.m8n8.x4.shared::cta.b16 {%r10, %r11, %r12, %r13}, [%r7];
 and.b32 %r7, %r1, 7; shl.b32 %r7, %r7, 5; and.b32 %r8, %r1, 8; shl.b32 %r8, %r8, 1; add.u32 %r7, %r7, %r8;
 add.u32 %r7, %r7, %r2; ldmatrix.sync.aligned.x2.m8n8.shared.b16 {%r14, %r15}, [%r7+512];
 mov.b32 %f1, 0f3F800000; mov.b32 %f2, 0f40000000; mov.b32 %f3, 0f40400000; mov.b32 %f4, 0f40800000;
 mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1, %f2, %f3, %f4}, {%r10, %r11, %r12, %r13}, {%r14, %r15},
   {%f1, %f2, %f3, %f4};
 ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%r16}, [%r7];
 ld.param.u64 %rd3, [out]; mul.wide.u32 %rd4, %r1, 20; add.s64 %rd3, %rd3, %rd4;
 st.global.f32 [%rd3], %f1; st.global.f32 [%rd3+4], %f2; st.global.f32 [%rd3+8], %f3; st.global.f32 [%rd3+12], %f4;
 st.global.u32 [%rd3+16], %r16; ret;
})";
  std::vector<std::uint16_t> in(384);
  Numbers random(3);
  // Small whole numbers: every sum is exact, whatever the order.
  for (std::uint16_t& code : in) code = encode_f16(static_cast<float>(static_cast<int>(random.below(17)) - 8));
  Bench bench(text);
  const u64 address = bench.upload(in);
  const u64 out = bench.upload(std::vector<u32>(160, 0));
  const Statistics statistics = bench.launch("k", {1}, {32}, {address, out});
  EXPECT_EQ(statistics.mma, 1U);
  const std::vector<u32> got = bench.download<u32>(out, 160);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t r = 0; r < 4; ++r) {
      const std::size_t row = lane / 4 + (r >= 2 ? 8 : 0);
      const std::size_t column = lane % 4 * 2 + r % 2;
      float sum = static_cast<float>(r + 1);
      for (std::size_t k = 0; k < 16; ++k) sum += decode_f16(in[row * 16 + k]) * decode_f16(in[256 + column * 16 + k]);
      EXPECT_EQ(std::bit_cast<float>(got[lane * 5 + r]), sum) << lane << " " << r;
    }
    // Transposed: rows are columns. The matrix is the first 8 columns of A's first 8 rows.
    const std::size_t row = lane % 4 * 2;
    EXPECT_EQ(got[lane * 5 + 4], u32{in[(row + 1) * 16 + lane / 4]} << 16 | in[row * 16 + lane / 4]);
  }
}

/// Operands of one FP8 multiply by the ISA's fragment tables, element by element.
struct Fp8Fragments {
  std::vector<std::uint8_t> a = std::vector<std::uint8_t>(512);
  std::vector<std::uint8_t> b = std::vector<std::uint8_t>(256);
  std::vector<u32> registers = std::vector<u32>(32 * 6, 0);
  explicit Fp8Fragments(u64 seed) {
    Numbers random(seed);
    // |exponents| stay small and codes exact, so that the sums are exact in every model.
    const auto code = [&] { return encode_e4m3(static_cast<float>(static_cast<int>(random.below(31)) - 15)); };
    for (auto& c : a) c = code();
    for (auto& c : b) c = code();
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const std::size_t group = lane / 4;
      const std::size_t place = lane % 4;
      for (std::size_t i = 0; i < 16; ++i) {
        const std::size_t row = (i < 4 || (i >= 8 && i < 12)) ? group : group + 8;
        const std::size_t column = place * 4 + (i & 3) + (i < 8 ? 0 : 16);
        registers[lane * 6 + i / 4] |= u32{a[row * 32 + column]} << (8 * (i % 4));
      }
      for (std::size_t i = 0; i < 8; ++i) {
        const std::size_t row = place * 4 + (i & 3) + (i < 4 ? 0 : 16);
        registers[lane * 6 + 4 + i / 4] |= u32{b[group * 32 + row]} << (8 * (i % 4));
      }
    }
  }
  float product(std::size_t row, std::size_t column) const {
    float sum = 0;
    for (std::size_t k = 0; k < 32; ++k) sum += decode_e4m3(a[row * 32 + k]) * decode_e4m3(b[column * 32 + k]);
    return sum;
  }
};

std::string fp8_kernel(const std::string& mma) {
  return R"(
.visible .entry k(.param .u64 in, .param .u64 out, .param .u64 scales) {
 .reg .b32 %r<40>; .reg .b64 %rd<8>; .reg .b32 %f<8>;
 mov.u32 %r1, %tid.x; ld.param.u64 %rd1, [in]; mul.wide.u32 %rd2, %r1, 24; add.s64 %rd1, %rd1, %rd2;
 ld.global.v2.u32 {%r10, %r11}, [%rd1]; ld.global.v2.u32 {%r12, %r13}, [%rd1+8]; ld.global.v2.u32 {%r14, %r15}, [%rd1+16];
 ld.param.u64 %rd3, [scales]; mul.wide.u32 %rd4, %r1, 8; add.s64 %rd3, %rd3, %rd4; ld.global.v2.u32 {%r20, %r21}, [%rd3];
 mov.b32 %f1, 0; mov.b32 %f2, 0; mov.b32 %f3, 0; mov.b32 %f4, 0;
 )" + mma +
         R"(
 ld.param.u64 %rd5, [out]; mul.wide.u32 %rd6, %r1, 16; add.s64 %rd5, %rd5, %rd6;
 st.global.v4.f32 [%rd5], {%f1, %f2, %f3, %f4}; ret;
})";
}

constexpr const char* kFp8Operands =
    " {%f1, %f2, %f3, %f4}, {%r10, %r11, %r12, %r13}, {%r14, %r15}, {%f1, %f2, %f3, %f4}";

TEST(Matrices, OfFp8OnBothArchitectures) {
  const Fp8Fragments in(5);
  for (const char* card : {"gb10", "h200"}) {
    for (const char* kind : {"", ".kind::f8f6f4"}) {
      if (card[0] == 'h' && kind[0] != '\0') continue;
      Bench bench(
          fp8_kernel(fmt::format("mma.sync.aligned{}.m16n8k32.row.col.f32.e4m3.e4m3.f32{};", kind, kFp8Operands)),
          card_options(card));
      const u64 out = bench.upload(std::vector<float>(128, 0));
      const u64 scales = bench.upload(std::vector<u32>(64, 0));
      bench.launch("k", {1}, {32}, {bench.upload(in.registers), out, scales});
      const std::vector<float> got = bench.download<float>(out, 128);
      for (std::size_t i = 0; i < 128; ++i) {
        const std::size_t lane = i / 4;
        const std::size_t r = i % 4;
        EXPECT_EQ(got[i], in.product(lane / 4 + (r >= 2 ? 8 : 0), lane % 4 * 2 + r % 2)) << card << " " << i;
      }
    }
  }
}

TEST(Matrices, BlockScalesComeFromTheSelectedBytesAndLanes) {
  const Fp8Fragments in(6);
  Numbers random(9);
  // Two scale registers for each lane, all bytes different powers of two near 1.
  std::vector<u32> scales(64, 0);
  for (u32& s : scales) {
    for (int byte = 0; byte < 4; ++byte) s |= static_cast<u32>(125 + random.below(5)) << (8 * byte);
  }
  for (u32 a_byte = 0; a_byte < 4; ++a_byte) {
    for (u32 thread = 0; thread < 4; ++thread) {
      const u32 a_thread = thread % 2;
      const u32 b_byte = 3 - a_byte;
      Bench bench(fp8_kernel(fmt::format(
          "mma.sync.aligned.kind::mxf8f6f4.block_scale.scale_vec::1X.m16n8k32.row.col.f32.e4m3.e4m3.f32.ue8m0{},"
          " %r20, {{{}, {}}}, %r21, {{{}, {}}};",
          kFp8Operands, a_byte, a_thread, b_byte, thread)));
      const u64 out = bench.upload(std::vector<float>(128, 0));
      bench.launch("k", {1}, {32}, {bench.upload(in.registers), out, bench.upload(scales)});
      const std::vector<float> got = bench.download<float>(out, 128);
      for (std::size_t i = 0; i < 128; ++i) {
        const std::size_t lane = i / 4;
        const std::size_t r = i % 4;
        const std::size_t row = lane / 4 + (r >= 2 ? 8 : 0);
        const std::size_t column = lane % 4 * 2 + r % 2;
        const std::size_t a_lane = row % 8 * 4 + 2 * a_thread + (row >= 8 ? 1 : 0);
        const std::size_t b_lane = column * 4 + thread;
        const auto exponent = [&](u32 scale, u32 byte) {
          return static_cast<int>((scale >> (8 * byte)) & 0xffU) - 127;
        };
        const int power = exponent(scales[2 * a_lane], a_byte) + exponent(scales[2 * b_lane + 1], b_byte);
        EXPECT_EQ(got[i], std::ldexp(in.product(row, column), power)) << i;
      }
    }
  }
}

}  // namespace
}  // namespace moesaic::emulator
