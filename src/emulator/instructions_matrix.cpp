#include <fmt/format.h>

#include <array>
#include <cstring>

#include "emulator/block.hpp"
#include "emulator/lanewise.hpp"
#include "emulator/matrix_form.hpp"
#include "emulator/whole_warp.hpp"

/// ldmatrix, stmatrix and movmatrix. PTX ISA, "Warp-level matrix load, store and transpose instructions"; the layout of
/// 8-bit transposed loads, of which the text gives only a figure, as measured on compute capability 12.0 by others and
/// as CuTe has it (copy_traits_sm100.hpp).
namespace moesaic::emulator {
namespace {

using ptx::Space;
using Layout = MatrixForm::Layout;
using Packing = MatrixForm::Packing;

constexpr std::size_t kRowBytes = 16;
constexpr std::size_t kMaxRows = 32;
using Rows = std::array<std::uint8_t, kMaxRows * kRowBytes>;

/// 16 elements of 4 or 6 bits, each into a byte of its own.
void unpack_row(Packing packing, std::uint8_t* row) {
  if (packing == Packing::none) return;
  const std::size_t bits = packing == Packing::four ? 4 : 6;
  std::array<std::uint8_t, kRowBytes + 1> packed{};
  std::memcpy(packed.data(), row, kRowBytes);
  for (std::size_t i = 0; i < kRowBytes; ++i) {
    const std::size_t at = i * bits;
    const std::uint32_t pair = packed[at / 8] | static_cast<std::uint32_t>(packed[at / 8 + 1]) << 8;
    row[i] = static_cast<std::uint8_t>((pair >> (at % 8)) & ((1U << bits) - 1));
  }
}

const MatrixForm& form_of(Warp& warp, const Instruction& instruction, Lanes active) {
  const MatrixForm& form = matrix_forms()[instruction.row->form];
  if (form.only_sm120 && warp.block.grid.options.card.major == 9) {
    warp.fail(Fault::Kind::unsupported, instruction, active, "only cards of compute capability 12.x have this form");
  }
  return form;
}

/// D (registers) [a].
Flow load_matrix(Warp& warp, const Instruction& instruction, Lanes active) {
  const MatrixForm& form = form_of(warp, instruction, active);
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  const std::uint64_t* base = warp.in(op[form.registers]);
  const std::uint64_t* offset = warp.in(op[form.registers + 1]);
  Rows rows;
  for (int row = 0; row < form.rows; ++row) {
    const std::byte* from =
        warp.access(instruction, instruction.row->access.space, base[row] + offset[row], kRowBytes, row);
    std::uint8_t* to = &rows[static_cast<std::size_t>(row) * kRowBytes];
    std::memcpy(to, from, kRowBytes);
    unpack_row(form.packing, to);
  }
  for (std::size_t reg = 0; reg < static_cast<std::size_t>(form.registers); ++reg) {
    std::uint64_t* out = warp.out(op[reg]);
    for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
      std::uint32_t value = 0;
      for (std::size_t byte = 0; byte < 4; ++byte) {
        value |= static_cast<std::uint32_t>(rows[form.place(reg, lane, byte)]) << (8 * byte);
      }
      out[lane] = value;
    }
  }
  return Flow::next;
}

/// [a], S (registers).
Flow store_matrix(Warp& warp, const Instruction& instruction, Lanes active) {
  const MatrixForm& form = form_of(warp, instruction, active);
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  Rows rows;
  for (std::size_t reg = 0; reg < static_cast<std::size_t>(form.registers); ++reg) {
    const std::uint64_t* in = warp.in(op[2 + reg]);
    for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
      for (std::size_t byte = 0; byte < 4; ++byte) {
        rows[form.place(reg, lane, byte)] = static_cast<std::uint8_t>(in[lane] >> (8 * byte));
      }
    }
  }
  for (int row = 0; row < form.rows; ++row) {
    const std::uint64_t address = warp.in(op[0])[row] + warp.in(op[1])[row];
    std::byte* to = warp.writable(instruction, instruction.row->access.space, address, kRowBytes, row);
    std::memcpy(to, &rows[static_cast<std::size_t>(row) * kRowBytes], kRowBytes);
  }
  warp.block.note_effect();
  return Flow::next;
}

/// movmatrix d, s: an 8 x 8 matrix of 16 bits, of which lane l holds elements 2 (l % 4) and the next of row l / 4, is
/// transposed.
Flow move_matrix(Warp& warp, const Instruction& instruction, Lanes active) {
  if (!whole_warp(warp, instruction, active)) return Flow::wait;
  const Slot* op = instruction.operands;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<std::array<std::uint16_t, 8>, 8> matrix;
  const std::uint64_t* in = warp.in(op[1]);
  for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
    matrix[lane / 4][2 * (lane % 4)] = static_cast<std::uint16_t>(in[lane]);
    matrix[lane / 4][2 * (lane % 4) + 1] = static_cast<std::uint16_t>(in[lane] >> 16);
  }
  std::uint64_t* out = warp.out(op[0]);
  for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
    const std::uint32_t high = matrix[2 * (lane % 4) + 1][lane / 4];
    out[lane] = high << 16 | matrix[2 * (lane % 4)][lane / 4];
  }
  return Flow::next;
}

void add_m8n8(std::vector<MatrixForm>& forms, int count) {
  for (const bool stores : {false, true}) {
    MatrixForm form{.stores = stores, .registers = count, .rows = 8 * count};
    const std::string name = fmt::format("{}.sync.aligned.m8n8.x{}", stores ? "stmatrix" : "ldmatrix", count);
    form.name = name;
    forms.push_back(form);
    form.name = name + ".trans";
    form.layout = Layout::trans_b16;
    forms.push_back(form);
  }
}

std::vector<MatrixForm> make_forms() {
  std::vector<MatrixForm> forms;
  for (const int count : {1, 2, 4}) {
    add_m8n8(forms, count);
    forms.push_back({.name = fmt::format("stmatrix.sync.aligned.m16n8.x{}.trans", count),
                     .stores = true,
                     .registers = count,
                     .rows = 8 * count,
                     .layout = Layout::store_trans_b8,
                     .only_sm120 = true});
    for (const Packing packing : {Packing::four, Packing::six}) {
      forms.push_back({.name = fmt::format("ldmatrix.sync.aligned.m8n16.x{}", count),
                       .registers = count,
                       .rows = 8 * count,
                       .packing = packing,
                       .only_sm120 = true});
    }
  }
  for (const int count : {1, 2}) {
    for (const Packing packing : {Packing::none, Packing::four, Packing::six}) {
      forms.push_back({.name = fmt::format("ldmatrix.sync.aligned.m16n16.x{}.trans", count),
                       .registers = 2 * count,
                       .rows = 16 * count,
                       .layout = Layout::load_trans_b8,
                       .packing = packing,
                       .only_sm120 = true});
    }
  }
  return forms;
}

std::string type_of(const MatrixForm& form) {
  if (form.packing == Packing::four) return ".b8x16.b4x16_p64";
  if (form.packing == Packing::six) return ".b8x16.b6x16_p32";
  return form.only_sm120 ? ".b8" : ".b16";
}

}  // namespace

std::size_t MatrixForm::place(std::size_t reg, std::size_t lane, std::size_t byte) const {
  const std::size_t group = lane / 4;
  const std::size_t in_group = lane % 4;
  switch (layout) {
    case Layout::plain:
      break;
    case Layout::trans_b16:
      return (8 * reg + 2 * in_group + byte / 2) * kRowBytes + 2 * group + byte % 2;
    case Layout::load_trans_b8:
      return (16 * (reg / 2) + 4 * in_group + byte) * kRowBytes + group + 8 * (reg % 2);
    case Layout::store_trans_b8:
      return (8 * reg + 2 * in_group + byte % 2) * kRowBytes + group + 8 * (byte / 2);
  }
  return (8 * reg + group) * kRowBytes + 4 * in_group + byte;
}

const std::vector<MatrixForm>& matrix_forms() {
  static const std::vector<MatrixForm> all = make_forms();
  return all;
}

void add_matrix_rows(InstructionTable& table) {
  for (std::size_t i = 0; i < matrix_forms().size(); ++i) {
    const MatrixForm& form = matrix_forms()[i];
    const InstructionTable::Section section(table, form.only_sm120 ? Target::sm_120f : Target::any,
                                            form.only_sm120 ? Proof::independent : Proof::silicon);
    const std::string count = std::to_string(form.registers);
    const std::string operands = form.stores ? "a S" + count : "D" + count + " a";
    for (const auto& [space, where] : {std::pair{"", Space::generic}, std::pair{".shared", Space::shared}}) {
      table.add(form.name + space + type_of(form), operands, Class::matrix, form.stores ? store_matrix : load_matrix,
                Access{.space = where}, static_cast<std::uint16_t>(i));
    }
  }
  table.add("movmatrix.sync.aligned.m8n8.trans.b16", "d s", Class::matrix, move_matrix);
}

}  // namespace moesaic::emulator
