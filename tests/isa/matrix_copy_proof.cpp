#include <array>

#include "device/place.hpp"
#include "emulator/instruction.hpp"
#include "emulator/matrix_form.hpp"
#include "isa/async_script.hpp"
#include "isa/register_case.hpp"
#include "isa/row_proof.hpp"

/// Loads and stores of matrices, and copies, that only 12.x has, computed once more from the words that go in.
namespace moesaic::isa {
namespace {

using emulator::MatrixForm;

Words run_on_gb10(const Case& one, std::string& error) {
  device::Place place = device::parse_place("emulated:gb10");
  place.sms = 1;
  const std::vector<Case> cases{one};
  const std::vector<Answer> answers = run_cases(device::open_driver(place), "sm_120f", cases);
  error = answers[0].error;
  return answers[0].words;
}

std::uint32_t byte_of(const Words& words, std::size_t byte) {
  return words[byte / 4] >> (8 * (byte % 4)) & 0xffU;
}

/// The row of the tile whose address lane i gives.
std::size_t row_of_lane(std::size_t lane) {
  return (lane * 5 + 3) % 32;
}

/// Element `column` of the row whose address lane `row` gives; `bits` of an element as they lie in shared memory.
std::uint32_t element(const Words& tile, std::size_t row, std::size_t column, std::size_t bits) {
  std::uint32_t value = 0;
  for (std::size_t bit = 0; bit < bits; ++bit) {
    const std::size_t at = column * bits + bit;
    value |= (byte_of(tile, row_of_lane(row) * 16 + at / 8) >> (at % 8) & 1U) << bit;
  }
  return value;
}

std::size_t bits_of(const MatrixForm& form) {
  return form.packing == MatrixForm::Packing::four ? 4 : form.packing == MatrixForm::Packing::six ? 6 : 8;
}

/// One warp: thread l fills row l of the tile with registers s, then the instruction runs; for stores the tile is read.
Case memory_case(const std::string& name, const MatrixForm& form, bool shared) {
  const RegisterSet data{"s", 4, 32};
  const RegisterSet values{"v", form.registers, 32};
  const RegisterSet result{"o", form.stores ? 4 : form.registers, 32};
  Random random(77);
  std::string text =
      ".shared .align 16 .b8 tile[512];\n.reg .b32 %base, %own, %at;\n.reg .b64 %far;\nmov.u32 %base, tile;\n"
      "shl.b32 %own, %thread, 4;\nadd.u32 %own, %own, %base;\nst.shared.v4.b32 [%own], " +
      braced(data) +
      ";\nmad.lo.u32 %at, %thread, 80, 48;\nand.b32 %at, %at, 511;\nadd.u32 %at, %at, %base;\n"
      "cvt.u64.u32 %far, %at;\ncvta.shared.u64 %far, %far;\nbar.warp.sync -1;\n";
  const std::string address = shared ? "[%at]" : "[%far]";
  if (form.stores) {
    text += name + " " + address + ", " + braced(values) + ";\nbar.warp.sync -1;\nld.shared.v4.b32 " + braced(result) +
            ", [%own];\n";
  } else {
    text += name + " " + braced(result) + ", " + address + ";\n";
  }
  return register_case("matrix", {name}, text, {data, values}, {result}, 1, 32,
                       [&](const RegisterSet&, int, unsigned) { return random.word(); });
}

std::string prove_matrix(const emulator::Row& row) {
  const MatrixForm& form = emulator::matrix_forms()[row.form];
  const Case one = memory_case(row.name, form, row.name.find(".shared") != std::string::npos);
  // Registers lie one after another, each for all lanes; the tile row by row.
  Words tile(128);
  for (std::size_t word = 0; word < 128; ++word) tile[word] = one.input[word % 4 * 32 + word / 4];
  const auto value = [&](std::size_t reg, std::size_t lane, std::size_t byte) {
    return one.input[(4 + reg) * 32 + lane] >> (8 * byte) & 0xffU;
  };
  std::string error;
  const Words got = run_on_gb10(one, error);
  if (!error.empty()) return error;
  for (std::size_t reg = 0; reg < static_cast<std::size_t>(form.registers); ++reg) {
    for (std::size_t lane = 0; lane < 32; ++lane) {
      for (std::size_t byte = 0; byte < 4; ++byte) {
        const std::size_t group = lane / 4;
        const std::size_t place = lane % 4;
        bool same = false;
        if (form.stores) {  // m16n8: byte (group + 8 (byte / 2)) of row 2 place + byte mod 2 of matrix reg
          const std::size_t at = row_of_lane(8 * reg + 2 * place + byte % 2) * 16 + group + 8 * (byte / 2);
          same = (got[at % 16 / 4 * 32 + at / 16] >> (8 * (at % 4)) & 0xffU) == value(reg, lane, byte);
        } else {
          const bool m16n16 = row.name.find("m16n16") != std::string::npos;
          const std::size_t source = m16n16 ? 16 * (reg / 2) + 4 * place + byte : 8 * reg + group;
          const std::size_t column = m16n16 ? group + 8 * (reg % 2) : 4 * place + byte;
          same = (got[reg * 32 + lane] >> (8 * byte) & 0xffU) == element(tile, source, column, bits_of(form));
        }
        if (!same) return row.name + ": register " + std::to_string(reg) + " of lane " + std::to_string(lane);
      }
    }
  }
  return {};
}

/// Compares the tile, or an output filled with the input's words, with `byte_at`(byte) for each byte.
template <typename ByteAt>
std::string compare(const Case& one, std::size_t bytes, ByteAt&& byte_at) {
  std::string error;
  const Words got = run_on_gb10(one, error);
  for (std::size_t at = 0; error.empty() && at < bytes; ++at) {
    if (byte_of(got, at) != byte_at(at)) error = one.name + ": byte " + std::to_string(at);
  }
  return error;
}

std::string prove_masked_store() {
  AsyncScript s;
  s.fill_output(2048);
  s << ".reg .b16 %mask"
    << "mov.b16 %mask, 0x9a53";
  s.by_one("cp.async.bulk.global.shared::cta.bulk_group.cp_mask [%out+64], [%tile+1024], 512, %mask");
  s.by_one("cp.async.bulk.commit_group");
  s.by_one("cp.async.bulk.wait_group 0");
  const Case one = s.finish("masked", 21);
  return compare(one, 8192, [&](std::size_t at) {
    const bool copied = at >= 64 && at < 64 + 512 && (0x9a53U >> (at % 16) & 1U) != 0;
    return byte_of(one.input, copied ? at - 64 + 1024 : at);
  });
}

std::string prove_zeros(const std::string& row) {
  AsyncScript s;
  s << "cvt.u64.u32 %d1, %tile"
    << "cvta.shared.u64 %d2, %d1";
  s.by_one(row + (row == "st.bulk" ? " [%d2+64]" : " [%tile+64]") + ", 1000, 0");
  const Case one = s.dump_tile().finish("zeros", 22);
  return compare(one, 8192, [&](std::size_t at) { return at >= 64 && at < 1064 ? 0 : byte_of(one.input, at); });
}

std::string prove_gather() {
  MapCase map;
  map.dims = {96, 20};
  map.strides_bytes = {112};
  map.box = {64, 1};
  map.element_strides = {1, 1};
  map.offset_bytes = kDataBytes;
  AsyncScript s;
  s << "mov.b64 %d3, map0"
    << "cvta.param.u64 %d3, %d3";
  s.init(0, 1).expect(0, 256);
  s.by_one(
      "cp.async.bulk.tensor.2d.shared::cta.global.tile::gather4.mbarrier::complete_tx::bytes [%tile+128], [%d3, "
      "{48, 7, 19, 0, 25}], " +
      AsyncScript::barrier(0));
  Case one = s.wait(0, 0).dump_tile().finish("gather", 23);
  one.maps = {map};
  constexpr std::array<std::size_t, 4> kRows{7, 19, 0, 25};
  return compare(one, 8192, [&](std::size_t at) -> std::uint32_t {
    if (at < 128 || at >= 128 + 256) return byte_of(one.input, at);
    const std::size_t row = kRows[(at - 128) / 64];
    const std::size_t column = 48 + (at - 128) % 64;
    return row < 20 && column < 96 ? byte_of(one.input, kDataBytes + row * 112 + column) : 0;
  });
}

/// A map swizzled in 128 bytes gets atoms of 32 bytes, 32 with their halves flipped, or 64 (PTX ISA, "Swizzling
/// Modes"): a row of 128 bytes at a time, its chunks, or with flipped halves its 8 bytes, change places.
std::string prove_atoms(const std::string& space, std::size_t atom) {
  MapCase map;
  map.dims = {128, 16};
  map.strides_bytes = {128};
  map.box = {128, 16};
  map.element_strides = {1, 1};
  map.swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
  map.offset_bytes = kDataBytes;
  AsyncScript s;
  s << ".shared .align 128 .b8 copy[128]"
    << "mov.u32 %r1, copy"
    << "mov.b64 %d4, map0"
    << "mov.b64 %d5, changed"
    << "cvta.global.u64 %d6, %d5"
    << "shl.b32 %w0, %t, 2"
    << "cvt.u64.u32 %d0, %w0"
    << "add.u64 %d1, %d4, %d0"
    << "ld.param.b32 %w1, [%d1]"
    << "add.u32 %w2, %r1, %w0"
    << "st.shared.b32 [%w2], %w1"
    << "add.u64 %d1, %d5, %d0"
    << "st.global.b32 [%d1], %w1"
    << "bar.sync 0";
  const bool shared = space == ".shared::cta";
  s.by_one("tensormap.replace.tile.swizzle_atomicity" + space + ".b1024.b32 " +
           (shared          ? "[%r1]"
            : space.empty() ? "[%d6]"
                            : "[%d5]") +
           ", " + std::to_string(atom));
  s << "bar.sync 0";
  if (shared) {
    s << "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%d5], [%r1], 128";
  } else {
    s << "fence.proxy.tensormap::generic.release.gpu"
      << "bar.sync 0";
  }
  s << "fence.proxy.tensormap::generic.acquire.gpu [%d6], 128";
  s.init(0, 1).expect(0, 2048);
  s.by_one("cp.async.bulk.tensor.2d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%tile], [%d6, {0, 0}], " +
           AsyncScript::barrier(0));
  Case one = s.wait(0, 0).dump_tile().finish("atoms", 24);
  one.maps = {map};
  one.declarations = ".global .align 128 .b8 changed[128];\n";
  return compare(one, 2048, [&](std::size_t at) {
    const std::size_t row = at / 128;
    const std::size_t chunk = atom == 3 ? 64 : 32;
    std::size_t column = (at % 128 / chunk ^ row % (128 / chunk)) * chunk + at % chunk;
    if (atom == 2 && row % 2 == 1) column = column / 16 * 16 + (column + 8) % 16;
    return byte_of(one.input, kDataBytes + row * 128 + column);
  });
}

std::string prove_all_atoms(const std::string& space) {
  std::string error;
  for (std::size_t atom = 1; atom <= 3 && error.empty(); ++atom) error = prove_atoms(space, atom);
  return error;
}

}  // namespace

std::vector<RowProof> matrix_copy_proofs() {
  std::vector<RowProof> proofs;
  for (const emulator::Row& row : emulator::InstructionTable::get().rows()) {
    const bool matrix = row.name.starts_with("ldmatrix") || row.name.starts_with("stmatrix");
    if (!matrix || !emulator::matrix_forms()[row.form].only_sm120) continue;
    proofs.push_back({{row.name}, [&row] { return prove_matrix(row); }});
  }
  proofs.push_back({{"cp.async.bulk.global.shared.bulk_group.cp_mask"}, prove_masked_store});
  for (const char* row : {"st.bulk", "st.bulk.shared"}) {
    proofs.push_back({{row}, [row] { return prove_zeros(row); }});
  }
  for (const auto& [row, space] : {std::pair{"", ""}, {".global", ".global"}, {".shared", ".shared::cta"}}) {
    proofs.push_back({{std::string("tensormap.replace.tile.swizzle_atomicity") + row + ".b1024.b32"},
                      [space = std::string(space)] { return prove_all_atoms(space); }});
  }
  proofs.push_back(
      {{"cp.async.bulk.tensor.2d.shared.global.tile::gather4.mbarrier::complete_tx::bytes"}, prove_gather});
  return proofs;
}

}  // namespace moesaic::isa
