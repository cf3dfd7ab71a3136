#include "isa/row_signature.hpp"

#include <algorithm>
#include <string_view>

#include "emulator/operand_code.hpp"

namespace moesaic::isa {
namespace {

std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    words.emplace_back(name.substr(at, dot - at));
    at = dot + 1;
  }
  return words;
}

bool is_type(std::string_view word) {
  static constexpr std::string_view kTypes[] = {
      "u8",      "s8",     "u16",    "s16",    "b16",    "u32",    "s32",    "b32",    "u64",
      "s64",     "b64",    "b128",   "f16",    "bf16",   "f32",    "f64",    "f16x2",  "bf16x2",
      "f32x2",   "tf32",   "u16x2",  "s16x2",  "e4m3x2", "e5m2x2", "e2m1x2", "e2m3x2", "e3m2x2",
      "ue8m0x2", "e4m3x4", "e5m2x4", "e2m1x4", "e2m3x4", "e3m2x4", "pred",   "b8",     "s2f6x2"};
  return std::find(std::begin(kTypes), std::end(kTypes), word) != std::end(kTypes);
}

std::string twice(const std::string& type) {
  return type.substr(0, 1) + (type.ends_with("16") ? "32" : "64");
}

bool is(const std::string& word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Corrects what `words` say of the operands of some opcodes.
void apply_exceptions(const std::vector<std::string>& words, const std::vector<std::string>& types,
                      Signature& signature) {
  const std::string& opcode = words[0];
  std::vector<std::string>& from = signature.sources;
  const bool wide = std::find(words.begin(), words.end(), "wide") != words.end();
  if (is(opcode, {"shl", "shr", "shf"})) from.back() = "shift";
  if (is(opcode, {"bfe", "bfi"})) from[from.size() - 2] = from.back() = "shift";
  if (opcode == "bmsk") from = {"shift", "shift"};
  if (opcode == "szext") from[1] = "shift";
  if (is(opcode, {"popc", "clz", "bfind"})) signature.results = {"u32"};
  if (wide) signature.results = {twice(types[0])};
  if (wide && from.size() > 2) from[2] = twice(types[0]);
  if (opcode == "slct") from = {types[0], types[0], types[1]};
  if (opcode == "fma" && types.size() == 2) from[2] = types[0];
  if (is(opcode, {"add", "sub"}) && types.size() == 2) from[1] = types[0];
  if (opcode == "cvt" && words[1] == "pack") {
    signature.results = {"b32"};
    std::fill(from.begin(), from.end(), "s32");
  }
}

}  // namespace

bool is_lanewise(const emulator::Row& row) {
  using emulator::Class;
  if (row.kind != Class::integer && row.kind != Class::floating && row.kind != Class::conversion &&
      row.kind != Class::move) {
    return false;
  }
  const std::vector<std::string> words = words_of(row.name);
  if (is(words[0], {"mov", "cvta", "isspacep", "mapa", "getctarank"})) return false;
  const auto codes = emulator::parse_codes(row.operands);
  return std::all_of(codes.begin(), codes.end(), [](const emulator::Code& code) {
    return code.kind == 'd' || code.kind == 'p' || code.kind == 's' || code.kind == 'q' || code.kind == 'S';
  });
}

Signature signature_of(const emulator::Row& row) {
  const std::vector<std::string> words = words_of(row.name);
  std::vector<std::string> types;
  std::copy_if(words.begin(), words.end(), std::back_inserter(types), is_type);
  if (types.empty()) types = {"b32"};
  Signature signature;
  for (const emulator::Code& code : emulator::parse_codes(row.operands)) {
    if (code.kind == 'd') signature.results.push_back(types.front());
    if (code.kind == 'p') signature.results.emplace_back("pred");
    if (code.kind == 's') signature.sources.push_back(types.back());
    if (code.kind == 'q') signature.sources.emplace_back("pred");
    for (std::size_t i = 0; code.kind == 'S' && i < code.count; ++i) signature.sources.push_back(types.back());
    signature.second_predicate = signature.second_predicate || code.pair;
  }
  apply_exceptions(words, types, signature);
  return signature;
}

}  // namespace moesaic::isa
