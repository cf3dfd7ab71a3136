#include <array>
#include <bit>
#include <cstring>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"
#include "reference/tensor_core.hpp"

/// PTX ISA, "Warp Level Matrix Multiply-Accumulate Instructions". In all fragments a lane's group is lane / 4 and its
/// place in the group lane % 4 ("Matrix Fragments for mma.m16n8k16" and "... m16n8k32").
namespace moesaic::emulator {
namespace {

using ptx::Space;
using reference::Fp8;
using reference::Half;

std::uint32_t word(const Warp& warp, Slot slot, int lane) {
  return static_cast<std::uint32_t>(warp.in(slot)[lane]);
}

/// .aligned: all 32 lanes execute the instruction together.
bool whole_warp(Warp& warp, const Instruction& instruction, Lanes active) {
  if (warp.live() != kAllLanes) {
    warp.fail(Fault::Kind::invalid, instruction, ~warp.live(), "these lanes have exited and all 32 must take part");
  }
  return warp.gather(active, kAllLanes);
}

/// ldmatrix: lanes 8 i to 8 i + 7 give the rows of matrix i; lane l receives elements 2 (l % 4) and the next of row
/// l / 4, or of that column when transposed.
template <int kCount, bool kTransposed>
Flow load_matrix(Warp& warp, const Instruction& instruction, Lanes active) {
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  const std::uint64_t* base = warp.in(op[kCount]);
  const std::uint64_t* offset = warp.in(op[kCount + 1]);
  std::array<std::array<std::uint16_t, 8>, 8 * kCount> rows{};
  for (int row = 0; row < 8 * kCount; ++row) {
    const std::byte* from = warp.access(instruction, instruction.row->access.space, base[row] + offset[row], 16, row);
    std::memcpy(rows[static_cast<std::size_t>(row)].data(), from, 16);
  }
  for (std::size_t matrix = 0; matrix < kCount; ++matrix) {
    std::uint64_t* out = warp.out(op[matrix]);
    for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
      const std::size_t group = lane / 4;
      const std::size_t pair = 2 * (lane % 4);
      const auto* m = &rows[8 * matrix];
      const std::uint32_t low = kTransposed ? m[pair][group] : m[group][pair];
      const std::uint32_t high = kTransposed ? m[pair + 1][group] : m[group][pair + 1];
      out[lane] = high << 16 | low;
    }
  }
  return Flow::next;
}

/// The operands of one m16n8 multiply as dense arrays: A [16, k] and B [8, k] with k contiguous, C and D [16, 8].
template <typename Code, int kK>
struct Operands {
  std::array<Code, 16 * kK> a;
  std::array<Code, 8 * kK> b;
};

/// Registers of A hold, in order: rows 0-7 and 8-15 of the lower half of k, then both of the upper half; a register is
/// a run of 4 bytes of k. B has one register for each half of k.
template <typename Code, int kK>
void gather(const Warp& warp, const Slot* a_slots, const Slot* b_slots, Operands<Code, kK>& operands) {
  constexpr std::size_t kRun = 4 / sizeof(Code);
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto group = static_cast<std::size_t>(lane / 4);
    const std::size_t k = kRun * static_cast<std::size_t>(lane % 4);
    for (std::size_t r = 0; r < 4; ++r) {
      const std::uint32_t value = word(warp, a_slots[r], lane);
      const std::size_t row = group + 8 * (r % 2);
      std::memcpy(&operands.a[row * kK + k + kK / 2 * (r / 2)], &value, 4);
    }
    for (std::size_t r = 0; r < 2; ++r) {
      const std::uint32_t value = word(warp, b_slots[r], lane);
      std::memcpy(&operands.b[group * kK + k + kK / 2 * r], &value, 4);
    }
  }
}

using Sums = std::array<float, 16 * 8>;

/// Where register r of an f32 C or D lies.
std::size_t sum_index(int lane, std::size_t r) {
  const std::size_t row = static_cast<std::size_t>(lane / 4) + 8 * (r / 2);
  return row * 8 + 2 * static_cast<std::size_t>(lane % 4) + r % 2;
}

Sums gather_sums(const Warp& warp, const Slot* slots) {
  Sums sums;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    for (std::size_t r = 0; r < 4; ++r) sums[sum_index(lane, r)] = std::bit_cast<float>(word(warp, slots[r], lane));
  }
  return sums;
}

void scatter_sums(Warp& warp, const Slot* slots, const Sums& sums) {
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    for (std::size_t r = 0; r < 4; ++r) {
      warp.out(slots[r])[lane] = std::bit_cast<std::uint32_t>(sums[sum_index(lane, r)]);
    }
  }
}

/// D4 A4 B2 C4.
template <Half kType>
Flow mma_half(Warp& warp, const Instruction& instruction, Lanes active) {
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  Operands<std::uint16_t, 16> in{};
  gather(warp, op + 4, op + 8, in);
  Sums sums = gather_sums(warp, op + 10);
  reference::mma_m16n8k16(kType, in.a.data(), in.b.data(), sums.data(), sums.data());
  scatter_sums(warp, op, sums);
  warp.block.count_mma();
  return Flow::next;
}

/// D2 A4 B2 C2: the sums are pairs of f16.
Flow mma_half_sums(Warp& warp, const Instruction& instruction, Lanes active) {
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  Operands<std::uint16_t, 16> in{};
  gather(warp, op + 2, op + 6, in);
  std::array<std::uint16_t, 16 * 8> sums{};
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    for (std::size_t r = 0; r < 2; ++r) {
      const std::uint32_t pair = word(warp, op[8 + r], lane);
      std::memcpy(&sums[sum_index(lane, 2 * r)], &pair, 4);
    }
  }
  reference::mma_m16n8k16_f16(in.a.data(), in.b.data(), sums.data(), sums.data());
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    for (std::size_t r = 0; r < 2; ++r) {
      std::uint32_t pair = 0;
      std::memcpy(&pair, &sums[sum_index(lane, 2 * r)], 4);
      warp.out(op[r])[lane] = pair;
    }
  }
  warp.block.count_mma();
  return Flow::next;
}

/// D4 A4 B2 C4 of 8-bit floats. The two architectures sum differently.
template <Fp8 kA, Fp8 kB, bool kKind>
Flow mma_fp8(Warp& warp, const Instruction& instruction, Lanes active) {
  const bool is_sm90 = warp.block.grid.options.card.major == 9;
  if (is_sm90 && kKind) {
    warp.fail(Fault::Kind::unsupported, instruction, active, "cards of compute capability 9.x have no .kind::f8f6f4");
  }
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  Operands<std::uint8_t, 32> in{};
  gather(warp, op + 4, op + 8, in);
  Sums sums = gather_sums(warp, op + 10);
  const auto multiply = is_sm90 ? reference::mma_m16n8k32_sm90 : reference::mma_m16n8k32_sm120;
  multiply(kA, kB, in.a.data(), in.b.data(), sums.data(), sums.data());
  scatter_sums(warp, op, sums);
  warp.block.count_mma();
  return Flow::next;
}

/// D4 A4 B2 C4 scale-a {byte, thread} scale-b {byte, thread}. PTX ISA, "Block Scaling for mma.sync", 1X: of each group
/// of four lanes, lanes 2 t and 2 t + 1 (t the thread selector of A) hold the scales of rows group and group + 8; the
/// lane that the thread selector of B names holds that of column group.
template <Fp8 kA, Fp8 kB>
Flow mma_scaled(Warp& warp, const Instruction& instruction, Lanes active) {
  if (warp.block.grid.options.card.major != 12) {
    warp.fail(Fault::Kind::unsupported, instruction, active, "only cards of compute capability 12.x scale blocks");
  }
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  const std::uint32_t a_byte = word(warp, op[15], 0);
  const std::uint32_t a_thread = word(warp, op[16], 0);
  const std::uint32_t b_byte = word(warp, op[18], 0);
  const std::uint32_t b_thread = word(warp, op[19], 0);
  if (a_byte > 3 || b_byte > 3 || a_thread > 1 || b_thread > 3) {
    warp.fail(Fault::Kind::invalid, instruction, active,
              "scale selectors: bytes are 0 to 3, threads 0 or 1 for A and 0 to 3 for B");
  }
  Operands<std::uint8_t, 32> in{};
  gather(warp, op + 4, op + 8, in);
  Sums sums = gather_sums(warp, op + 10);
  std::array<std::uint8_t, 16> a_scales{};
  std::array<std::uint8_t, 8> b_scales{};
  for (std::size_t group = 0; group < 8; ++group) {
    const int first = static_cast<int>(4 * group);
    const int a_lane = first + static_cast<int>(2 * a_thread);
    a_scales[group] = static_cast<std::uint8_t>(word(warp, op[14], a_lane) >> (8 * a_byte));
    a_scales[group + 8] = static_cast<std::uint8_t>(word(warp, op[14], a_lane + 1) >> (8 * a_byte));
    b_scales[group] = static_cast<std::uint8_t>(word(warp, op[17], first + static_cast<int>(b_thread)) >> (8 * b_byte));
  }
  reference::mma_m16n8k32_mxf8(kA, kB, in.a.data(), in.b.data(), a_scales.data(), b_scales.data(), sums.data(),
                               sums.data());
  scatter_sums(warp, op, sums);
  warp.block.count_mma();
  return Flow::next;
}

template <Fp8 kA, Fp8 kB>
void add_fp8(InstructionTable& table, const std::string& types) {
  const std::string shape = ".m16n8k32.row.col.f32." + types + ".f32";
  table.add("mma.sync.aligned" + shape, "D4 S4 S2 S4", Class::matrix, mma_fp8<kA, kB, false>);
  table.add("mma.sync.aligned.kind::f8f6f4" + shape, "D4 S4 S2 S4", Class::matrix, mma_fp8<kA, kB, true>);
  for (const char* operands : {"D4 S4 S2 S4 s S2 s S2", "D4 S4 S2 S4 S1 S2 S1 S2"}) {
    table.add("mma.sync.aligned.kind::mxf8f6f4.block_scale[.scale_vec::1X]" + shape + ".ue8m0", operands, Class::matrix,
              mma_scaled<kA, kB>);
  }
}

template <int kCount>
void add_ldmatrix(InstructionTable& table) {
  const std::string n = std::to_string(kCount);
  for (const auto& [space, where] : {std::pair{"", Space::generic}, std::pair{".shared", Space::shared}}) {
    const std::string tail = std::string(space) + ".b16";
    const std::string name = "ldmatrix.sync.aligned.m8n8.x" + n;
    table.add(name + tail, "D" + n + " a", Class::matrix, load_matrix<kCount, false>, Access{.space = where});
    table.add(name + ".trans" + tail, "D" + n + " a", Class::matrix, load_matrix<kCount, true>, Access{.space = where});
  }
}

}  // namespace

void add_matrix_rows(InstructionTable& table) {
  add_ldmatrix<1>(table);
  add_ldmatrix<2>(table);
  add_ldmatrix<4>(table);
  table.add("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "D4 S4 S2 S4", Class::matrix, mma_half<Half::kF16>);
  table.add("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "D4 S4 S2 S4", Class::matrix, mma_half<Half::kBf16>);
  table.add("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", "D2 S4 S2 S2", Class::matrix, mma_half_sums);
  add_fp8<Fp8::kE4m3, Fp8::kE4m3>(table, "e4m3.e4m3");
  add_fp8<Fp8::kE4m3, Fp8::kE5m2>(table, "e4m3.e5m2");
  add_fp8<Fp8::kE5m2, Fp8::kE4m3>(table, "e5m2.e4m3");
  add_fp8<Fp8::kE5m2, Fp8::kE5m2>(table, "e5m2.e5m2");
}

}  // namespace moesaic::emulator
