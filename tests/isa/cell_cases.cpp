#include "isa/cell_cases.hpp"

#include <algorithm>

namespace moesaic::isa {
namespace {

std::vector<std::string> words_of(const std::string& name) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    words.push_back(name.substr(at, dot - at));
    at = dot + 1;
  }
  return words;
}

}  // namespace

std::vector<MemoryRow> memory_rows(const std::vector<std::string>& opcodes) {
  std::vector<MemoryRow> rows;
  for (const emulator::Row& row : emulator::InstructionTable::get().rows()) {
    const std::vector<std::string> words = words_of(row.name);
    if (std::find(opcodes.begin(), opcodes.end(), words[0]) == opcodes.end() || words[1] == "async") continue;
    if (row.target != emulator::Target::any || row.proof != emulator::Proof::silicon || row.access.bytes == 0) continue;
    MemoryRow one{&row, words[0], {}, {}, words.back(), 1};
    for (std::size_t i = 1; i + 1 < words.size(); ++i) {
      const std::string& word = words[i];
      if (word == "global" || word == "shared" || word == "local" || word == "const" || word == "param") {
        one.space = "." + word;
      } else if (word == "v2" || word == "v4" || word == "v8") {
        one.count = word[1] - '0';
      } else if (word != "noftz") {
        one.operation = word;
      }
    }
    rows.push_back(one);
  }
  return rows;
}

std::string register_of(const std::string& type) {
  if (type == "b128") return ".b128";
  if (type.ends_with("64")) return ".b64";
  return type.ends_with("16") && type.find('x') == std::string::npos ? ".b16" : ".b32";
}

std::string operand(const std::string& prefix, int count) {
  if (count == 1) return prefix + "0";
  std::string text = "{";
  for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ", ") + prefix + std::to_string(i);
  return text + "}";
}

}  // namespace moesaic::isa
