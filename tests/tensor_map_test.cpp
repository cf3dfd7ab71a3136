#include "emulator/tensor_map.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "spec/error.hpp"

namespace moesaic::emulator {
namespace {

/// A tensor of [dims[1], dims[0]] bytes without padding, copied in boxes of [box[1], box[0]].
TensorMap bytes_map(std::uint64_t cols, std::uint64_t rows, std::uint32_t box_cols, std::uint32_t box_rows_count) {
  TensorMap map;
  map.type = TensorType::kU8;
  map.rank = 2;
  map.address = 0x7000;
  map.dims = {cols, rows};
  map.strides_bytes = {0, cols};
  map.box = {box_cols, box_rows_count};
  map.element_strides = {1, 1};
  map.swizzle = Swizzle::k128;
  return map;
}

/// For each byte of shared memory that the box covers: its global address, or 0 outside the tensor.
std::map<std::uint32_t, std::uint64_t> walk(const TensorMap& map, std::int32_t x, std::int32_t y, std::int32_t z = 0) {
  std::map<std::uint32_t, std::uint64_t> bytes;
  for_each_piece(map, {x, y, z}, 0x400, [&](const BoxPiece& piece) {
    EXPECT_LE(piece.bytes, 16U);
    for (std::uint32_t i = 0; i < piece.bytes; ++i) {
      EXPECT_TRUE(bytes.emplace(piece.shared_address + i, piece.inside ? piece.global_address + i : 0).second)
          << "shared byte written twice";
    }
  });
  EXPECT_EQ(bytes.size(), box_bytes(map));
  return bytes;
}

TEST(TensorMap, SwizzlesSixteenByteChunksByTheRow) {
  const auto bytes = walk(bytes_map(256, 64, 128, 16), 128, 8);
  for (std::uint32_t row = 0; row < 16; ++row) {
    for (std::uint32_t col = 0; col < 128; ++col) {
      const std::uint32_t at = 0x400 + row * 128 + ((col / 16) ^ (row % 8)) * 16 + col % 16;
      ASSERT_EQ(bytes.at(at), 0x7000 + (8 + row) * 256 + 128 + col);
    }
  }
}

TEST(TensorMap, SwizzlePatternsFollowTheirTables) {
  // PTX ISA, "Swizzling Modes": which chunk of a 128-byte line lies where, by line.
  const auto chunk = [](Swizzle swizzle, std::uint32_t line, std::uint32_t index) {
    return swizzled(swizzle, line * 128 + index * 16) % 128 / 16;
  };
  for (std::uint32_t line = 0; line < 16; ++line) {
    for (std::uint32_t index = 0; index < 8; ++index) {
      EXPECT_EQ(chunk(Swizzle::kNone, line, index), index);
      EXPECT_EQ(chunk(Swizzle::k32, line, index), index ^ (line % 2));
      EXPECT_EQ(chunk(Swizzle::k64, line, index), index ^ (line % 4));
      EXPECT_EQ(chunk(Swizzle::k128, line, index), index ^ (line % 8));
    }
  }
}

TEST(TensorMap, WhatLiesOutsideIsSaidForEachByte) {
  const TensorMap map = bytes_map(208, 10, 128, 8);
  for (const auto& [x, y] : {std::pair(128, 4), std::pair(-19, -3), std::pair(7, 3), std::pair(300, 2),
                             std::pair(0, 10), std::pair(-2000000000, 2000000000)}) {
    const auto bytes = walk(map, x, y);
    for (std::int64_t row = 0; row < 8; ++row) {
      for (std::int64_t col = 0; col < 128; ++col) {
        const bool inside = x + col >= 0 && x + col < 208 && y + row >= 0 && y + row < 10;
        const auto at = static_cast<std::uint32_t>(0x400 + row * 128 + (((col / 16) ^ (row % 8)) * 16) + col % 16);
        const auto want = static_cast<std::uint64_t>(inside ? 0x7000 + (y + row) * 208 + x + col : 0);
        ASSERT_EQ(bytes.at(at), want) << "x " << x << " y " << y << " row " << row << " col " << col;
      }
    }
  }
}

TEST(TensorMap, WalksThreeDimensionsAndElementStrides) {
  TensorMap map = bytes_map(64, 20, 32, 3);
  map.rank = 3;
  map.dims = {64, 20, 4};
  map.strides_bytes = {0, 64, 2048};
  map.box = {32, 5, 2};
  map.element_strides = {1, 2, 1};
  map.swizzle = Swizzle::kNone;
  EXPECT_EQ(box_bytes(map), 32U * 3 * 2);
  const auto bytes = walk(map, 16, 16, 3);
  for (std::uint32_t z = 0; z < 2; ++z) {
    for (std::uint32_t y = 0; y < 3; ++y) {
      const bool inside = z == 0 && 16 + 2 * y < 20;
      const std::uint64_t want = inside ? 0x7000 + 3 * 2048 + (16 + 2 * y) * 64 + 16 : 0;
      EXPECT_EQ(bytes.at(0x400 + (z * 3 + y) * 32), want) << "y " << y << " z " << z;
    }
  }
}

TEST(TensorMap, PackedBytesKeepEverythingAndOneBitUnused) {
  TensorMap map = bytes_map(1ULL << 32, 9, 128, 16);
  map.rank = 5;
  map.dims = {1ULL << 32, 2, 3, 4, 5};
  map.strides_bytes = {0, 16, 32, 48, (1ULL << 40) - 16};
  map.box = {128, 256, 3, 4, 5};
  map.element_strides = {1, 2, 3, 4, 8};
  map.l2_promotion = 3;
  TensorMapBytes bytes = pack(map);
  bytes[10] &= ~std::byte{0x20};  // bit 21 of the second 8 bytes
  const TensorMap again = unpack(bytes);
  EXPECT_EQ(pack(again), pack(map));
  EXPECT_EQ(again.dims, map.dims);
  EXPECT_EQ(again.strides_bytes, map.strides_bytes);
  EXPECT_EQ(again.box, map.box);
  EXPECT_EQ(again.element_strides, map.element_strides);
  EXPECT_EQ(again.rank, 5);
  EXPECT_EQ(again.swizzle, Swizzle::k128);
  EXPECT_EQ(again.l2_promotion, 3);
  EXPECT_THROW(unpack(TensorMapBytes{}), Error);
}

TEST(TensorMap, EncodeRefusesWhatTheDriverRefuses) {
  const auto refused = [](const auto& change) {
    TensorMap map = bytes_map(256, 64, 128, 16);
    change(map);
    try {
      check_encodable(map);
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(refused([](TensorMap&) {}), "");
  EXPECT_EQ(refused([](TensorMap& map) { map.address = 0; }), "");
  EXPECT_EQ(refused([](TensorMap& map) { map.strides_bytes[1] = 0; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.address = 8; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.strides_bytes[1] = 264; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.strides_bytes[1] = 1ULL << 40; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.dims[1] = 0; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.dims[0] = (1ULL << 32) + 1; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.box[1] = 257; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.box[0] = 120; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.element_strides[1] = 9; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.rank = 6; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.fill = Fill::kNan; }), "");
  EXPECT_NE(refused([](TensorMap& map) { map.interleave = Interleave::k16; }), "");
  EXPECT_EQ(refused([](TensorMap& map) { map.box[0] = 144; }),
            "tensor map: a box row of 144 bytes is wider than the 128-byte swizzle");
}

TEST(TensorMap, CopiesRefuseWhatIsNotEmulated) {
  TensorMap map = bytes_map(256, 64, 128, 16);
  EXPECT_NO_THROW(check_usable(map, 2));
  EXPECT_THROW(check_usable(map, 3), Error);
  map.interleave = Interleave::k16;
  EXPECT_THROW(check_usable(map, 2), Error);
}

}  // namespace
}  // namespace moesaic::emulator
