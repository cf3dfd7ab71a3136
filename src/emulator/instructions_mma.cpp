#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/mma_form.hpp"
#include "emulator/whole_warp.hpp"

/// mma.sync: fragments to dense matrices (mma_form.hpp), the tensor core's arithmetic, and back.
namespace moesaic::emulator {
namespace {

/// Rows of A or columns of B, one after another; of the sums [m, 8] only as many as there are.
constexpr std::size_t kMaxRowBytes = 128;
using RowBytes = std::array<std::byte, 16 * kMaxRowBytes>;
using SumBytes = std::array<std::byte, 16 * 8 * 8>;

template <typename Register>
void gather(const Warp& warp, const Slot* slots, int registers, std::size_t rows, std::size_t row_bytes,
            std::byte* out) {
  for (std::size_t r = 0; r < static_cast<std::size_t>(registers); ++r) {
    const std::uint64_t* in = warp.in(slots[r]);
    std::byte* to = out + 8 * (r % (rows / 8)) * row_bytes + 4 * sizeof(Register) * (r / (rows / 8));
    for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
      const auto value = static_cast<Register>(in[lane]);
      std::memcpy(to + lane / 4 * row_bytes + lane % 4 * sizeof(Register), &value, sizeof value);
    }
  }
}

/// Calls visit(register, lane, offset) with the place of each register of the sums in their dense matrix, whose rows
/// have 8 elements of `element_bytes`.
template <typename Visit>
void for_each_sum(const MmaForm& form, std::size_t element_bytes, Visit&& visit) {
  const std::size_t each = form.f16_sums() ? 2 : 1;  // elements in a register
  for (std::size_t r = 0; r < static_cast<std::size_t>(form.sum_registers()); ++r) {
    for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
      const std::size_t element = r * each;
      const std::size_t row = lane / 4 + 8 * (element / 2);
      visit(r, lane, (row * 8 + 2 * (lane % 4) + element % 2) * element_bytes);
    }
  }
}

template <typename Register>
void gather_sums(const Warp& warp, const MmaForm& form, const Slot* slots, SumBytes& sums) {
  const std::size_t element = form.f16_sums() ? 2 : sizeof(Register);
  for_each_sum(form, element, [&](std::size_t r, std::size_t lane, std::size_t at) {
    const auto value = static_cast<Register>(warp.in(slots[r])[lane]);
    std::memcpy(&sums[at], &value, sizeof value);
  });
}

template <typename Register>
void scatter_sums(Warp& warp, const MmaForm& form, const Slot* slots, const SumBytes& sums) {
  const std::size_t element = form.f16_sums() ? 2 : sizeof(Register);
  for_each_sum(form, element, [&](std::size_t r, std::size_t lane, std::size_t at) {
    Register value;
    std::memcpy(&value, &sums[at], sizeof value);
    warp.out(slots[r])[lane] = value;
  });
}

/// The scales of rows of A and columns of B, four for each, of which MmaForm::scales are used.
struct Scales {
  std::array<std::uint8_t, 16 * 4> a{};
  std::array<std::uint8_t, 8 * 4> b{};
};

/// A selector is one 16-bit value for the whole warp.
std::uint32_t selector(Warp& warp, const Instruction& instruction, Slot slot, std::uint32_t most, std::uint32_t step,
                       const char* what) {
  const std::uint64_t* in = warp.in(slot);
  const auto value = static_cast<std::uint16_t>(in[0]);
  const bool uniform = std::all_of(in, in + kWarpLanes, [&](std::uint64_t v) { return (v & 0xffffU) == value; });
  if (!uniform || value > most || value % step != 0) {
    warp.fail(Fault::Kind::invalid, instruction, kAllLanes,
              fmt::format("{} of the scales is {}{}; multiples of {} up to {} are legal, one for all lanes", what,
                          value, uniform ? "" : " and others", step, most));
  }
  return value;
}

/// PTX ISA, "Block Scaling for mma.sync": of each group of four lanes, lanes 2 t and 2 t + 1 (t the thread selector of
/// A) hold the scales of rows group and group + 8; the lane that the thread selector of B names holds those of column
/// group. The byte selector names the first of the bytes used.
Scales gather_scales(Warp& warp, const Instruction& instruction, const MmaForm& form, const Slot* op) {
  const auto count = static_cast<std::uint32_t>(form.scales);
  const std::uint32_t a_byte = selector(warp, instruction, op[1], 4 - count, count, "byte selector of A");
  const std::uint32_t a_thread = selector(warp, instruction, op[2], 1, 1, "thread selector of A");
  const std::uint32_t b_byte = selector(warp, instruction, op[4], 4 - count, count, "byte selector of B");
  const std::uint32_t b_thread = selector(warp, instruction, op[5], 3, 1, "thread selector of B");
  Scales scales;
  const auto take = [&](Slot slot, std::size_t lane, std::uint32_t byte, std::uint8_t* to) {
    const std::uint64_t bits = warp.in(slot)[lane] >> (8 * byte);
    std::memcpy(to, &bits, count);
  };
  for (std::size_t group = 0; group < 8; ++group) {
    take(op[0], 4 * group + 2 * a_thread, a_byte, &scales.a[4 * group]);
    take(op[0], 4 * group + 2 * a_thread + 1, a_byte, &scales.a[4 * (group + 8)]);
    take(op[3], 4 * group + b_thread, b_byte, &scales.b[4 * group]);
  }
  return scales;
}

/// The first of each four.
template <std::size_t kCount>
std::array<std::uint8_t, kCount / 4> first_scales(const std::array<std::uint8_t, kCount>& scales) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<std::uint8_t, kCount / 4> first;
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = scales[4 * i];
  return first;
}

/// Codes of 8 bits as they are; of 4 bits each in a byte of its own.
std::array<std::uint8_t, 16 * 64> integer_codes(const MmaForm& form, const RowBytes& packed, int rows) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): what is read is written below
  std::array<std::uint8_t, 16 * 64> codes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows) * static_cast<std::size_t>(form.k); ++i) {
    const auto bits = static_cast<std::size_t>(form.code_bits);
    codes[i] = static_cast<std::uint8_t>(std::to_integer<std::uint32_t>(packed[i * bits / 8]) >> (i * bits % 8));
  }
  return codes;
}

struct Operands {
  alignas(8) RowBytes a;
  alignas(8) RowBytes b;
  alignas(8) SumBytes sums;  ///< C, then D
};

template <typename T, std::size_t kBytes>
T* as(std::array<std::byte, kBytes>& bytes) {
  return reinterpret_cast<T*>(bytes.data());
}

void multiply_narrow(const MmaForm& form, bool sm90, Operands& in) {
  const auto* a = as<std::uint8_t>(in.a);
  const auto* b = as<std::uint8_t>(in.b);
  if (form.arithmetic == MmaArithmetic::narrow) {
    const auto function = sm90 ? reference::mma_narrow_sm90 : reference::mma_narrow_sm120;
    function(form.a, form.b, form.k, a, b, as<float>(in.sums), as<float>(in.sums));
  } else {
    const auto function = sm90 ? reference::mma_narrow_sm90_f16 : reference::mma_narrow_sm120_f16;
    function(form.a, form.b, form.k, a, b, as<std::uint16_t>(in.sums), as<std::uint16_t>(in.sums));
  }
}

void multiply(const MmaForm& form, bool sm90, const Scales& scales, Operands& in) {
  auto* f32 = as<float>(in.sums);
  auto* f16 = as<std::uint16_t>(in.sums);
  auto* s32 = as<std::int32_t>(in.sums);
  switch (form.arithmetic) {
    case MmaArithmetic::half:
      return reference::mma_half(form.half, form.k, as<std::uint16_t>(in.a), as<std::uint16_t>(in.b), f32, f32);
    case MmaArithmetic::half_f16:
      return reference::mma_half_f16(form.k, as<std::uint16_t>(in.a), as<std::uint16_t>(in.b), f16, f16);
    case MmaArithmetic::tf32:
      return reference::mma_tf32(form.k, as<std::uint32_t>(in.a), as<std::uint32_t>(in.b), f32, f32);
    case MmaArithmetic::narrow:
    case MmaArithmetic::narrow_f16:
      return multiply_narrow(form, sm90, in);
    case MmaArithmetic::mxf8:
      return reference::mma_mxf8(form.a, form.b, as<std::uint8_t>(in.a), as<std::uint8_t>(in.b),
                                 first_scales(scales.a).data(), first_scales(scales.b).data(), f32, f32);
    case MmaArithmetic::fp4:
      return reference::mma_fp4(form.scale_format, as<std::uint8_t>(in.a), as<std::uint8_t>(in.b), scales.a.data(),
                                scales.b.data(), f32, f32);
    case MmaArithmetic::f64:
      return reference::mma_f64(form.m, form.k, as<double>(in.a), as<double>(in.b), as<double>(in.sums),
                                as<double>(in.sums));
    case MmaArithmetic::integer:
      return reference::mma_integer(form.integers, form.m, form.k, integer_codes(form, in.a, form.m).data(),
                                    integer_codes(form, in.b, 8).data(), s32, s32);
    case MmaArithmetic::bits:
      return reference::mma_bits(form.exclusive, form.m, form.k / 32, as<std::uint32_t>(in.a), as<std::uint32_t>(in.b),
                                 s32, s32);
  }
}

/// D A B C, then scales and selectors where there are any.
template <typename Register>
Flow mma(Warp& warp, const Instruction& instruction, Lanes active) {
  const MmaForm& form = mma_forms()[instruction.row->form];
  const bool sm90 = warp.block.grid.options.card.major == 9;
  if (sm90 && form.only_sm120) {
    warp.fail(Fault::Kind::unsupported, instruction, active, "only cards of compute capability 12.x have this form");
  }
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* d = instruction.operands;
  const Slot* a = d + form.sum_registers();
  const Slot* b = a + form.a_registers();
  const Slot* c = b + form.b_registers();
  const auto row_bytes = static_cast<std::size_t>(form.row_bytes());
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): what is read is gathered below
  Operands in;
  gather<Register>(warp, a, form.a_registers(), static_cast<std::size_t>(form.m), row_bytes, in.a.data());
  gather<Register>(warp, b, form.b_registers(), 8, row_bytes, in.b.data());
  gather_sums<Register>(warp, form, c, in.sums);
  Scales scales;
  if (form.scales != 0) scales = gather_scales(warp, instruction, form, c + form.sum_registers());
  multiply(form, sm90, scales, in);
  scatter_sums<Register>(warp, form, d, in.sums);
  warp.block.count_mma();
  return Flow::next;
}

}  // namespace

void add_mma_rows(InstructionTable& table) {
  const std::vector<MmaForm>& forms = mma_forms();
  for (std::size_t i = 0; i < forms.size(); ++i) {
    const InstructionTable::Section section(table, forms[i].only_sm120 ? Target::sm_120f : Target::any,
                                            forms[i].only_sm120 ? Proof::model : Proof::silicon);
    const Handler run = forms[i].register_bytes() == 8 ? mma<std::uint64_t> : mma<std::uint32_t>;
    for (const std::string& operands : forms[i].operands()) {
      table.add(forms[i].name, operands, Class::matrix, run, {}, static_cast<std::uint16_t>(i));
    }
  }
}

}  // namespace moesaic::emulator
