#include "emulator/block.hpp"
#include "emulator/definedness.hpp"
#include "emulator/grid_observer.hpp"
#include "emulator/matrix_form.hpp"
#include "emulator/mma_form.hpp"

/// Undefined values in matrices: a row of a tile that nobody wrote spoils the results that depend on it and no others.
namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kAllBits = ~std::uint64_t{0};
constexpr std::size_t kRowBytes = 16;

/// Of the 16 bytes of a row as they lie in memory, those undefined; of the unpacked elements, likewise.
std::uint64_t unpacked(MatrixForm::Packing packing, std::uint64_t bytes) {
  if (packing == MatrixForm::Packing::none || bytes == 0) return bytes;
  const std::size_t bits = packing == MatrixForm::Packing::four ? 4 : 6;
  std::uint64_t elements = 0;
  for (std::size_t i = 0; i < kRowBytes; ++i) {
    const std::size_t first = i * bits / 8;
    const std::size_t last = (i * bits + bits - 1) / 8;
    elements |= std::uint64_t{((bytes >> first | bytes >> last) & 1U) != 0} << i;
  }
  return elements;
}

}  // namespace

void Definedness::load_matrix(Warp& warp, const Instruction& instruction, const Traits& traits, WarpShadow&) {
  const MatrixForm& form = matrix_forms()[instruction.row->form];
  std::array<std::uint64_t, kWarpLanes> rows{};
  std::uint64_t any = 0;
  for (const Touch& touch : touches_) {
    const std::uint64_t undefined = unpacked(form.packing, undefined_bytes(warp, touch));
    rows[static_cast<std::size_t>(touch.lane)] = undefined;
    any |= undefined;
  }
  if (any == 0) return;
  for (std::size_t reg = 0; reg < traits.results.size(); ++reg) {
    Result result{.slot = traits.results[reg]};
    for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
      for (std::size_t byte = 0; byte < 4; ++byte) {
        const std::size_t place = form.place(reg, lane, byte);
        const bool undefined = (rows[place / kRowBytes] >> (place % kRowBytes) & 1U) != 0;
        result.bits[lane] |= std::uint64_t{undefined ? 0xffU : 0U} << (8 * byte);
      }
    }
    results_.push_back(result);
  }
}

void Definedness::store_matrix(Warp& warp, const Instruction& instruction, const Traits& traits,
                               const WarpShadow& shadow) {
  const MatrixForm& form = matrix_forms()[instruction.row->form];
  std::array<std::uint64_t, kWarpLanes> rows{};
  for (std::size_t reg = 0; any_undefined_ && reg < traits.sources.size(); ++reg) {
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      const std::uint64_t bits = undefined_bits(shadow, traits.sources[reg], lane);
      for (std::size_t byte = 0; byte < 4; ++byte) {
        if ((bits >> (8 * byte) & 0xffU) == 0) continue;
        const std::size_t place = form.place(reg, static_cast<std::size_t>(lane), byte);
        rows[place / kRowBytes] |= std::uint64_t{1} << (place % kRowBytes);
      }
    }
  }
  for (const Touch& touch : touches_) {
    std::uint64_t at = 0;
    DefinedBytes* bytes = bytes_at(warp, touch, at);
    if (bytes != nullptr) bytes->assign(at, touch.bytes, rows[static_cast<std::size_t>(touch.lane)]);
  }
}

/// movmatrix.trans of 8 x 8 elements of 16 bits: a lane has elements 2 (lane % 4) and the next of row lane / 4.
void Definedness::move_matrix(const Traits& traits, const WarpShadow& shadow) {
  Result result{.slot = traits.results[0]};
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    for (int half = 0; half < 2; ++half) {
      const int row = 2 * (lane % 4) + half;
      const int column = lane / 4;
      const std::uint64_t bits = undefined_bits(shadow, traits.sources[0], 4 * row + column / 2) >> (16 * (column % 2));
      result.bits[static_cast<std::size_t>(lane)] |= (bits & 0xffffU) << (16 * half);
    }
  }
  results_.push_back(result);
}

/// D A B C, then scale and selectors of A and of B. A result is undefined when its row of A, its column of B, their
/// scales or its element of C has an undefined bit. See MmaForm for who holds what.
void Definedness::multiply(Warp& warp, const Instruction& instruction, const WarpShadow& shadow) {
  const MmaForm& form = mma_forms()[instruction.row->form];
  const int sums = form.sum_registers();
  const int a_registers = form.a_registers();
  const int b_registers = form.b_registers();
  const Slot* d = instruction.operands;
  const Slot* a = d + sums;
  const Slot* b = a + a_registers;
  const Slot* c = b + b_registers;
  const Slot* scales = c + sums;  // of A, its byte and thread, of B, its byte and thread
  const int halves = form.m / 8;
  std::array<bool, 16> rows{};
  std::array<bool, 8> columns{};
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const int group = lane / 4;
    for (int r = 0; r < a_registers; ++r) {
      if (undefined_bits(shadow, a[r], lane) != 0)
        rows[static_cast<std::size_t>(group) + 8 * static_cast<std::size_t>(r % halves)] = true;
    }
    for (int r = 0; r < b_registers; ++r) {
      if (undefined_bits(shadow, b[r], lane) != 0) columns[static_cast<std::size_t>(group)] = true;
    }
    if (form.scales == 0) continue;
    const auto selected = [&](Slot slot, Slot byte) {
      const std::uint64_t first = form.scales == 4 ? 0 : warp.in(byte)[lane] & 3U;
      const std::uint64_t mask = ((std::uint64_t{1} << (8 * static_cast<unsigned>(form.scales))) - 1) << (8 * first);
      return (undefined_bits(shadow, slot, lane) & mask & 0xffffffffU) != 0;
    };
    const int thread_a = static_cast<int>(warp.in(scales[2])[lane] & 1U);
    const int thread_b = static_cast<int>(warp.in(scales[5])[lane] & 3U);
    if (lane % 4 / 2 == thread_a && selected(scales[0], scales[1])) {
      rows[static_cast<std::size_t>(group) + 8 * static_cast<std::size_t>(lane % 2)] = true;
    }
    if (lane % 4 == thread_b && selected(scales[3], scales[4])) columns[static_cast<std::size_t>(group)] = true;
  }
  for (int r = 0; r < sums; ++r) {
    Result result{.slot = d[r]};
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      const std::uint64_t added = undefined_bits(shadow, c[r], lane);
      std::uint64_t& bits = result.bits[static_cast<std::size_t>(lane)];
      for (int part = 0; part < (form.f16_sums() ? 2 : 1); ++part) {
        const std::uint64_t element = form.f16_sums() ? std::uint64_t{0xffff} << (16 * part) : kAllBits;
        const int row = lane / 4 + 8 * (form.f16_sums() ? r : r / 2);
        const int column = 2 * (lane % 4) + (form.f16_sums() ? part : r % 2);
        const bool undefined = rows[static_cast<std::size_t>(row)] || columns[static_cast<std::size_t>(column)];
        if (undefined || (added & element) != 0) bits |= element;
      }
    }
    results_.push_back(result);
  }
}

}  // namespace moesaic::emulator
