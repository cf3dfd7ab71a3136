#include "isa/cell_cases.hpp"
#include "isa/isa_case.hpp"

namespace moesaic::isa {
namespace {

constexpr unsigned kThreads = 64;
constexpr std::size_t kCellWords = 4;

Words random_words(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  Words words(count);
  for (std::uint32_t& word : words) word = random.word();
  return words;
}

/// The registers through which values of a type go: loads of fewer than 32 bits fill 32, with zeros or the sign.
std::string wide_register(const MemoryRow& row) {
  const std::string type = register_of(row.type);
  return type == ".b16" ? ".b32" : type;
}

/// Puts the thread's cell of the input into the space and its address into %cell.
std::string place_cell(const MemoryRow& row, const std::string& name) {
  std::string text =
      ".reg .b64 %at, %cell, %mine; .reg .b32 %w<4>;\nmul.wide.u32 %at, %thread, 16;\nadd.u64 %mine, %in, %at;\n";
  const std::string copy = "ld.global.v4.b32 {%w0, %w1, %w2, %w3}, [%mine];\n";
  if (row.space == ".global" || row.space.empty()) return text + "mov.b64 %cell, %mine;\n";
  if (row.space == ".const") return text + "mov.b64 %cell, constants_" + name + ";\nadd.u64 %cell, %cell, %at;\n";
  if (row.space == ".param") return text + "mov.b64 %cell, data;\nadd.u64 %cell, %cell, %at;\n";
  const bool shared = row.space == ".shared";
  text += shared ? ".shared .align 16 .b8 cells[1024];\n" : ".local .align 16 .b8 cells[64];\n";
  text += std::string("mov.b64 %cell, cells;\n") + (shared ? "add.u64 %cell, %cell, %at;\n" : "");
  return text + copy + "st" + row.space + ".v4.b32 [%cell], {%w0, %w1, %w2, %w3};\n";
}

/// Stores `count` registers of the thread to the output, from word `first` on.
std::string store_results(const std::string& type, int count, std::size_t& words) {
  std::string text;
  const bool wide = type != ".b32";
  for (int i = 0; i < count; ++i) {
    const std::string at = std::string("+") + std::to_string(words * 4) + "], ";
    const std::string name = std::string("%d") + std::to_string(i);
    if (type == ".b128") {
      text += "mov.b128 {%low, %high}, " + name + ";\nst.global.v2.b64 [%to16" + at + "{%low, %high};\n";
      words += std::size_t{4} * kThreads;
    } else {
      text += "st.global" + type + (wide ? " [%to8" : " [%to4") + at + name + ";\n";
      words += std::size_t{wide ? 2U : 1U} * kThreads;
    }
  }
  return text;
}

const char* kOutputs =
    ".reg .b64 %to4, %to8, %to16, %low, %high;\nmad.wide.u32 %to4, %thread, 4, %out;\n"
    "mad.wide.u32 %to8, %thread, 8, %out;\nmad.wide.u32 %to16, %thread, 16, %out;\n";

std::string constants(const std::string& name, const Words& words) {
  std::string text = ".const .align 16 .b32 constants_" + name + "[" + std::to_string(words.size()) + "] = {";
  for (std::size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(words[i]);
  return text + "};\n";
}

Case load_case(const MemoryRow& row, const std::string& name) {
  Case one;
  one.name = name;
  one.threads = kThreads;
  one.input = random_words(kThreads * kCellWords, 1);
  if (row.space == ".param") one.data = random_words(kThreads * kCellWords, 2);
  if (row.space == ".const") one.declarations = constants(name, random_words(kThreads * kCellWords, 3));
  const std::string type = wide_register(row);
  const int count = row.type == "b128" ? 1 : row.row->access.count;
  std::size_t words = 0;
  one.body = place_cell(row, name) + kOutputs + ".reg " + type + " %d<8>;\n" + row.row->name + " " +
             operand("%d", count) + ", [%cell];\n" + store_results(type, count, words);
  one.parts.push_back(Part{row.row->name, {row.row->name}, words, {}});
  return one;
}

/// The cell afterwards; what the store leaves alone is what it was.
Case store_case(const MemoryRow& row, const std::string& name) {
  Case one;
  one.name = name;
  one.threads = kThreads;
  one.input = random_words(kThreads * kCellWords * 2, 4);
  const std::string type = wide_register(row);
  const int count = row.type == "b128" ? 1 : row.row->access.count;
  constexpr int kValues = kThreads * kCellWords * 4;  // bytes from a cell to what is stored into it
  one.body = place_cell(row, name) + kOutputs + ".reg .b128 %x0; .reg .b32 %d<8>; .reg .b64 %e<8>;\n";
  const bool global = row.space.empty() || row.space == ".global";
  if (global) {
    one.body +=
        "ld.global.v4.b32 {%w0, %w1, %w2, %w3}, [%mine];\nst.global.v4.b32 [%to16], {%w0, %w1, %w2, %w3};\n"
        "mov.b64 %cell, %to16;\n";
  }
  std::string source = operand("%d", count);
  if (type == ".b32") {
    for (int i = 0; i < count; ++i) {
      one.body +=
          std::string("ld.global.b32 %d") + std::to_string(i) + ", [%mine+" + std::to_string(kValues + 4 * i) + "];\n";
    }
  } else {
    one.body += std::string("ld.global.v2.b64 {%e0, %e1}, [%mine+") + std::to_string(kValues) +
                "];\nmov.b128 %x0, {%e0, %e1};\n";
    source = type == ".b128" ? "%x0" : operand("%e", count);
  }
  one.body += row.row->name + " [%cell], " + source + ";\n";
  if (!global) {
    one.body +=
        "ld" + row.space + ".v4.b32 {%w0, %w1, %w2, %w3}, [%cell];\nst.global.v4.b32 [%to16], {%w0, %w1, %w2, %w3};\n";
  }
  one.parts.push_back(Part{row.row->name, {row.row->name}, kThreads * kCellWords, {}});
  return one;
}

}  // namespace

std::vector<Case> memory_cases() {
  std::vector<Case> cases;
  for (const MemoryRow& row : memory_rows({"ld", "ldu", "st"})) {
    const std::string name = std::string("memory") + std::to_string(cases.size());
    cases.push_back(row.opcode == "st" ? store_case(row, name) : load_case(row, name));
  }
  return cases;
}

}  // namespace moesaic::isa
