#include "isa/register_case.hpp"

namespace moesaic::isa {
namespace {

std::string register_name(const RegisterSet& set, int reg) {
  return "%" + set.prefix + std::to_string(reg);
}

std::string type_of(const RegisterSet& set) {
  return ".b" + std::to_string(set.bits);
}

}  // namespace

std::string braced(const RegisterSet& set) {
  std::string text = "{";
  for (int i = 0; i < set.count; ++i) text += (i == 0 ? "" : ", ") + register_name(set, i);
  return text + "}";
}

Case register_case(const std::string& name, const std::vector<std::string>& rows, const std::string& statements,
                   const std::vector<RegisterSet>& loaded, const std::vector<RegisterSet>& stored, unsigned blocks,
                   unsigned threads, const ValueOf& value_of) {
  Case one;
  one.name = name;
  one.blocks = blocks;
  one.threads = threads;
  const unsigned all = blocks * threads;
  one.body =
      ".reg .b64 %at4, %at8, %from4, %from8, %to4, %to8;\nmul.wide.u32 %at4, %thread, 4;\n"
      "mul.wide.u32 %at8, %thread, 8;\nadd.u64 %from4, %in, %at4;\nadd.u64 %from8, %in, %at8;\n"
      "add.u64 %to4, %out, %at4;\nadd.u64 %to8, %out, %at8;\n";
  const auto place = [](const char* base, const RegisterSet& set, std::size_t words) {
    return std::string("[%") + base + (set.bits == 64 ? "8" : "4") + "+" + std::to_string(words * 4) + "]";
  };
  for (const RegisterSet& set : loaded) {
    one.body += ".reg " + type_of(set) + " %" + set.prefix + "<" + std::to_string(set.count) + ">;\n";
    for (int reg = 0; reg < set.count; ++reg) {
      one.body += "ld.global" + type_of(set) + " " + register_name(set, reg) + ", " +
                  place("from", set, one.input.size()) + ";\n";
      for (unsigned thread = 0; thread < all; ++thread) {
        const std::uint64_t value = value_of(set, reg, thread);
        one.input.push_back(static_cast<std::uint32_t>(value));
        if (set.bits == 64) one.input.push_back(static_cast<std::uint32_t>(value >> 32));
      }
    }
  }
  for (const RegisterSet& set : stored) {
    one.body += ".reg " + type_of(set) + " %" + set.prefix + "<" + std::to_string(set.count) + ">;\n";
  }
  one.body += statements;
  std::size_t words = 0;
  for (const RegisterSet& set : stored) {
    for (int reg = 0; reg < set.count; ++reg) {
      one.body += "st.global" + type_of(set) + " " + place("to", set, words) + ", " + register_name(set, reg) + ";\n";
      words += std::size_t{all} * static_cast<std::size_t>(set.bits / 32);
    }
  }
  one.parts.push_back(Part{name, rows, words, {}});
  return one;
}

}  // namespace moesaic::isa
