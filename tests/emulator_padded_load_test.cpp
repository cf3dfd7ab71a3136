#include <fmt/format.h>
#include <gtest/gtest.h>

#include "emulator/tensor_map.hpp"
#include "observer_bench.hpp"

// Tensors of 4-bit and 6-bit elements that get gaps on their way into shared memory (16U4_ALIGN16B, 16U6_ALIGN16B), and
// the ldmatrix forms that take them from there. By the text of the PTX ISA; no 12.x silicon has been asked.
namespace moesaic::emulator {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

struct Packing {
  TensorType type;
  u32 bits;
  const char* format;  ///< of ldmatrix
};
constexpr Packing kFours{TensorType::k16U4Align16, 4, "b4x16_p64"};
constexpr Packing kSixes{TensorType::k16U6Align16, 6, "b6x16_p32"};

constexpr u32 kColumns = 256;  // elements of a row of the tensor
constexpr u32 kRows = 12;      // the box that begins at row 8 has 4 of them inside
constexpr u32 kBoxRows = 8;

TensorMap map_of(const Packing& packing, Swizzle swizzle, u64 address) {
  TensorMap map;
  map.type = packing.type;
  map.rank = 2;
  map.address = address;
  map.dims = {kColumns, kRows};
  map.strides_bytes = {0, kColumns * packing.bits / 8};
  map.box = {128, kBoxRows};
  map.element_strides = {1, 1};
  map.swizzle = swizzle;
  check_encodable(map);
  return map;
}

/// Elements of the tensor, one in a word.
std::vector<u32> elements_of(const Packing& packing) {
  Numbers numbers(5);
  std::vector<u32> elements(kRows * kColumns);
  for (u32& element : elements) element = static_cast<u32>(numbers.below(u64{1} << packing.bits));
  return elements;
}

std::vector<std::uint8_t> packed(const std::vector<u32>& elements, u32 bits) {
  std::vector<std::uint8_t> bytes(elements.size() * bits / 8);
  for (std::size_t i = 0; i < elements.size() * bits; ++i) {
    bytes[i / 8] = static_cast<std::uint8_t>(bytes[i / 8] | (elements[i / bits] >> (i % bits) & 1U) << (i % 8));
  }
  return bytes;
}

/// Loads the box at columns 128 and row 8 and stores the fragments of its eight 8 x 16 matrices. Lane i of the first 8
/// gives the address of row i; swizzling puts its 16 bytes number c at c XOR i.
std::string load_text(const Packing& packing, bool swizzles) {
  std::string body = fmt::format(R"(
 mov.u32 %r10, tile; mov.u32 %r11, full; setp.ne.u32 %p0, %r0, 0; @%p0 bra WAIT;
 mbarrier.init.shared.b64 [%r11], 1; fence.mbarrier_init.release.cluster;
 mbarrier.arrive.expect_tx.shared.b64 _, [%r11], {};
 cp.async.bulk.tensor.2d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%r10], [%rd0, {{128, 8}}], [%r11];
WAIT: bar.warp.sync -1;
TRY: mbarrier.try_wait.parity.shared.b64 %p1, [%r11], 0; @!%p1 bra TRY;
 and.b32 %r12, %r2, 7; shl.b32 %r13, %r12, 7; mul.wide.u32 %rd8, %r0, 4; add.u64 %rd8, %rd8, %rd1;
)",
                                 kBoxRows * 128 * packing.bits / 8);
  for (u32 chunk = 0; chunk < 8; ++chunk) {
    const std::string place =
        swizzles ? fmt::format("xor.b32 %r14, %r12, {}", chunk) : fmt::format("mov.u32 %r14, {}", chunk);
    body += fmt::format(
        " {}; shl.b32 %r14, %r14, 4; add.u32 %r14, %r14, %r13; add.u32 %r14, %r14, %r10;\n"
        " ldmatrix.sync.aligned.m8n16.x1.shared.b8x16.{} {{%r15}}, [%r14]; st.global.u32 [%rd8+{}], %r15;\n",
        place, packing.format, chunk * 128);
  }
  return kernel_text(body, 2, ".shared .align 1024 .b8 tile[1024];\n.shared .align 8 .b64 full;\n");
}

class PaddedLoad : public testing::TestWithParam<std::pair<const Packing*, Swizzle>> {};

TEST_P(PaddedLoad, GivesEachElementAByteOfAFragment) {
  const Packing& packing = *GetParam().first;
  const Swizzle swizzle = GetParam().second;
  for (u64 seed = 1; seed <= 5; ++seed) {
    Options options = card_options("gb10", seed);
    options.checks = Checks::all();
    Bench bench(load_text(packing, swizzle == Swizzle::k128), options);
    const std::vector<u32> elements = elements_of(packing);
    const u64 tensor = bench.upload(packed(elements, packing.bits));
    const TensorMapBytes bytes = pack(map_of(packing, swizzle, tensor));
    const u64 map = bench.upload(std::vector<std::byte>(bytes.begin(), bytes.end()));
    const u64 out = bench.upload(std::vector<u32>(8 * 32));
    bench.launch("k", {1}, {32}, {map, out});
    const std::vector<u32> got = bench.download<u32>(out, 8 * 32);
    for (u32 at = 0; at < 8 * 32; ++at) {
      const u32 row = 8 + at % 32 / 4;
      for (u32 byte = 0; byte < 4; ++byte) {
        const u32 column = 128 + at / 32 * 16 + at % 4 * 4 + byte;
        const u32 expected = row < kRows ? elements[row * kColumns + column] : 0;
        ASSERT_EQ(got[at] >> (8 * byte) & 0xffU, expected) << "row " << row << " column " << column;
      }
    }
    for (const Finding& finding : bench.machine.take_findings()) ADD_FAILURE() << finding.sentence();
  }
}

INSTANTIATE_TEST_SUITE_P(All, PaddedLoad,
                         testing::Values(std::pair(&kFours, Swizzle::kNone), std::pair(&kFours, Swizzle::k128),
                                         std::pair(&kSixes, Swizzle::kNone), std::pair(&kSixes, Swizzle::k128)));

TEST(PaddedLoads, GapsAreNeitherWrittenNorCounted) {
  for (const Packing* packing : {&kFours, &kSixes}) {
    const TensorMap map = map_of(*packing, Swizzle::kNone, 0x8000);
    EXPECT_EQ(box_bytes(map), kBoxRows * 128 * packing->bits / 8);
    EXPECT_EQ(box_span(map), kBoxRows * 128);
    std::vector<bool> written(box_span(map));
    for_each_piece(map, {0, 0}, 0, [&](const BoxPiece& piece) {
      EXPECT_TRUE(piece.inside);
      for (u32 i = 0; i < piece.bytes; ++i) written[piece.shared_address + i] = true;
    });
    for (u32 at = 0; at < written.size(); ++at) EXPECT_EQ(written[at], at % 16 < 2 * packing->bits) << at;
  }
}

TEST(PaddedLoads, WantAlignedStartsAndAreNeverStored) {
  TensorMap map = map_of(kFours, Swizzle::kNone, 0x8000);
  EXPECT_THROW(check_start(map, 64), Error);
  EXPECT_NO_THROW(check_start(map, -128));
  map.box[0] = 64;
  EXPECT_THROW(check_encodable(map), Error);
  map = map_of(kSixes, Swizzle::kNone, 0x8000);
  map.address = 0x8010;
  EXPECT_THROW(check_encodable(map), Error);

  Bench bench(
      kernel_text("mov.u32 %r10, tile;\n"
                  "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%rd0, {0, 0}], [%r10];",
                  1, ".shared .align 1024 .b8 tile[1024];\n"));
  const TensorMapBytes bytes = pack(map_of(kFours, Swizzle::kNone, bench.upload(std::vector<u32>(kRows * 32))));
  try {
    bench.launch("k", {1}, {1}, {bench.upload(std::vector<std::byte>(bytes.begin(), bytes.end()))});
    FAIL() << "nothing was refused";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::invalid);
  }
}

}  // namespace
}  // namespace moesaic::emulator
