#include "isa/cell_cases.hpp"
#include "isa/isa_case.hpp"
#include "isa/operand_values.hpp"

namespace moesaic::isa {
namespace {

constexpr unsigned kThreads = 128;
constexpr unsigned kBlocks = 4;
constexpr std::size_t kElements = kThreads * kBlocks;

std::string number(std::size_t value) {
  return std::to_string(value);
}

/// What an atomic is run on: for each thread a cell of 16 bytes, then one that holds b, then one that holds c.
Words operands_of(const MemoryRow& row) {
  const unsigned bits = row.type == "b128" ? 64 : type_bits(row.type);
  const std::string type = row.type == "b128" ? "b64" : row.type;
  const std::size_t per_cell = 128 / bits;
  Words words(kElements * 12);
  std::size_t seed_shift = 0;
  for (std::size_t part = 0; part < per_cell; ++part, seed_shift += 7) {
    const std::vector<Values> values = operand_values({type, type, type}, kElements);
    for (std::size_t thread = 0; thread < kElements; ++thread) {
      const std::size_t element = (thread + seed_shift) % kElements;
      for (std::size_t which = 0; which < 3; ++which) {
        // Half of the compare operands are equal to what they are compared with.
        const bool equal = row.operation == "cas" && which == 1 && thread % 2 == 0;
        const std::uint64_t value = values[equal ? 0 : which][element];
        const std::size_t bit = part * bits;
        std::uint32_t* cell = &words[(which * kElements + thread) * 4];
        cell[bit / 32] |= static_cast<std::uint32_t>(value << (bit % 32));
        if (bits == 64) cell[bit / 32 + 1] = static_cast<std::uint32_t>(value >> 32);
      }
    }
  }
  return words;
}

/// Loads b or c into registers of the type.
std::string load_source(const MemoryRow& row, const std::string& prefix, std::size_t which) {
  const std::string at = std::string("[%mine+") + number(which * kElements * 16) + "]";
  if (row.type == "b128") {
    return "ld.global.v2.b64 {%low, %high}, " + at + ";\nmov.b128 " + prefix + "0, {%low, %high};\n";
  }
  const std::string type = register_of(row.type);
  std::string text;
  const std::size_t bytes = type == ".b64" ? 8 : type == ".b32" ? 4 : 2;
  for (int i = 0; i < row.count; ++i) {
    text += "ld.global" + type + " " + prefix + number(static_cast<std::size_t>(i)) + ", [%mine+" +
            number(which * kElements * 16 + bytes * static_cast<std::size_t>(i)) + "];\n";
  }
  return text;
}

/// Stores what atom returned into the second quarter of the output.
std::string store_old(const MemoryRow& row) {
  const std::string type = register_of(row.type);
  std::string text;
  if (type == ".b128") {
    return std::string("mov.b128 {%low, %high}, %d0;\nst.global.v2.b64 [%to+") + number(kElements * 16) +
           "], {%low, %high};\n";
  }
  const std::size_t bytes = type == ".b64" ? 8 : type == ".b32" ? 4 : 2;
  for (int i = 0; i < row.count; ++i) {
    const std::size_t index = static_cast<std::size_t>(i);
    text += "st.global" + type + " [%to+" + number(kElements * 16 + bytes * index) + "], %d" + number(index) + ";\n";
  }
  return text;
}

/// Every thread on a cell of its own: the cell afterwards and, of atom, what it returned.
Case own_cells(const MemoryRow& row, const std::string& name, bool in_shared) {
  Case one;
  one.name = name;
  one.threads = kThreads;
  one.blocks = kBlocks;
  one.input = operands_of(row);
  const std::string registers = register_of(row.type);
  one.body =
      ".reg .b64 %at, %mine, %to, %cell, %low, %high; .reg .b32 %w<4>, %t;\n.reg " + registers +
      " %b<8>, %c<8>, %d<8>;\nmul.wide.u32 %at, %thread, 16;\nadd.u64 %mine, %in, %at;\nadd.u64 %to, %out, %at;\n"
      "ld.global.v4.b32 {%w0, %w1, %w2, %w3}, [%mine];\n" +
      load_source(row, "%b", 1) + load_source(row, "%c", 2);
  if (in_shared) {
    one.body +=
        ".shared .align 16 .b8 cells[2048];\nmov.u32 %t, %tid.x;\nmov.b64 %cell, cells;\nmad.wide.u32 %cell, %t, 16, "
        "%cell;\n";
    if (row.space.empty()) one.body += "cvta.shared.u64 %cell, %cell;\n";
  } else {
    one.body += "mov.b64 %cell, %to;\n";
  }
  one.body += "st" + row.space + ".v4.b32 [%cell], {%w0, %w1, %w2, %w3};\n";
  if (row.opcode == "atom") one.body += row.row->name + " " + operand("%d", row.count) + ", [%cell], ";
  if (row.opcode == "red") one.body += row.row->name + " [%cell], ";
  one.body +=
      operand("%b", row.count) + (row.operation == "cas" ? std::string(", ") + operand("%c", row.count) : "") + ";\n";
  if (in_shared) {
    one.body +=
        "ld" + row.space + ".v4.b32 {%w0, %w1, %w2, %w3}, [%cell];\nst.global.v4.b32 [%to], {%w0, %w1, %w2, %w3};\n";
  }
  if (row.opcode == "atom") one.body += store_old(row);
  const std::string part = row.row->name + (row.space.empty() ? (in_shared ? " to shared" : " to global") : "");
  one.parts.push_back(Part{part, {row.row->name}, kElements * (row.opcode == "atom" ? 8U : 4U), {}});
  return one;
}

/// All threads on one cell, for integer sums, where the order does not matter.
Case one_cell(const MemoryRow& row, const std::string& name) {
  Case one;
  one.name = name;
  one.threads = kThreads;
  one.blocks = kBlocks;
  const bool wide = row.type.ends_with("64");
  one.body = std::string(".reg .b64 %value; .reg ") + (wide ? ".b64" : ".b32") + " %d0, %b0;\n" +
             (wide ? "mul.wide.u32 %b0, %thread, 0x9e3779b9;\n" : "mul.lo.u32 %b0, %thread, 0x9e3779b9;\n") +
             row.row->name + (row.opcode == "atom" ? " %d0, [%out], %b0;\n" : " [%out], %b0;\n");
  one.parts.push_back(Part{row.row->name + " of all threads", {row.row->name}, wide ? 2U : 1U, {}});
  return one;
}

bool is_order_free(const MemoryRow& row) {
  const bool integer = row.type.find('f') == std::string::npos && row.type != "b128";
  return integer && row.space != ".shared" && row.operation != "cas" && row.operation != "exch" &&
         row.operation != "inc" && row.operation != "dec";
}

}  // namespace

std::vector<Case> atomic_cases() {
  std::vector<Case> cases;
  const auto name = [&] { return std::string("atomic") + std::to_string(cases.size()); };
  for (const MemoryRow& row : memory_rows({"atom", "red"})) {
    MemoryRow one = row;
    if (row.type == "b128") one.count = 1;
    const bool vector = row.count > 1;
    if (row.space != ".shared") cases.push_back(own_cells(one, name(), false));
    if (row.space != ".global" && !vector) cases.push_back(own_cells(one, name(), true));
    if (is_order_free(row) && !vector) cases.push_back(one_cell(one, name()));
  }
  return cases;
}

}  // namespace moesaic::isa
