#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

/// Tensor maps: what cuTensorMapEncodeTiled makes and cp.async.bulk.tensor walks.
namespace moesaic::emulator {

inline constexpr int kMaxTensorRank = 5;
inline constexpr std::size_t kTensorMapBytes = 128;

/// The numbers are those of CUtensorMapDataType.
enum class TensorType : std::uint8_t {
  kU8 = 0,
  kU16,
  kU32,
  kS32,
  kU64,
  kS64,
  kF16,
  kF32,
  kF64,
  kBf16,
  kF32Ftz,
  kTf32,
  kTf32Ftz,
  k16U4Align8,
  k16U4Align16,
  k16U6Align16,
};

/// The numbers are those of CUtensorMapSwizzle.
enum class Swizzle : std::uint8_t { kNone = 0, k32, k64, k128, k128Atom32, k128Atom32Flip8, k128Atom64 };

/// The numbers are those of CUtensorMapInterleave.
enum class Interleave : std::uint8_t { kNone = 0, k16, k32 };

/// The numbers are those of CUtensorMapFloatOOBfill.
enum class Fill : std::uint8_t { kZero = 0, kNan };

/// A tiled tensor in global memory and the box that one copy moves. Dimension 0 is the contiguous one.
struct TensorMap {
  TensorType type = TensorType::kU8;
  int rank = 0;
  std::uint64_t address = 0;
  std::array<std::uint64_t, kMaxTensorRank> dims{};             ///< elements
  std::array<std::uint64_t, kMaxTensorRank> strides_bytes{};    ///< [0] is unused: elements of a row are adjacent
  std::array<std::uint32_t, kMaxTensorRank> box{};              ///< elements walked over
  std::array<std::uint32_t, kMaxTensorRank> element_strides{};  ///< every n-th element is copied; [0] is ignored
  Interleave interleave = Interleave::kNone;
  Swizzle swizzle = Swizzle::kNone;
  std::uint8_t l2_promotion = 0;
  Fill fill = Fill::kZero;
};

using TensorMapBytes = std::array<std::byte, kTensorMapBytes>;

/// Bits of one element in global memory: 4 and 6 for the packed types.
int element_bits(TensorType type);

/// Throws Error if cuTensorMapEncodeTiled would refuse the map, saying what would be right. A null address and strides
/// of zero pass, as there: templates that tensormap.replace completes have them.
void check_encodable(const TensorMap& map);

/// Packs a map into 128 bytes that may be copied anywhere. Programs may not look inside; bit 21 of the second 8 bytes
/// is unused, since hosts of drivers up to 13.1 clear it. Checks nothing: tensormap.replace may write any field.
TensorMapBytes pack(const TensorMap& map);

/// The inverse of pack. Throws Error if the bytes are no tensor map.
TensorMap unpack(const TensorMapBytes& bytes);

/// Throws Error if a copy cannot use the map: a rank other than `rank`, a field out of range, or an interleaved layout,
/// which is not emulated.
void check_usable(const TensorMap& map, int rank);

/// Whether 16 elements, packed in global memory, take 16 bytes in shared memory, the last of which are padding: 8 or 4.
inline bool has_gaps(TensorType type) {
  return type == TensorType::k16U4Align16 || type == TensorType::k16U6Align16;
}

/// Elements copied along a dimension: every element_strides-th of the box.
inline std::uint32_t box_extent(const TensorMap& map, int dim) {
  const auto d = static_cast<std::size_t>(dim);
  if (dim == 0) return map.box[0];
  return (map.box[d] + map.element_strides[d] - 1) / map.element_strides[d];
}

/// Bytes of one row of the box in global memory.
inline std::uint32_t row_bytes(const TensorMap& map) {
  return map.box[0] * static_cast<std::uint32_t>(element_bits(map.type)) / 8;
}

/// Distance between two rows of the box in shared memory: a swizzled row takes the whole width of its pattern (CUDA C++
/// Programming Guide, "TMA Swizzle").
inline std::uint32_t row_pitch(const TensorMap& map) {
  switch (map.swizzle) {
    case Swizzle::kNone:
      return has_gaps(map.type) ? map.box[0] : row_bytes(map);
    case Swizzle::k32:
      return 32;
    case Swizzle::k64:
      return 64;
    default:
      return 128;
  }
}

/// Rows of the box: the product of all extents but the first.
inline std::uint32_t box_rows(const TensorMap& map) {
  std::uint32_t rows = 1;
  for (int d = 1; d < map.rank; ++d) rows *= box_extent(map, d);
  return rows;
}

/// Bytes of shared memory from the first to the last of the box.
inline std::uint32_t box_span(const TensorMap& map) {
  return box_rows(map) * row_pitch(map);
}

/// What the barrier of a copy counts: the whole box, the part outside the tensor included, without padding. (That
/// padding does not count is what kernels for these types expect; no 12.x silicon has been asked.)
inline std::uint32_t box_bytes(const TensorMap& map) {
  return box_rows(map) * row_bytes(map);
}

/// Where the byte that belongs at a linear shared-memory address goes. PTX ISA, "Swizzling Modes": 16-byte chunks of
/// 128-byte lines trade places; bits 4-6 of the address are XORed with as many bits from 7 on as the width has. With
/// atoms of 32 or 64 bytes it is bits 5-6, or bit 6, that are XORed with those from 7 on; Flip8 also swaps the 8-byte
/// halves of each 16 bytes in every other line.
inline std::uint32_t swizzled(Swizzle swizzle, std::uint32_t address) {
  switch (swizzle) {
    case Swizzle::kNone:
      break;
    case Swizzle::k32:
      return address ^ ((address >> 3) & 0x10U);
    case Swizzle::k64:
      return address ^ ((address >> 3) & 0x30U);
    case Swizzle::k128:
      return address ^ ((address >> 3) & 0x70U);
    case Swizzle::k128Atom32:
      return address ^ ((address >> 2) & 0x60U);
    case Swizzle::k128Atom32Flip8:
      return address ^ ((address >> 2) & 0x60U) ^ ((address >> 4) & 0x8U);
    case Swizzle::k128Atom64:
      return address ^ ((address >> 1) & 0x40U);
  }
  return address;
}

/// A piece of a box: at most 16 bytes, wholly inside the tensor or wholly outside.
struct BoxPiece {
  std::uint32_t shared_address = 0;  ///< swizzled
  std::uint64_t global_address = 0;  ///< meaningless outside
  std::uint32_t bytes = 0;
  bool inside = false;
};

/// Throws Error if a box may not start at that element of its rows: it must lie on 16 bytes (the PTX ISA does not say
/// so; an H200 stops with an illegal instruction), with gaps on 128 elements.
void check_start(const TensorMap& map, std::int32_t first);

/// What a load makes of the elements of a row on their way: tf32 ones are rounded to 10 bits of fraction, to nearest,
/// subnormal numbers kept in both types, as an H200 does (tests/fixtures/silicon/isa_tensor.bin). Others stay.
void round_elements(const TensorMap& map, std::span<std::byte> row);

/// The bytes that a load writes for a piece outside, repeated from the start of each element.
std::array<std::byte, 16> fill_pattern(const TensorMap& map);

namespace detail {

/// Splits one row of the box where swizzling may part it and at the ends of the tensor.
template <typename Visit>
void walk_row(const TensorMap& map, std::int64_t x0, std::uint64_t row_address, std::uint32_t shared, bool inside,
              Visit&& visit) {
  const auto bits = static_cast<std::int64_t>(element_bits(map.type));
  const std::int64_t chunk = map.swizzle == Swizzle::k128Atom32Flip8 ? 8 : 16;
  const std::int64_t first = inside ? std::clamp<std::int64_t>(-x0 * bits / 8, 0, row_bytes(map)) : row_bytes(map);
  const std::int64_t end_of_tensor = (static_cast<std::int64_t>(map.dims[0]) - x0) * bits / 8;
  const std::int64_t last = inside ? std::clamp<std::int64_t>(end_of_tensor, first, row_bytes(map)) : row_bytes(map);
  for (std::int64_t at = 0; at < row_bytes(map);) {
    std::int64_t end = std::min<std::int64_t>(row_bytes(map), (at | (chunk - 1)) + 1);
    if (at < first) end = std::min(end, first);
    if (at >= first && at < last) end = std::min(end, last);
    visit(BoxPiece{.shared_address = swizzled(map.swizzle, shared + static_cast<std::uint32_t>(at)),
                   .global_address = row_address + static_cast<std::uint64_t>(x0 * bits / 8 + at),
                   .bytes = static_cast<std::uint32_t>(end - at),
                   .inside = at >= first && at < last});
    at = end;
  }
}

/// The same for elements with gaps: pieces of 16 elements. A row lies inside or outside as a whole (check_start).
template <typename Visit>
void walk_row_with_gaps(const TensorMap& map, std::int64_t x0, std::uint64_t row_address, std::uint32_t shared,
                        bool inside, Visit&& visit) {
  const auto bits = static_cast<std::int64_t>(element_bits(map.type));
  inside = inside && x0 >= 0 && x0 < static_cast<std::int64_t>(map.dims[0]);
  for (std::uint32_t group = 0; group < map.box[0] / 16; ++group) {
    const auto packed = static_cast<std::uint32_t>(2 * bits);
    visit(BoxPiece{.shared_address = swizzled(map.swizzle, shared + 16 * group),
                   .global_address = row_address + static_cast<std::uint64_t>(x0 * bits / 8) + group * packed,
                   .bytes = packed,
                   .inside = inside});
  }
}

}  // namespace detail

/// Calls visit(BoxPiece) for all of the box whose first element has the signed coordinates `start` (in elements,
/// dimension 0 first) and whose shared-memory block begins at `shared_base`. The map must be usable (check_usable).
template <typename Visit>
void for_each_piece(const TensorMap& map, const std::array<std::int32_t, kMaxTensorRank>& start,
                    std::uint32_t shared_base, Visit&& visit) {
  const std::uint32_t rows = box_rows(map);
  for (std::uint32_t row = 0; row < rows; ++row) {
    std::uint32_t rest = row;
    std::uint64_t address = map.address;
    bool inside = true;
    for (int dim = 1; dim < map.rank; ++dim) {
      const auto d = static_cast<std::size_t>(dim);
      const std::uint32_t step = rest % box_extent(map, dim);
      rest /= box_extent(map, dim);
      const std::int64_t index = std::int64_t{start[d]} + std::int64_t{step} * map.element_strides[d];
      inside = inside && index >= 0 && static_cast<std::uint64_t>(index) < map.dims[d];
      address += static_cast<std::uint64_t>(index) * map.strides_bytes[d];
    }
    const std::uint32_t shared = shared_base + row * row_pitch(map);
    if (has_gaps(map.type)) {
      detail::walk_row_with_gaps(map, start[0], address, shared, inside, visit);
    } else {
      detail::walk_row(map, start[0], address, shared, inside, visit);
    }
  }
}

}  // namespace moesaic::emulator
