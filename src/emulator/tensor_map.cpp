#include "emulator/tensor_map.hpp"

#include <fmt/format.h>

#include <cstring>

#include "spec/error.hpp"

namespace moesaic::emulator {
namespace {

/// Word 15 of a packed map; anything else there is no map of this driver.
constexpr std::uint64_t kSignature = 0x70616d5f65736f6dULL;

using Words = std::array<std::uint64_t, kTensorMapBytes / 8>;

/// The packed words: address; small fields; 5 dims; strides of dims 1 to 4; box of dims 0 to 3; box of dim 4; element
/// strides; one unused; the signature.
constexpr std::size_t kDims = 2;
constexpr std::size_t kStrides = 7;
constexpr std::size_t kBox = 11;
constexpr std::size_t kElementStrides = 13;
constexpr std::size_t kSignatureWord = 15;

bool is_float(TensorType type) {
  return type >= TensorType::kF16 && type <= TensorType::kTf32Ftz;
}

void require(bool good, const std::string& complaint) {
  if (!good) throw Error("tensor map: " + complaint);
}

void check_kinds(const TensorMap& map) {
  require(map.type <= TensorType::k16U6Align16, fmt::format("unknown data type {}", static_cast<int>(map.type)));
  require(map.interleave <= Interleave::k32, fmt::format("unknown interleave {}", static_cast<int>(map.interleave)));
  require(map.swizzle <= Swizzle::k128Atom64, fmt::format("unknown swizzle {}", static_cast<int>(map.swizzle)));
  require(map.l2_promotion <= 3, fmt::format("unknown L2 promotion {}", map.l2_promotion));
  require(map.fill <= Fill::kNan, fmt::format("unknown fill {}", static_cast<int>(map.fill)));
  require(map.rank >= 1 && map.rank <= kMaxTensorRank, fmt::format("rank {} is not in 1 to 5", map.rank));
  require(map.interleave == Interleave::kNone || map.rank >= 3, "an interleaved tensor needs rank 3 or more");
  require(map.interleave != Interleave::k32 || map.swizzle == Swizzle::k32, "interleave 32B needs swizzle 32B");
  require(map.fill == Fill::kZero || is_float(map.type), "NaN fill needs a floating-point type");
}

void check_dimension(const TensorMap& map, int dim, std::uint64_t alignment) {
  const auto d = static_cast<std::size_t>(dim);
  require(map.dims[d] >= 1 && map.dims[d] <= std::uint64_t{1} << 32,
          fmt::format("dimension {} is {}, not in 1 to 2^32", dim, map.dims[d]));
  require(map.box[d] >= 1 && map.box[d] <= 256, fmt::format("box {} is {}, not in 1 to 256", dim, map.box[d]));
  if (dim == 0) return;
  require(map.strides_bytes[d] % alignment == 0 && map.strides_bytes[d] < std::uint64_t{1} << 40,
          fmt::format("stride {} is {} bytes, not a multiple of {} below 2^40", dim, map.strides_bytes[d], alignment));
  require(map.element_strides[d] >= 1 && map.element_strides[d] <= 8,
          fmt::format("element stride {} is {}, not in 1 to 8", dim, map.element_strides[d]));
}

}  // namespace

int element_bits(TensorType type) {
  switch (type) {
    case TensorType::kU8:
      return 8;
    case TensorType::kU16:
    case TensorType::kF16:
    case TensorType::kBf16:
      return 16;
    case TensorType::kU64:
    case TensorType::kS64:
    case TensorType::kF64:
      return 64;
    case TensorType::k16U4Align8:
    case TensorType::k16U4Align16:
      return 4;
    case TensorType::k16U6Align16:
      return 6;
    default:
      return 32;
  }
}

void check_encodable(const TensorMap& map) {
  check_kinds(map);
  const bool gaps = has_gaps(map.type);
  const std::uint64_t alignment = map.interleave == Interleave::k32 || gaps ? 32 : 16;
  require(map.address % alignment == 0,
          fmt::format("address {:#x} is not a multiple of {} bytes", map.address, alignment));
  for (int dim = 0; dim < map.rank; ++dim) check_dimension(map, dim, alignment);
  if (gaps) {
    require(map.dims[0] % 128 == 0 && map.box[0] == 128,
            "packed elements with gaps need a multiple of 128 elements and a box of 128");
    require(map.swizzle == Swizzle::kNone || map.swizzle >= Swizzle::k128,
            "packed elements with gaps are swizzled in 128 bytes or not at all");
    return;
  }
  require(map.type != TensorType::k16U4Align8 || map.dims[0] % 2 == 0, "4-bit elements come in pairs");
  if (map.interleave != Interleave::kNone) return;
  require(row_bytes(map) % 16 == 0, fmt::format("a box row of {} bytes is not a multiple of 16", row_bytes(map)));
  require(map.swizzle == Swizzle::kNone || row_bytes(map) <= row_pitch(map),
          fmt::format("a box row of {} bytes is wider than the {}-byte swizzle", row_bytes(map), row_pitch(map)));
}

TensorMapBytes pack(const TensorMap& map) {
  Words words{};
  words[0] = map.address;
  words[1] = static_cast<std::uint64_t>(map.type) | static_cast<std::uint64_t>(map.rank) << 8 |
             static_cast<std::uint64_t>(map.interleave) << 32 | static_cast<std::uint64_t>(map.swizzle) << 36 |
             std::uint64_t{map.l2_promotion} << 40 | static_cast<std::uint64_t>(map.fill) << 44;
  for (std::size_t d = 0; d < kMaxTensorRank; ++d) {
    words[kDims + d] = map.dims[d];
    if (d > 0) words[kStrides + d - 1] = map.strides_bytes[d];
    words[kBox + d / 4] |= std::uint64_t{map.box[d] & 0xffffU} << (16 * (d % 4));
    words[kElementStrides] |= std::uint64_t{map.element_strides[d] & 0xffU} << (8 * d);
  }
  words[kSignatureWord] = kSignature;
  TensorMapBytes bytes;
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

TensorMap unpack(const TensorMapBytes& bytes) {
  Words words;
  std::memcpy(words.data(), bytes.data(), bytes.size());
  require(words[kSignatureWord] == kSignature, "these 128 bytes are no tensor map of this driver");
  TensorMap map;
  map.address = words[0];
  map.type = static_cast<TensorType>(words[1] & 0xf);
  map.rank = static_cast<int>((words[1] >> 8) & 0xf);
  map.interleave = static_cast<Interleave>((words[1] >> 32) & 0xf);
  map.swizzle = static_cast<Swizzle>((words[1] >> 36) & 0xf);
  map.l2_promotion = static_cast<std::uint8_t>((words[1] >> 40) & 0xf);
  map.fill = static_cast<Fill>((words[1] >> 44) & 0xf);
  for (std::size_t d = 0; d < kMaxTensorRank; ++d) {
    map.dims[d] = words[kDims + d];
    if (d > 0) map.strides_bytes[d] = words[kStrides + d - 1];
    map.box[d] = static_cast<std::uint32_t>((words[kBox + d / 4] >> (16 * (d % 4))) & 0xffffU);
    map.element_strides[d] = static_cast<std::uint32_t>((words[kElementStrides] >> (8 * d)) & 0xffU);
  }
  return map;
}

void check_usable(const TensorMap& map, int rank) {
  require(map.rank == rank, fmt::format("a copy of rank {} through a map of rank {}", rank, map.rank));
  check_encodable(map);
  require(map.interleave == Interleave::kNone, "interleaved layouts are not emulated");
}

void check_start(const TensorMap& map, std::int32_t first) {
  const std::int64_t bits = std::int64_t{first} * element_bits(map.type);
  if (has_gaps(map.type)) {
    require(first % 128 == 0, fmt::format("the box starts at element {} of its rows, no multiple of 128", first));
  } else {
    require(bits % 128 == 0,
            fmt::format("the box starts at element {} of its rows, which is no multiple of 16 bytes", first));
  }
}

void round_elements(const TensorMap& map, std::span<std::byte> row) {
  if (map.type != TensorType::kTf32 && map.type != TensorType::kTf32Ftz) return;
  for (std::size_t at = 0; at + 4 <= row.size(); at += 4) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, row.data() + at, 4);
    const bool finite = (bits & 0x7f800000U) != 0x7f800000U;
    if (finite) bits = (bits + 0xfffU + ((bits >> 13) & 1U)) & ~0x1fffU;
    std::memcpy(row.data() + at, &bits, 4);
  }
}

std::array<std::byte, 16> fill_pattern(const TensorMap& map) {
  std::array<std::byte, 16> pattern{};
  if (map.fill == Fill::kZero) return pattern;
  // The NaN that an H200 fills with, for 16-bit and 32-bit elements alike: tests/fixtures/silicon/copy_boxes.bin.
  for (std::size_t at = 0; at < pattern.size(); at += 2) {
    pattern[at] = std::byte{0xf7};
    pattern[at + 1] = std::byte{0x7f};
  }
  return pattern;
}

}  // namespace moesaic::emulator
